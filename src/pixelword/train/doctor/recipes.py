"""The examination of one of our recipes: its model, its data, its optimiser, its parent and its resume."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedModel, Qwen3ForCausalLM

from pixelword.convert import local_folder
from pixelword.data import PackedBatch, PackedLoader, build_loader
from pixelword.errors import DataError
from pixelword.recipe import Recipe
from pixelword.train.attention_choice import choose_attention
from pixelword.train.doctor.examine import examine_subject
from pixelword.train.doctor.findings import Diagnosis
from pixelword.train.doctor.samples import Part, alone_batch, parts
from pixelword.train.doctor.stand_in import small_recipe
from pixelword.train.doctor.subject import Batch, Subject, as_inputs
from pixelword.train.doctor.trial import trial_of
from pixelword.train.rates import build_optimizer
from pixelword.train.run import compile_blocks
from pixelword.train.setting_up import Prepared, prepare

BATCHES, SEARCHED = 2, 8
"""Batches that are examined, and those that are read to find some with pictures."""
TOKENS = 1024
"""Tokens of an examined batch, if the samples allow it; whole samples are left out, none is cut."""
OF_PICTURES = ("pixel_values", "image_grid_thw")
LARGE = 50_000_000
"""Parameters from which on a tiny model stands in for the trial of the resume."""


def examine_recipe(recipe: Recipe, *, device: torch.device | None = None, trial: bool = True) -> Diagnosis:
    """Build everything as training would, look at a few batches, and run 2 + 2 steps twice in a temporary folder.

    Args:
        recipe: what to examine.
        device: where; the first GPU by default, or else the processor.
        trial: false leaves the 2 + 2 steps out; the data's cursor is still tried.

    Raises:
        PixelWordError: the recipe does not start at all; each says why.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prepared = prepare(recipe)
    model = prepared.model
    model.to(device)  # type: ignore[arg-type]
    choose_attention(model, recipe.attention, device)
    compile_blocks(replace(prepared, recipe=recipe.model_copy(update={"compile": False})))
    parent, why = parent_of(recipe)
    subject = Subject(
        model,
        [],
        learns=recipe.learns,
        optimizer=build_optimizer(recipe, model),
        parent=parent,
        no_parent=why,
        loaders=lambda: build_loader(recipe, prepared.processor),
        precision=getattr(torch, recipe.model.dtype),
        tokenizer=prepared.processor.tokenizer,
    )
    batches = [smaller(subject, as_inputs(batch, device)) for batch in read(prepared.loader)]
    subject = replace(subject, batches=batches)
    if not trial:
        return examine_subject(subject)
    with tempfile.TemporaryDirectory(prefix="pixelword-doctor-") as folder:
        return examine_subject(with_trial(subject, recipe, prepared, Path(folder)))


def with_trial(subject: Subject, recipe: Recipe, prepared: Prepared, folder: Path) -> Subject:
    """The subject with its run in miniature."""
    if prepared.model.num_parameters() < LARGE:
        return replace(subject, trial=trial_of(recipe), trial_folder=folder)
    little, told = small_recipe(recipe, prepared.model, prepared.processor, folder / "tiny-model")
    return replace(subject, trial=trial_of(little), trial_folder=folder, stand_in=told)


def parent_of(recipe: Recipe) -> tuple[PreTrainedModel | None, str]:
    """The language model under the preset, or why there is none."""
    if recipe.model.checkpoint is not None:
        return None, "the stage goes on from a checkpoint, which has left its parent already"
    if recipe.model.language_model is None:
        return None, "all weights are drawn, there is no parent language model"
    folder = local_folder(recipe.model.language_model)
    parent: PreTrainedModel = Qwen3ForCausalLM.from_pretrained(folder, dtype=getattr(torch, recipe.model.dtype))
    return parent, ""


def read(loader: PackedLoader) -> list[PackedBatch]:
    """A few batches, with one that has pictures among them if the first ones of the data have any.

    Raises:
        DataError: the data gives no batch at all.
    """
    found: list[PackedBatch] = []
    for number, batch in enumerate(loader):
        pictures = any("pixel_values" in other.inputs for other in found)
        if len(found) < BATCHES:
            found.append(batch)
        elif not pictures and "pixel_values" in batch.inputs:
            found[-1] = batch
        if number + 1 >= SEARCHED or (len(found) == BATCHES and (pictures or "pixel_values" in batch.inputs)):
            break
    if not found:
        raise DataError("the data gives no batch", got="no row that can be used", fix="see the log of bad rows")
    return found


def smaller(subject: Subject, batch: Batch) -> Batch:
    """One row of the batch's shortest samples, the shortest with pictures first; short batches stay as they are."""
    if int((batch["sample_ids"] >= 0).sum()) <= TOKENS:
        return batch
    every = sorted(parts(subject, batch), key=lambda part: int(part.mask.sum()))
    pictured = [part for part in every if part.images.start < part.images.stop]
    chosen: list[Part] = []
    room = TOKENS
    for part in pictured[:1] + [part for part in every if part is not next(iter(pictured), None)]:
        length = int(part.mask.sum())
        if len(chosen) < 2 or length <= room:  # two samples make a pack
            chosen.append(part)
            room -= length
    return joined(batch, chosen)


def joined(batch: Batch, chosen: list[Part]) -> Batch:
    """Samples of a batch as one packed row."""
    pieces = [alone_batch(batch, part) for part in chosen]
    row: Batch = {
        name: torch.cat([piece[name] for piece in pieces if name in piece], dim=0 if name in OF_PICTURES else 1)
        for name in dict.fromkeys(name for piece in pieces for name in piece)
    }
    numbers = [torch.full_like(piece["input_ids"], number) for number, piece in enumerate(pieces)]
    return row | {"sample_ids": torch.cat(numbers, dim=1)}
