"""transformers' Trainer over packed rows: exact weights of the loss, exact resume, and a stop that keeps what is good.

Taken over from the Trainer: the loop, callbacks, reports, and the schedule's steps. Done here instead:
    data        our loader, never prepared by accelerate, which would dispatch batches from rank 0
    loss        divided by the weights of the whole step, over all micro-batches and ranks
    wrapping    `placement.Placement`
    saving      `checkpoints`, with where the data goes on after the batches that were used, not those made ready
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from pixelword.data import PackedBatch, PackedLoader, Prefetched, bad_rows_of_all, merged, step_share
from pixelword.errors import BackendError, CheckpointError, DataError, TrainingError
from pixelword.recipe import resolved
from pixelword.train import checkpoints
from pixelword.train.attention_choice import choose_attention, without_idle_samples
from pixelword.train.journal import Journal
from pixelword.train.measures import Measures
from pixelword.train.placement import Placement
from pixelword.train.ranks import everyone, summed
from pixelword.train.rates import build_optimizer, build_schedule, rate_share
from pixelword.train.retention import Retention
from pixelword.train.setting_up import Prepared
from pixelword.train.stopping import StopSignal

logger = logging.getLogger(__name__)

INNER = (
    *("get_batch_samples", "_prepare_for_training", "_get_grad_norm", "_maybe_log_save_evaluate"),
    *("_save_checkpoint", "_load_from_checkpoint", "_load_rng_state", "_finalize_training"),
)
"""Inner methods of the Trainer that are replaced here; a version without one would silently not call ours."""


class PackedBatches:
    """The loader as the Trainer iterates it; made ready in a thread from the first batch on."""

    def __init__(self, loader: PackedLoader) -> None:
        self.loader = loader
        self.ready: Prefetched | None = None

    def __iter__(self) -> Iterator[PackedBatch]:
        self.ready = Prefetched(self.loader)
        return iter(self.ready)

    def state(self) -> dict[str, Any]:
        return self.loader.state() if self.ready is None else self.ready.state()

    def close(self) -> None:
        if self.ready is not None:
            self.ready.close()


class PackedTrainer(Trainer):
    """Runs one stage of training.

    Args:
        prepared: model, loader and what learns.
        placement: where the model lies.
        args: of the Trainer; see `run.training_arguments`.
        run: folder of the run.
        stop: asked after every step whether to end.
        callbacks: told about every step.
        ready: called when everything is loaded and the first step follows.

    Attributes:
        ended: the step after which the data ended; None while it lasts.
        stopped: the signal that ended the run, or "".
        bad_rows: of all ranks, by source and reason, up to the last checkpoint.
    """

    def __init__(
        self,
        prepared: Prepared,
        placement: Placement,
        args: TrainingArguments,
        run: Path,
        stop: StopSignal,
        callbacks: list[TrainerCallback] | None = None,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        check_inner(Trainer)
        super().__init__(model=prepared.model, args=args, callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        self.prepared, self.placement, self.run_folder, self.stop = prepared, placement, run, stop
        self.recipe, self.ready = prepared.recipe, ready
        self.batches = PackedBatches(prepared.loader)
        self.journal = Journal(run / "log.jsonl", writes=placement.rank == 0)
        self.measures = Measures(prepared, placement)
        self.retention = Retention(prepared, placement, run) if self.recipe.retention is not None else None
        self.ended: int | None = None
        self.stopped = ""
        self.saved_step = -1
        self.bad_rows: dict[str, dict[str, int]] = {}
        self._step: list[PackedBatch] = []
        self._losses: list[Tensor] = []
        self._step_weight = 0.0
        # Where the run stands after the last finished step: its data and its random generators.
        self._cursor = self._next_cursor = self.batches.state()
        self._random = checkpoints.random_state()

    # Data

    def get_train_dataloader(self) -> Any:
        return self.batches

    def get_batch_samples(
        self, epoch_iterator: Iterator[PackedBatch], num_batches: int, device: torch.device
    ) -> tuple[list[PackedBatch], None]:
        """The micro-batches of a step; none when they no longer fill one on every rank."""
        batches = list(islice(epoch_iterator, num_batches))
        sums = [math.fsum(batch.weight for batch in batches), num_batches - len(batches)]
        self._step_weight, missing = summed(sums, self.placement)
        if missing:
            self.ended = self.state.global_step
            self.control.should_training_stop = self.control.should_save = True
            left = sum(len(row) for batch in batches for row in batch.names)
            self.journal.event("the data ended", step=self.ended, steps=self.recipe.steps, samples_left=left)
            if not self.ended:
                raise DataError(
                    "the data ended before the first step",
                    got=f"{left} samples, bad rows {self.prepared.loader.bad.state() or 'none'}, on this rank",
                    fix="look at the reasons of bad rows in the log, give a source more epochs, or lower rows_per_step",
                )
            logger.warning(
                "the data ended after step %d of %d, at %.0f %% of the peak rate; %d samples are left over, too few for"
                " a step. For a whole schedule set steps=%d, or more epochs, and begin anew",
                *(self.ended, self.recipe.steps, 100 * rate_share(self.recipe, self.ended - 1), left, self.ended),
            )
            return [], None
        self._step, self._losses, self._next_cursor = batches, [], self.batches.state()
        return batches, None

    # One step

    def training_step(self, model: nn.Module, inputs: PackedBatch, num_items_in_batch: Any = None) -> Tensor:  # type: ignore[override]
        """Forward and backward of a micro-batch; returns its part of the step's loss, times the number of ranks."""
        model.train()
        last = len(self._losses) == len(self._step) - 1
        self.placement.micro_batch(model, last=last)
        choose_attention(self.prepared.model, self.recipe.attention, self.placement.device)
        device = self.placement.device
        given = {name: tensor.to(device) for name, tensor in without_idle_samples(inputs.inputs).items()}
        with self.placement.precision(getattr(torch, self.recipe.model.dtype)):
            output = model(**given, token_losses=True)
        self.measures.count(inputs, output.token_losses)
        loss: Tensor = output.loss * step_share(inputs.weight, self._step_weight, self.placement.ranks)
        self.placement.backward(loss)
        self._losses.append(loss.detach())
        return self._losses[-1]

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> float:
        """The last look before the optimiser: everything must be finite. Clips, and returns the norm before."""
        self.measures.exchange(self.stop.asked)
        gradients = self.placement.gradients(self.prepared.model)
        norms = self.placement.norms(list(gradients.values())).double().cpu()
        total = float(norms.square().sum().sqrt())
        if not (math.isfinite(self.measures.step_loss) and math.isfinite(total)):
            self._stop_at_no_number(total)
        clip = self.recipe.optimizer.clip
        if clip is not None and total > clip:
            self.placement.clip(list(gradients.values()), clip / (total + 1e-6))
        self.measures.norms(list(gradients), norms.tolist(), total)
        return total

    def _stop_at_no_number(self, norm: float) -> None:
        """Keep the state before this step, and name its samples."""
        own = [
            name
            for batch, loss in zip(self._step, self._losses, strict=True)
            if not math.isfinite(float(loss)) or math.isfinite(self.measures.step_loss)
            for row in batch.names
            for name in row
        ]
        names = [name for names in everyone(own, self.placement) for name in names]
        step = self.state.global_step
        self.journal.event("no number", step=step + 1, loss=str(self.measures.step_loss), names=names)
        self.prepared.model.zero_grad(set_to_none=True)
        if self.saved_step != step:
            self._save_checkpoint(self.model_wrapped, None)
        raise TrainingError(
            f"the loss of step {step + 1} is no number; the state after step {step} is kept in checkpoint-{step}",
            got=f"loss {self.measures.step_loss}, norm of the gradient {norm}, samples {', '.join(names)}",
            fix="look at these samples, or lower optimizer.rate and go on with --accept-changes",
        )

    # Set-up, replaced as a whole: accelerate prepares nothing

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = build_optimizer(self.recipe, self.prepared.model)
        return self.optimizer

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None) -> Any:
        self.model_wrapped, optimizer = self.placement.start(self.prepared.model, self.create_optimizer)
        self.optimizer = optimizer
        own = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
        if resume_from_checkpoint is not None:
            self._resume(Path(resume_from_checkpoint), optimizer)
        # Rates and decays are the recipe's, also where it was changed since the checkpoint.
        for group, settings in zip(optimizer.param_groups, own, strict=True):
            group.update(settings)
        self.lr_scheduler = build_schedule(self.recipe, optimizer, max(self.saved_step, 0))
        self.ready()
        if resume_from_checkpoint is None and self.retention is not None:
            self.log(self.retention.measure(self.model_wrapped, 0))
        handler = self.callback_handler
        handler.model, handler.optimizer, handler.lr_scheduler = self.prepared.model, optimizer, self.lr_scheduler
        return self.model_wrapped, train_dataloader

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Nothing yet: a placement loads after it has wrapped the model."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Last before the first step, so that nothing of the set-up draws from it."""
        if checkpoint is not None:
            checkpoints.set_random_state(self._random)

    def only_load(self, folder: Path) -> None:
        """The state of a checkpoint behind which there is nothing to do."""
        self._prepare_for_training(self.recipe.steps, None, str(folder))
        self.state.global_step = self.saved_step

    def _resume(self, folder: Path, optimizer: torch.optim.Optimizer) -> None:
        self.placement.load(folder, self.prepared.model, optimizer)
        state = json.loads((folder / checkpoints.DATA).read_text(encoding="utf-8"))
        self.prepared.loader.load(state)
        self.bad_rows = state["bad"]
        file = folder / f"rng-{self.placement.rank}.json"
        if file.exists():
            self._random = json.loads(file.read_text(encoding="utf-8"))
        self._cursor = self._next_cursor = self.batches.state()
        self.saved_step = int(folder.name.rpartition("-")[2])

    # After a step

    def _maybe_log_save_evaluate(self, tr_loss: Tensor, grad_norm: Any, model: nn.Module, *_: Any, **more: Any) -> None:
        self.measures.pause_begins()
        if self.ended is None:
            self._cursor, self._random = self._next_cursor, checkpoints.random_state()
        tr_loss -= tr_loss
        if self.control.should_log and self.state.global_step > self._globalstep_last_logged:
            self._globalstep_last_logged = self.state.global_step
            self.log({**self.measures.report(), "learning_rate": float(more["learning_rate"])})
        if self.retention is not None and self.retention.due(self.state.global_step):
            self.log(self.retention.measure(model, self.state.global_step))
        if self.measures.stop_agreed and not self.stopped:
            self.stopped = self.stop.name or "a signal on another rank"
            self.control.should_save = self.control.should_training_stop = True
        if self.control.should_save and self.saved_step != self.state.global_step:
            self._save_checkpoint(model, None)
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)
        self.measures.pause_ends()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Into the journal and to the reporting callbacks; the Trainer's own history would grow without end."""
        if "train_runtime" in logs:  # its last words: a loss of zero, rows counted as samples
            return
        self.journal.numbers(self.state.global_step, self.recipe.steps, logs)
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        step, placement = self.state.global_step, self.placement
        # Every rank must know before the others write, or they would wait for each other for ever.
        cursor = merged(everyone(self._cursor, placement))
        folder = self.run_folder / f"checkpoint-{step}"
        if placement.rank == 0:
            checkpoints.begin(self.run_folder, step)
        everyone(None, placement)
        error: Exception | None = None
        try:
            placement.save(folder, self.prepared.model, self.create_optimizer())
            write(folder / f"rng-{placement.rank}.json", self._random)
            if placement.rank == 0:
                write(folder / checkpoints.DATA, cursor)
                (folder / "recipe.yaml").write_text(resolved(self.recipe), encoding="utf-8")
                self.state.save_to_json(str(folder / TRAINER_STATE_NAME))
        except (OSError, CheckpointError) as caught:
            error = caught
        failed = [text for text in everyone(reason(error), placement) if text]
        if not failed and placement.rank == 0:
            try:
                checkpoints.finish(folder, step, placement.ranks)
            except OSError as caught:
                failed = [str(caught)]
        failed = everyone(failed, placement)[0]
        if failed:
            raise checkpoints.full_disk(folder, OSError(failed[0])) from error
        self.saved_step, self.bad_rows = step, cursor["bad"]
        if self.ended is not None:  # the last rows are in no batch that the cursor knows
            self.bad_rows = bad_rows_of_all(everyone(self.prepared.loader.bad.state(), placement))
        self.journal.event("saved", step=step, bad_rows=self.bad_rows)
        if placement.rank == 0:
            checkpoints.remove_older(self.run_folder, self.recipe.keep)

    def _finalize_training(self, trial: Any, num_train_samples: int, start_time: float) -> Any:
        self.batches.close()
        return super()._finalize_training(trial, num_train_samples, start_time)  # type: ignore[no-untyped-call]

    def floating_point_ops(self, inputs: Any) -> int:
        """Counted by `measures`."""
        return 0


def check_inner(kind: type[Any]) -> None:
    """Raises:
    BackendError: this Trainer lacks a method that is replaced here; without it no norm would be clipped, say.
    """
    if missing := [name for name in INNER if not hasattr(kind, name)]:
        raise BackendError(
            "the Trainer of this transformers works in another way",
            got=f"transformers {transformers.__version__}, no {', '.join(missing)}",
            fix="install the version that constraints.txt names",
        )


def reason(error: Exception | None) -> str:
    """What went wrong, in few words; empty when nothing did."""
    return "" if error is None else str(getattr(error, "got", None) or error)


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
