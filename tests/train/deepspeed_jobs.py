"""What the processes of the tests of DeepSpeed do; module-level, so that it can be sent to them."""

from __future__ import annotations

import json
import os
import resource
import signal
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from transformers import TrainerCallback

from pixelword.errors import CheckpointError, PixelWordError
from pixelword.recipe import Recipe
from pixelword.train.deepspeed_placement import Zero
from pixelword.train.parallel_model import every_batch_looks
from pixelword.train.parallel_placement import Spread
from pixelword.train.placement import Placement
from pixelword.train.run import run_recipe
from tests.train.sharded_jobs import CPU, ROWS, model, optimizer_of, row
from tests.train.spread_runs import Watch

Settings = dict[str, Any]


def quiet() -> None:
    """DeepSpeed warns while it is imported and started, which is not what the tests are about."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    warnings.simplefilter("ignore")


def zero(stage: int, *, clip: float = 0.0, dtype: str = "float32", **settings: Any) -> Settings:
    """A configuration as `fitted` makes it; no parameter of stage 3 is too small to be spread."""
    more = {"stage3_param_persistence_threshold": 0} if stage == 3 else {}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "train_batch_size": dist.get_world_size() if dist.is_initialized() else 1,
        "gradient_clipping": clip,
        "zero_optimization": {"stage": stage, **more, **settings},
        "bf16": {"enabled": dtype == "bfloat16"},
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "fp32",
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
    }


def placed(stage: int | None, **settings: Any) -> Placement:
    """Stage 0 is FSDP2; None one process."""
    if stage is None:
        return Placement(0, 1, CPU)
    ranks = dist.get_world_size()
    if stage == 0:
        return Spread(dist.get_rank(), ranks, CPU, per_node=ranks)
    quiet()
    return Zero(dist.get_rank(), ranks, CPU, zero(stage, **settings))


class Run:
    """A model, its optimiser, and steps over some rows dealt out among the processes."""

    def __init__(
        self,
        stage: int | None,
        kind: str,
        *,
        tied: bool = False,
        frozen: bool = False,
        seed: int = 0,
        pictures: bool = True,
        rows: int = ROWS,
        clip: float | None = None,
        checkpointing: bool = False,
        silent: int | None = None,
        **settings: Any,
    ) -> None:
        self.rows, self.pictures, self.limit, self.silent = rows, pictures, clip, silent
        self.dtype = getattr(torch, settings.get("dtype", "float32"))
        self.place = placed(stage, clip=clip or 0.0, **settings) if stage else placed(stage)
        self.owner = model(tied=tied, frozen=frozen, seed=seed)
        if checkpointing:
            self.owner.activation_checkpointing_enable({"use_reentrant": False})
        every_batch_looks(self.owner)
        self.called, self.optimizer = self.place.start(self.owner, lambda: optimizer_of(kind, self.owner))

    def step(self, number: int) -> float:
        """Forward, backward and step; returns the mean loss over all rows."""
        self.called.train()
        total = torch.zeros(())
        places = range(self.place.rank, self.rows, self.place.ranks)
        for place in places:
            self.place.micro_batch(self.called, last=place + self.place.ranks >= self.rows)
            inputs = row(number, place, self.pictures)
            if place == self.silent:
                inputs["labels"] = torch.full_like(inputs["labels"], -100)
            with self.place.precision(self.dtype):
                loss = self.called(**inputs).loss * self.place.ranks / self.rows
            self.place.backward(loss)
            total += loss.detach() / self.place.ranks
        if self.place.ranks > 1:
            dist.all_reduce(total)
        gradients = self.place.gradients(self.owner)
        self.norms = self.place.norms(list(gradients.values())).tolist()
        size = float(torch.tensor(self.norms).double().square().sum().sqrt())
        if self.limit is not None and size > self.limit:
            self.place.clip(list(gradients.values()), self.limit / (size + 1e-6))
        self.optimizer.step()
        self.called.zero_grad()
        return float(total)

    def evaluate(self) -> float:
        """The loss of a row without training, logits and all, as language retention measures it."""
        self.called.eval()
        with torch.no_grad(), self.place.precision(self.dtype):
            found = self.called(**row(5, 1, False), logits_to_keep=1, use_cache=False)
        return float(found.loss) + 0.0 * float(found.logits.float().sum())


def trained(stage: int | None, kind: str, steps: int, **settings: Any) -> list[float]:
    """Losses of a run, and behind them the norms of the gradients of its last step."""
    run = Run(stage, kind, **settings)
    return [run.step(number) for number in range(steps)] + run.norms


def many(*calls: tuple[tuple[Any, ...], Settings]) -> list[list[float]]:
    return [trained(*given, **named) for given, named in calls]


def evaluated(stage: int, steps: int, **settings: Any) -> list[float]:
    """Before the first step, and between any two; with the head's logits, which training does not compute."""
    run = Run(stage, "foreach", **settings)
    found = [run.evaluate()]
    for number in range(steps):
        found += [run.step(number), run.evaluate()]
    return found


