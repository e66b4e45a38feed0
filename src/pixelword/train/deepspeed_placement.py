"""The model under DeepSpeed's ZeRO, for the trainer: stages 1, 2 and 3, also with weights or averages in main memory.

The engine is ours to step: it is given the recipe's optimiser, the loss is already divided by the whole step, and its
step comes after the look at losses and norms. Its checkpoints are not used (`deepspeed_checkpoint`). DeepSpeed is
imported when a run starts that asked for it.

Source: DeepSpeed 0.19.8, `deepspeed.initialize`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

from pixelword.errors import ConfigError
from pixelword.train.deepspeed_checkpoint import load_zero, save_zero
from pixelword.train.deepspeed_tensors import own_gradient, put, whole
from pixelword.train.parallel_checkpoint import names_of
from pixelword.train.parallel_model import every_batch_looks
from pixelword.train.placement import Placement

logger = logging.getLogger(__name__)

LEFT_BEHIND = (
    *("_original_parameters", "_external_params", "ds_external_parameters", "all_parameters", "pre_bwd_fn"),
    *("post_bwd_fn", "ds_id", "ds_recompute_parameters", "ds_grads_remaining", "applied_pre_backward_ref_cnt"),
    *("ds_inflight_param_registry", "ds_model_granularity"),
)
"""Attributes that stage 3 gives to modules and does not take back."""


@dataclass
class Zero(Placement):
    """The model spread by DeepSpeed.

    Args:
        configuration: from `deepspeed_settings.fitted`.
    """

    configuration: dict[str, Any]

    def start(
        self, model: nn.Module, build: Callable[[], torch.optim.Optimizer]
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Raises:
        ConfigError: DeepSpeed does not take its configuration.
        """
        import deepspeed

        # DeepSpeed calls what torch 2.13 renames, several times in every step.
        warnings.filterwarnings("ignore", message=r".torch\.distributed\..* is deprecated", category=FutureWarning)
        every_batch_looks(model)
        optimizer = build()
        names = names_of(model)
        self._groups = [[names[parameter] for parameter in group["params"]] for group in optimizer.param_groups]
        # The engine casts everything; what learns has digits that bfloat16 does not.
        exact = {parameter: parameter.data for parameter in model.parameters() if parameter.requires_grad}
        try:
            self._engine, self._zero, *_ = deepspeed.initialize(
                model=model, optimizer=optimizer, config=self.configuration
            )
        except (ValueError, AssertionError, NotImplementedError, deepspeed.DeepSpeedConfigError) as error:
            raise ConfigError(
                "DeepSpeed does not take this configuration", got=error, fix="correct it as DeepSpeed says"
            ) from error
        self._optimizer = optimizer
        self._mesh = init_device_mesh(self.device.type, (self.ranks,), mesh_dim_names=("shard",))
        if self.configuration["bf16"]["enabled"]:
            for parameter, value in exact.items():
                put(parameter, value.to(self.device))
        if self.stage == 3:
            keep_head_with_the_loss(model)
        logger.info("DeepSpeed %s, ZeRO stage %d", deepspeed.__version__, self.stage)
        return Called(self._engine), EngineSteps(self._engine, optimizer)

    @property
    def stage(self) -> int:
        return int(self.configuration["zero_optimization"]["stage"])

    def micro_batch(self, wrapped: nn.Module, *, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)

    def precision(self, dtype: torch.dtype) -> AbstractContextManager[Any]:
        """Nothing: the weights that compute have the precision of the products."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        self._engine.backward(loss, scale_wrt_gas=False)

    def gradients(self, model: nn.Module) -> dict[str, Tensor]:
        return {name: own_gradient(p) for name, p in model.named_parameters() if p.requires_grad}

    def clip(self, gradients: Sequence[Tensor], share: float) -> None:
        """Nothing: the engine's step clips by the same formula, told the recipe's `optimizer.clip`."""

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        squares = torch.stack([tensor.double().square().sum().to(self.device) for tensor in tensors])
        dist.all_reduce(squares)
        return squares.sqrt().float()

    def save(self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        save_zero(folder, model, self._optimizer, self._zero, self._groups, self._mesh)

    def load(self, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        load_zero(folder, model, self._optimizer, self._zero, self._groups, self._mesh)

    def gather(self, model: nn.Module) -> bool:
        ordinary: dict[Tensor, nn.Parameter] = {}
        for parameter in model.parameters():
            full = whole(parameter).to("cpu" if self.rank == 0 else "meta", copy=True)
            ordinary[parameter] = nn.Parameter(full, parameter.requires_grad)
        self._engine.module_forward_pre_hook.remove()
        self._engine.module_forward_post_hook.remove()
        self._engine.destroy()
        for module in model.modules():
            own = {name: None if held is None else ordinary[held] for name, held in module._parameters.items()}
            for name in LEFT_BEHIND:
                vars(module).pop(name, None)
            module._parameters = own
        return self.rank == 0


class Called(nn.Module):
    """The engine as the trainer calls it.

    Without the engine's `no_sync`, into which accelerate would go between micro-batches, and which ZeRO refuses.
    """

    def __init__(self, engine: nn.Module) -> None:
        super().__init__()
        self.engine = engine

    def forward(self, **inputs: Any) -> Any:
        return self.engine(**inputs)


class EngineSteps(torch.optim.Optimizer):
    """The optimiser as trainer and schedule see it: groups and state of the real one, the step of the engine."""

    def __init__(self, engine: Any, optimizer: torch.optim.Optimizer) -> None:
        # Not Optimizer.__init__: there are no parameters of its own.
        self.engine, self.defaults = engine, optimizer.defaults
        self.param_groups, self.state = optimizer.param_groups, optimizer.state

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.engine.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """The engine's step has done it."""


def keep_head_with_the_loss(model: Any) -> None:
    """Stage 3: the head's weight is there from the model's forward to its backward, like FSDP2's root.

    The loss reads it without a call of the head, but calls the head where nothing is supervised, and so does
    evaluation. ZeRO wants to see the same calls on all ranks in every step, so it must not see those of the head.
    """
    from deepspeed.runtime.zero import register_external_parameter

    head = model.get_output_embeddings()
    register_external_parameter(model, head.weight)
    head._forward_pre_hooks.clear()
    head._forward_hooks.clear()
