"""What the processes of the tests of spread training do; module-level, so that it can be sent to them."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from pixelword.errors import BackendError, CheckpointError, ConfigError
from pixelword.model import NeoForConditionalGeneration, neo_tiny
from pixelword.train.muon import MuonAdamW
from pixelword.train.parallel import lost_worker_explained
from pixelword.train.parallel_checkpoint import load_tensors, save_tensors
from pixelword.train.parallel_model import check_sharded, every_batch_looks, gather_model, mesh_of, shard
from pixelword.train.parallel_placement import Spread

CPU = torch.device("cpu")
ROWS = 2
IMAGE, START = 261, 262


def model(
    *, tied: bool = False, seed: int = 0, frozen: bool = False, dtype: torch.dtype = torch.float32, width: int = 18
) -> Any:
    """Odd sizes, so that parts are uneven: an MLP of 19 and 289 words do not divide by two."""
    torch.manual_seed(seed)
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": 2,
        "extra_num_layers": 1,
        "intermediate_size": 19,
        "head_dim": 8,
    }
    config = neo_tiny(
        **sizes,
        num_attention_heads=3,
        num_key_value_heads=1,
        vocab_size=289,
        patch_size=2,
        vision_hidden_size=8,
        img_context_token_id=IMAGE,
        img_start_token_id=START,
        tie_word_embeddings=tied,
    )
    built = NeoForConditionalGeneration(config).train()
    if frozen:
        for name, parameter in built.named_parameters():
            parameter.requires_grad_("layers.0." in name or "_hw" in name or "vision" in name)
            parameter.data = parameter.data.to(torch.float32 if parameter.requires_grad else dtype)
    return built


def row(step: int, number: int, pictures: bool) -> dict[str, Tensor]:
    """Words to learn by heart; row 0 of every step begins with a picture of 2 x 3 tokens, if there are any."""
    generator = torch.Generator().manual_seed(1000 * (step % 2) + number)
    ids = torch.randint(10, 200, (1, 16), generator=generator)
    labels = ids.clone()
    inputs = {"input_ids": ids, "labels": labels}
    if pictures and number == 0:
        ids[0, :8] = torch.tensor([START, *[IMAGE] * 6, START + 1])
        labels[0, :8] = -100
        inputs["image_grid_thw"] = torch.tensor([[1, 4, 6]])
        inputs["pixel_values"] = torch.randn(24, 12, generator=generator)
    return inputs


def optimizer_of(kind: str, owner: Any) -> torch.optim.Optimizer:
    trained = [parameter for parameter in owner.parameters() if parameter.requires_grad]
    if kind == "sgd":
        return torch.optim.SGD(trained, lr=0.1)
    if kind == "muon":
        return MuonAdamW(owner.named_parameters(), 0.003)
    return torch.optim.AdamW(trained, lr=0.003, fused=kind == "fused", foreach=kind == "foreach")


def step(
    owner: Any,
    optimizer: torch.optim.Optimizer,
    number: int,
    *,
    clip: float | None = None,
    pictures: bool = True,
    rows: int = ROWS,
) -> float:
    """One step over some rows, dealt out among the processes; returns the mean loss over all of them."""
    ranks = dist.get_world_size() if dist.is_initialized() else 1
    rank = dist.get_rank() if ranks > 1 else 0
    total = torch.zeros(())
    for place in range(rank, rows, ranks):
        loss = owner(**row(number, place, pictures)).loss * ranks / rows
        loss.backward()
        total += loss.detach() / ranks
    if ranks > 1:
        dist.all_reduce(total)
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(owner.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad()
    return float(total)


def losses(
    steps: int,
    kind: str = "sgd",
    *,
    tied: bool = False,
    clip: float | None = None,
    frozen: bool = False,
    checkpointing: bool = False,
    pictures: bool = True,
    spread: bool = True,
    rows: int = ROWS,
) -> list[float]:
    """Losses of a run over all processes there are."""
    owner = model(tied=tied, frozen=frozen)
    if checkpointing:
        owner.activation_checkpointing_enable()
    owner = spread_out(owner) if spread else owner
    every_batch_looks(owner)
    optimizer = optimizer_of(kind, owner)
    return [step(owner, optimizer, number, clip=clip, pictures=pictures, rows=rows) for number in range(steps)]


def spread_out(owner: Any, **settings: Any) -> Any:
    ranks = dist.get_world_size()
    return shard(owner, mesh_of(CPU, ranks, ranks), **settings)


def kinds_of_parameters(tied: bool) -> list[tuple[str, bool, bool, tuple[int, ...]]]:
    owner = spread_out(model(tied=tied))
    step(owner, optimizer_of("sgd", owner), 0)
    return [
        (name, p.requires_grad, isinstance(p, DTensor), tuple(p.to_local().shape))
        for name, p in owner.named_parameters()
    ]


def written(folder: Path, kind: str, steps: int, tied: bool, spread: bool) -> list[float]:
    """Train, save, and go on for as many steps."""
    owner = model(tied=tied)
    owner = spread_out(owner) if spread else owner
    every_batch_looks(owner)
    optimizer = optimizer_of(kind, owner)
    for number in range(steps):
        step(owner, optimizer, number)
    if not dist.is_initialized() or dist.get_rank() == 0:
        folder.mkdir()
    if dist.is_initialized():
        dist.barrier()
    save_tensors(folder, owner, optimizer)
    return [step(owner, optimizer, steps + number) for number in range(steps)]


def read(folder: Path, kind: str, steps: int, tied: bool, spread: bool) -> list[float]:
    """Go on from what `written` saved."""
    owner = model(tied=tied, seed=5)
    owner = spread_out(owner) if spread else owner
    every_batch_looks(owner)
    optimizer = optimizer_of(kind, owner)
    load_tensors(folder, owner, optimizer)
    return [step(owner, optimizer, steps + number) for number in range(steps)]


def half_written(folder: Path) -> str:
    """The second process may write files of a kilobyte at most, as on a full disk."""
    owner = spread_out(model())
    optimizer = optimizer_of("adamw", owner)
    step(owner, optimizer, 0)
    if dist.get_rank() == 0:
        folder.mkdir()
    dist.barrier()
    if dist.get_rank() == 1:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
    try:
        save_tensors(folder, owner, optimizer)
    except CheckpointError as error:
        return str(error)
    return "saved"


def made_whole(folder: Path, tied: bool) -> bool:
    """Train, then make the model ordinary again; save it, and beside it what it holds and computes."""
    owner = spread_out(model(tied=tied))
    optimizer = optimizer_of("sgd", owner)
    for number in range(2):
        step(owner, optimizer, number)
    with torch.no_grad():
        owner(**row(9, 0, True))  # leaves the root gathered
    if not gather_model(owner):
        return False
    owner.save_pretrained(folder / "model")
    with torch.no_grad():
        logits = owner.eval()(**row(7, 0, True)).logits
    held = {name: parameter.detach() for name, parameter in owner.named_parameters()}
    save_file(held | {"logits": logits}, folder / "held.safetensors")
    return True


def precisions() -> dict[str, str]:
    """Products in bfloat16, weights that learn in float32, frozen ones in bfloat16."""
    owner = model(frozen=True, dtype=torch.bfloat16)
    owner = spread_out(owner, products=torch.bfloat16)
    seen: dict[str, str] = {}
    block = owner.model.language_model.layers[1]
    block.mlp.register_forward_hook(lambda module, inputs, output: seen.update(products=str(output.dtype)))
    optimizer = optimizer_of("adamw", owner)
    loss = owner(**row(0, 0, True)).loss
    loss.backward()
    learning = [parameter for parameter in owner.parameters() if parameter.requires_grad]
    seen["loss"] = str(loss.dtype)
    seen["gradients"] = ", ".join({str(parameter.grad.dtype) for parameter in learning if parameter.grad is not None})
    seen["learning"] = ", ".join({str(parameter.dtype) for parameter in learning})
    seen["frozen"] = ", ".join({str(p.dtype) for p in owner.parameters() if not p.requires_grad})
    optimizer.step()
    return seen


def norms() -> list[float]:
    """Norms of single gradients as the trainer measures them."""
    placement = None
    owner = model()
    if dist.is_initialized():
        ranks = dist.get_world_size()
        placement = Spread(dist.get_rank(), ranks, CPU, per_node=ranks)
        owner = placement.wrap(owner)
    every_batch_looks(owner)
    ranks = dist.get_world_size() if placement else 1
    for place in range(dist.get_rank() if placement else 0, ROWS, ranks):
        (owner(**row(0, place, True)).loss * ranks / ROWS).backward()
    gradients = [parameter.grad for parameter in owner.parameters()]
    if placement is None:
        return [float(gradient.norm()) for gradient in gradients]
    return placement.norms(gradients).tolist()


def dies(step_of_death: int) -> str:
    """The second process is gone in the middle of a step; what the first one says."""
    owner = spread_out(model())
    optimizer = optimizer_of("sgd", owner)
    try:
        with lost_worker_explained(lambda: "checkpoint-3"):
            for number in range(10):
                if number == step_of_death and dist.get_rank() == 1:
                    os._exit(1)
                step(owner, optimizer, number)
    except BackendError as error:
        return str(error)
    return "nothing"


def late_parameter() -> str:
    owner = spread_out(model())
    owner.model.language_model.layers[0].adapter = torch.nn.Linear(2, 2)
    try:
        check_sharded(owner)
    except ConfigError as error:
        return str(error)
    return "accepted"


def other_model(folder: Path) -> str:
    torch.manual_seed(0)
    owner = spread_out(model(width=24))
    try:
        load_tensors(folder, owner)
    except CheckpointError as error:
        return str(error)
    return "accepted"


def losses_on_two_nodes(steps: int) -> list[float]:
    """Four processes as two machines of two, a copy of the model on each."""
    owner = model()
    ranks = dist.get_world_size()
    shard(owner, mesh_of(CPU, ranks, 2, "node"))
    optimizer = optimizer_of("sgd", owner)
    return [step(owner, optimizer, number, rows=ranks) for number in range(steps)]