def written(folder: Path, stage: int | None, steps: int, **settings: Any) -> list[float]:
    """Train, save, and go on for as many steps."""
    run = Run(stage, "foreach", **settings)
    for number in range(steps):
        run.step(number)
    if run.place.rank == 0:
        folder.mkdir()
    if run.place.ranks > 1:
        dist.barrier()
    run.place.save(folder, run.owner, run.optimizer)
    return [run.step(steps + number) for number in range(steps)]


def read(folder: Path, stage: int | None, steps: int, **settings: Any) -> list[float]:
    """Go on from what `written` saved."""
    run = Run(stage, "foreach", seed=5, **settings)
    run.place.load(folder, run.owner, run.optimizer)
    return [run.step(steps + number) for number in range(steps)]


def exchanged(calls: list[tuple[str, Path, int | None, Settings]], steps: int) -> list[list[float]]:
    """Several of the above in the same processes."""
    kinds = {"written": written, "read": read}
    return [kinds[kind](folder, stage, steps, **settings) for kind, folder, stage, settings in calls]


def refused(folder: Path, stage: int) -> str:
    """A checkpoint of an untied model, read into a tied one."""
    run = Run(stage, "foreach", tied=True)
    try:
        run.place.load(folder, run.owner, run.optimizer)
    except CheckpointError as error:
        return str(error)
    return "accepted"


def half_written(folder: Path, stage: int) -> str:
    """The second process may write files of a kilobyte at most, as on a full disk."""
    run = Run(stage, "foreach")
    run.step(0)
    if run.place.rank == 0:
        folder.mkdir()
    dist.barrier()
    if run.place.rank == 1:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
    try:
        run.place.save(folder, run.owner, run.optimizer)
    except CheckpointError as error:
        return str(error)
    return "saved"


def made_whole(folder: Path, stage: int, tied: bool) -> list[str] | None:
    """Train, then make the model ordinary again; save it, and beside it what it computes.

    Returns:
        On the first process, names of what DeepSpeed left behind.
    """
    untouched = model(tied=tied)
    run = Run(stage, "sgd", tied=tied)
    for number in range(2):
        run.step(number)
    if not run.place.gather(run.owner):
        return None
    run.owner.save_pretrained(folder / "model")
    with torch.no_grad():
        logits = run.owner.eval()(**row(7, 0, True)).logits
    held = {name: parameter.detach() for name, parameter in run.owner.named_parameters()}
    save_file(held | {"logits": logits}, folder / "held.safetensors")
    left = []
    for (name, module), own in zip(run.owner.named_modules(), untouched.modules(), strict=True):
        left += [f"{name}.{key}" for key in vars(module).keys() - vars(own).keys()]
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        left += [f"{name}: a hook" for found in hooks if found]
        left += [f"{name}: {type(module._parameters).__name__}"] if type(module._parameters) is not dict else []
    left += [f"{name}.{key}" for name, p in run.owner.named_parameters() for key in vars(p)]
    return left


# Whole runs of recipes


class Stop(TrainerCallback):
    """The second process is told to stop at the beginning of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args, state, control, **_: Any) -> None:
        if dist.get_rank() == 1 and state.global_step + 1 == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def ran(stage: int, recipe: Recipe, run: Path, dying: int = 0, stopped: int = 0) -> str:
    """A run as `accelerate launch` starts it; stage 0 as torchrun does.

    Args:
        dying, stopped: the step at whose beginning the second process dies, or is told to stop; 0 for none.

    Returns:
        How it ended, or what it said where it could not go on.
    """
    quiet()
    if stage:
        file = run.with_suffix(f".{os.environ['RANK']}.json")
        zero = {"stage": stage} | ({"stage3_param_persistence_threshold": 0} if stage == 3 else {})
        auto = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_clipping")
        written = {"zero_optimization": zero, "bf16": {"enabled": "auto"}} | dict.fromkeys(auto, "auto")
        file.write_text(json.dumps(written))
        os.environ |= {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_CONFIG_FILE": str(file)}
    callbacks = [Watch(dying=1, step=dying)] if dying else [Stop(stopped)] if stopped else []
    try:
        return "finished" if run_recipe(recipe, run, callbacks=callbacks).finished else "stopped"
    except PixelWordError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)


def ran_all(*calls: tuple[Any, ...]) -> list[str]:
    return [ran(*given) for given in calls]
