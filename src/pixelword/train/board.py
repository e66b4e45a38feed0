"""TensorBoard: the numbers of the log, in the folder `tensorboard` of a run."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from transformers import TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

FOLDER = "tensorboard"


def has_tensorboard() -> bool:
    """Whether it is installed."""
    return find_spec("tensorboard") is not None


def tensorboard_callback(run: Path, after: int) -> TrainerCallback:
    """Writes what is logged. What an earlier, killed run wrote behind the step that this one goes on from is hidden.

    Args:
        run: folder of the run; all its continuations write into one folder, so that they are one curve.
        after: steps that are done.
    """
    from torch.utils.tensorboard import SummaryWriter

    # Ours, because the callback's own folder is named by the time and the machine, and anew at every continuation.
    writer = SummaryWriter(str(run / FOLDER), purge_step=after + 1 if after else None)
    return TensorBoardCallback(writer)
