"""Language kept: the perplexity of held-out text of the model, beside that of the language model it was built from.

Both read the same tokens, each text by itself; perplexity is exp of the mean cross-entropy of all of them.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Qwen3ForCausalLM

from pixelword.convert import local_folder
from pixelword.data import ReadySample, Sample, collate, open_source, pack
from pixelword.data.records import RowError
from pixelword.errors import ConfigError, DataError
from pixelword.recipe import SourceSettings
from pixelword.train.placement import Placement
from pixelword.train.ranks import everyone
from pixelword.train.setting_up import Prepared
from pixelword.train.stages import write_json

logger = logging.getLogger(__name__)

PARENT_FILE = "parent-perplexity.json"


class Retention:
    """Measures a run now and then.

    Args:
        prepared: of the run; its recipe has a section `retention`.
        placement: of the ranks. All of them measure the same text, since none may call a spread model alone.
        run: folder of the run, where the parent's perplexity is kept.

    Raises:
        ConfigError: no parent is named.
        DataError: no text can be used.
    """

    def __init__(self, prepared: Prepared, placement: Placement, run: Path) -> None:
        recipe, settings = prepared.recipe, prepared.recipe.retention
        assert settings is not None
        parent = settings.parent or recipe.model.language_model
        if parent is None:
            raise ConfigError(
                "language retention needs the parent language model",
                got="retention.parent null, model.language_model null",
                fix="set retention.parent to the language model that the first stage was built from",
            )
        self.every, self.recipe, self.placement, self._measured = settings.every, recipe, placement, -1
        self.samples = held_out(prepared, settings.text, settings.tokens)
        self.pad = prepared.loader.pad_id
        file = run / PARENT_FILE
        said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        about = {"parent": parent, "checksums": [sample.checksum for sample in self.samples]}
        if {key: said.get(key) for key in about} != about:
            own = self._of_parent(parent) if placement.rank == 0 else 0.0
            said = {**about, "perplexity": everyone(own, placement)[0]}
            if placement.rank == 0:
                write_json(file, said)
        self.parent: float = said["perplexity"]
        logger.info("held-out text: %d tokens, parent's perplexity %.4g", self.tokens, self.parent)

    @property
    def tokens(self) -> int:
        return sum(len(sample) - 1 for sample in self.samples)

    def due(self, step: int) -> bool:
        """Whether to measure after this step; once."""
        return step != self._measured and (step % self.every == 0 or step == self.recipe.steps)

    @torch.no_grad()
    def measure(self, model: nn.Module, step: int = -1) -> dict[str, float]:
        """Perplexity of the model, of the parent, and how many times as large the former is."""
        self._measured = step
        before, total, count = model.training, 0.0, 0.0
        model.eval()
        budget = self.recipe.packing.budget
        for row in pack([(sample, len(sample)) for sample in self.samples], budget, len(self.samples)):
            batch = collate([[ready(sample) for sample in row]], pad_id=self.pad, weighting="token")
            given = {name: tensor.to(self.placement.device) for name, tensor in batch.inputs.items()}
            with self.placement.precision(getattr(torch, self.recipe.model.dtype)):
                losses = model(**given, token_losses=True, logits_to_keep=1, use_cache=False).token_losses
            total += float(losses.double().sum())
            count += batch.weight
        model.train(before)
        own = math.exp(total / count)
        return {
            "retention/perplexity": own,
            "retention/parent": self.parent,
            "retention/ratio": own / self.parent,
        }

    @torch.no_grad()
    def _of_parent(self, parent: str) -> float:
        dtype = getattr(torch, self.recipe.model.dtype)
        model: nn.Module = Qwen3ForCausalLM.from_pretrained(local_folder(parent), dtype=dtype)
        model.to(self.placement.device).eval()
        total = 0.0
        for sample in self.samples:
            ids = torch.tensor([sample.input_ids], device=self.placement.device)
            logits = model(input_ids=ids, use_cache=False).logits.float()
            total += float(F.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="sum").double())
        return math.exp(total / self.tokens)


def held_out(prepared: Prepared, path: str, tokens: int) -> list[Sample]:
    """The first texts of the rows, up to so many tokens; rows that cannot be used are left out and said.

    Raises:
        DataError: there is none.
    """
    encoder = replace(prepared.loader.encoder, max_tokens=prepared.recipe.packing.max_sample)
    source = open_source(SourceSettings(name="held-out", kind="json", path=path))
    found: list[Sample] = []
    for block in range(source.blocks()):
        for record in source.read(block):
            try:
                sample = encoder.encode(record)
            except RowError as error:
                logger.warning("held-out text left out: %s: %s", record.name, error.what)
                continue
            if sample.pictures or len(sample) < 2:
                continue
            if found and sum(map(len, found)) + len(sample) > tokens:
                return found
            found.append(sample)
    if not found:
        raise DataError("no held-out text can be used", got=path, fix='give rows like {"text": "..."}')
    return found


def ready(sample: Sample) -> ReadySample:
    """All its tokens but the first are targets, whoever said them."""
    return ReadySample(
        name=sample.name, source=sample.source, input_ids=sample.input_ids, labels=list(sample.input_ids)
    )
