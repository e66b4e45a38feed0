"""What is examined: a model, a few of its batches, and what else is known about the run.

Legend: B rows of a batch · N tokens of a row · D width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pixelword.data import PackedBatch
from pixelword.errors import InputError, PixelWordError, is_out_of_memory

Batch: TypeAlias = dict[str, Any]

TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-8, torch.bfloat16: 6e-2, torch.float16: 1e-2}
"""Largest difference that rounding explains, as a share of the largest value."""

RAISED = (
    PixelWordError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
)
"""What the forward of a model raises at a batch that does not fit it."""


class ForwardFailed(InputError):
    """The examined model raised an error of its own; a check that meets it has a finding."""


class Cursor(Protocol):
    """A loader that can say where it stands and go on from there."""

    def next(self) -> Any: ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Subject:
    """What every check is given.

    Attributes:
        model: as it is before its first step.
        batches: arguments of its forward, on its device.
        learns: patterns of the parameters that the recipe trains; None where nothing was declared.
        optimizer: what is going to train it.
        parent: the language model that the model was made from.
        no_parent: why there is none.
        loaders: makes a new loader that stands at its first batch.
        trial: runs a few steps in a folder, whole and resumed, and gives the two last checkpoints.
        trial_folder: an empty folder for it.
        stand_in: which model takes the place of a large one there, in words for a note.
        precision: of products, where it is not that of the weights.
        tokenizer: of the batches, with the chat template that they were written by; None where it is not known.
    """

    model: PreTrainedModel
    batches: Sequence[Batch]
    learns: Sequence[str] | None = None
    optimizer: torch.optim.Optimizer | None = None
    parent: PreTrainedModel | None = None
    no_parent: str = "no parent language model is known"
    loaders: Callable[[], Cursor] | None = None
    trial: Callable[[Path], tuple[Path, Path]] | None = None
    trial_folder: Path | None = None
    stand_in: str = ""
    precision: torch.dtype | None = None
    tokenizer: Any = None

    @property
    def network(self) -> PreTrainedModel:
        """The transformers model itself, without adapters' wrapping."""
        inner = getattr(self.model, "get_base_model", None)
        network: PreTrainedModel = inner() if callable(inner) else self.model
        return network

    @property
    def tolerance(self) -> float:
        return TOLERANCES.get(self.precision or next(self.model.parameters()).dtype, 1e-4)

    @contextmanager
    def products(self) -> Iterator[None]:
        """Around every forward: the precision that training has, and an error of the model told as one of its own.

        Raises:
            ForwardFailed: the model raised; memory that is out is not meant.
        """
        device = next(self.model.parameters()).device.type
        with (
            model_errors(),
            torch.autocast(device, self.precision, enabled=self.precision not in (None, torch.float32)),
        ):
            yield

    def loss_of(self, batch: Batch) -> Tensor:
        """The model's own loss of a batch."""
        with self.products():
            loss: Tensor = self.model(**taken(self.network, batch)).loss
        return loss

    @property
    def packed(self) -> list[Batch]:
        """The batches in our own layout, which names the sample of every token."""
        return [batch for batch in self.batches if "sample_ids" in batch]


def as_inputs(batch: PackedBatch | Mapping[str, Any], device: torch.device) -> Batch:
    """A batch as the arguments of a model's forward.

    Raises:
        InputError: it has no `input_ids`, or no `labels` of the same shape.
    """
    inputs = dict(batch.inputs if isinstance(batch, PackedBatch) else batch)
    moved = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in inputs.items()}
    ids, labels = moved.get("input_ids"), moved.get("labels")
    if not isinstance(ids, Tensor) or ids.ndim != 2 or not isinstance(labels, Tensor) or labels.shape != ids.shape:
        raise InputError(
            "an examined batch needs input_ids and labels, both (rows, tokens)",
            got={name: tuple(value.shape) for name, value in moved.items() if isinstance(value, Tensor)},
            fix="give what the collator makes, with labels for the tokens that are learned",
        )
    return moved


@contextmanager
def model_errors() -> Iterator[None]:
    """Around a forward or a backward pass: what the model raises becomes ForwardFailed."""
    try:
        yield
    except RAISED as error:
        if isinstance(error, ForwardFailed) or is_out_of_memory(error):
            raise
        raise ForwardFailed(
            f"the model raises {type(error).__name__}",
            got=" ".join(str(error).split()),
            fix="give what its forward takes, as its own collator and processor make it",
        ) from error


def taken(module: nn.Module, batch: Batch) -> Batch:
    """The batch as arguments: `sample_ids` are ours to look at, so a forward that does not know them is spared them."""
    known = inspect.signature(module.forward).parameters
    if "sample_ids" in known or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values()):
        return batch
    return {name: value for name, value in batch.items() if name != "sample_ids"}


def without_labels(batch: Batch) -> Batch:
    return {name: value for name, value in batch.items() if name not in ("labels", "loss_weights")}


def merge_size(config: Any) -> int | None:
    """Patches along the side of a picture's token; None where the configuration does not say."""
    vision = getattr(config, "vision_config", None)
    merge: int | None = getattr(vision, "spatial_merge_size", getattr(vision, "merge_size", None))
    return merge


def picture_tokens(config: Any) -> set[int]:
    """Ids of placeholders, and of what stands before and behind them."""
    kinds = ("image", "video", "image_start", "image_end", "vision_start", "vision_end")
    names = [*(f"{kind}_token_id" for kind in kinds), "boi_token_index", "eoi_token_index"]
    return {value for name in names if isinstance(value := getattr(config, name, None), int)}


@contextmanager
def final_states(network: PreTrainedModel) -> Iterator[list[Tensor]]:
    """Collect the final hidden states (B, N, D) of every forward inside; gradients flow through them."""
    states: list[Tensor] = []

    def keep(module: nn.Module, arguments: Any, output: Any) -> None:
        hidden: Tensor = output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]
        if torch.is_grad_enabled() and not hidden.requires_grad:
            hidden.requires_grad_()
        states.append(hidden)

    handle = network.base_model.register_forward_hook(keep)
    try:
        yield states
    finally:
        handle.remove()


def listed(names: Iterable[str], shown: int = 3) -> str:
    """The first names and how many more there are."""
    every = list(names)
    more = f" and {len(every) - shown} more" if len(every) > shown else ""
    return ", ".join(every[:shown]) + more
