"""Muon for matrices, AdamW for everything else, as one optimiser with one learning rate.

Muon replaces a matrix's averaged gradient by the nearest matrix with equal singular values, found by five steps of a
Newton-Schulz iteration. Matrices of one shape go through it together: on a CPU a third cheaper than one by one.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), coefficients included; the
factor 0.2 sqrt(max(rows, columns)), which gives its steps the size of AdamW's, is from Liu et al., "Muon is scalable
for LLM training" (arXiv 2502.16982). torch has a Muon from 2.9 on; this one also runs on 2.6, and stacks matrices.

Weights may be spread over processes (DTensors, `parallel_model.shard`): everything element by element works on the
own part, and of a stack of matrices each process gets some whole ones, turns them, and hands the parts back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, Shard

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
MUON, ADAMW = "Muon", "AdamW"


@torch.no_grad()
def orthogonalised(matrix_MRC: Tensor) -> Tensor:
    """(M, R, C) -> (M, R, C): each matrix with its singular values pushed towards one (to about 0.7 to 1.2)."""
    a, b, c = COEFFICIENTS
    tall = matrix_MRC.shape[1] > matrix_MRC.shape[2]
    x = matrix_MRC.bfloat16()
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        square = x @ x.mT
        polynomial = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x.mT if tall else x).to(matrix_MRC.dtype)


def own_part(tensor: Tensor) -> Tensor:
    """The part of a spread tensor that this process holds, in the same memory; any other tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def orthogonalised_parts(parts_MrC: Tensor, weight: Tensor) -> Tensor:
    """`orthogonalised` of matrices of which this process holds some rows, spread as `weight` is.

    (M, r, C) -> (M, r, C). The matrices are dealt out among the processes, so that each is turned once, whole.
    """
    if not isinstance(weight, DTensor):
        return orthogonalised(parts_MrC)
    mesh = weight.device_mesh
    matrices, rows, columns = len(parts_MrC), weight.shape[0], parts_MrC.shape[2]
    shape, stride = torch.Size((matrices, rows, columns)), (rows * columns, columns, 1)
    by_rows = [Shard(1) if placement.is_shard() else Replicate() for placement in weight.placements]
    by_matrix = [Shard(0) if placement.is_shard() else Replicate() for placement in weight.placements]
    spread = DTensor.from_local(parts_MrC, mesh, by_rows, shape=shape, stride=stride)
    whole = spread.redistribute(placements=by_matrix).to_local()
    turned = DTensor.from_local(orthogonalised(whole), mesh, by_matrix, shape=shape, stride=stride)
    return turned.redistribute(placements=by_rows).to_local()


def optimiser_for(name: str, parameter: nn.Parameter) -> str:
    """Muon for the matrices inside the model; AdamW for word embedding, head, norms and biases."""
    outside = name.endswith("embed_tokens.weight") or name.startswith("lm_head.")
    return MUON if parameter.ndim >= 2 and not outside else ADAMW


class MuonAdamW(torch.optim.Optimizer):
    """Both optimisers over the trainable parameters of a model.

    Args:
        named_parameters: those with `requires_grad` are trained.
        lr: learning rate of both.
        momentum: of Muon, with Nesterov's step.
        betas, eps: of AdamW.
        weight_decay: decoupled, of all matrices; vectors (norms, biases) are not decayed.

    Convolution kernels are matrices (output channels by everything else).
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        lr: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        groups: dict[tuple[str, float], list[nn.Parameter]] = defaultdict(list)
        for name, parameter in named_parameters:
            if parameter.requires_grad:
                decay = weight_decay if parameter.ndim >= 2 else 0.0
                groups[optimiser_for(name, parameter), decay].append(parameter)
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps}
        super().__init__(
            [
                {"params": parameters, "optimiser": optimiser, "weight_decay": decay}
                for (optimiser, decay), parameters in groups.items()
            ],
            defaults,
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters: list[Tensor] = [parameter for parameter in group["params"] if parameter.grad is not None]
            gradients = [own_part(parameter.grad) for parameter in parameters if parameter.grad is not None]
            if parameters:
                own = [own_part(parameter) for parameter in parameters]
                torch._foreach_mul_(own, 1 - group["lr"] * group["weight_decay"])
                (self._muon if group["optimiser"] == MUON else self._adamw)(group, parameters, own, gradients)
        return loss

    def _averages(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        for parameter in parameters:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter)
        return [own_part(self.state[parameter][name]) for parameter in parameters]

    def _muon(
        self, group: dict[str, Any], parameters: list[Tensor], own: list[Tensor], gradients: list[Tensor]
    ) -> None:
        beta = group["momentum"]
        averages = self._averages(parameters, "momentum")
        torch._foreach_lerp_(averages, gradients, 1 - beta)
        ahead = torch._foreach_lerp(gradients, averages, beta)
        same_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for place, parameter in enumerate(parameters):
            same_shape[torch.Size((len(parameter), parameter.numel() // len(parameter)))].append(place)
        for (rows, columns), places in same_shape.items():
            parts = torch.stack([ahead[place].reshape(-1, columns) for place in places])
            turned = orthogonalised_parts(parts, parameters[places[0]])
            size = 0.2 * max(rows, columns) ** 0.5 * group["lr"]
            steps = [step.view_as(own[place]) for step, place in zip(turned, places, strict=True)]
            torch._foreach_add_([own[place] for place in places], steps, alpha=-size)

    def _adamw(
        self, group: dict[str, Any], parameters: list[Tensor], own: list[Tensor], gradients: list[Tensor]
    ) -> None:
        beta1, beta2 = group["betas"]
        averages, squares = self._averages(parameters, "average"), self._averages(parameters, "square")
        for parameter in parameters:
            self.state[parameter]["step"] = self.state[parameter].get("step", torch.zeros(())) + 1
        number = float(self.state[parameters[0]]["step"])
        torch._foreach_lerp_(averages, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, (1 - beta2**number) ** 0.5)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(own, averages, roots, value=-group["lr"] / (1 - beta1**number))
