"""Check: before the first step, text has exactly the logits that the parent language model gives it.

A pre-Buffer is random before its first step and stands in front of the language model, so it is left out for the
comparison: what is checked is everything behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pixelword.model import NeoForConditionalGeneration
from pixelword.train.doctor.findings import Checked, Finding, checked, not_applicable
from pixelword.train.doctor.subject import Subject, listed, picture_tokens

WORDS = 64
"""Tokens of text that are compared."""


def check_language(subject: Subject) -> Checked:
    """Compare logits, and weights by name to say where they part."""
    if subject.parent is None:
        return not_applicable("language", subject.no_parent)
    ids_BN = _words(subject)
    if ids_BN.shape[1] < 2:
        return not_applicable("language", "the examined batches hold no text")
    own, theirs = subject.network, subject.parent
    theirs.to(ids_BN.device)  # type: ignore[arg-type]
    was_training = own.training
    own.eval()
    theirs.eval()
    try:
        with torch.no_grad(), without_pre_buffer(own), subject.products():
            mine = own(input_ids=ids_BN, use_cache=False).logits.float()
        with torch.no_grad(), subject.products():
            parents = theirs(input_ids=ids_BN, use_cache=False).logits.float()
    finally:
        own.train(was_training)
    shared = min(mine.shape[-1], parents.shape[-1])
    difference = float((mine[..., :shared] - parents[..., :shared]).abs().max())
    changed, new = _changed_weights(own, theirs)
    findings = []
    if not difference <= subject.tolerance * float(parents.abs().max()) or changed or new:
        where = (
            listed(changed + new)
            if changed or new
            else "all weights are the parent's: look at rotation, attention scale and the epsilon of norms"
        )
        fix = "start from the parent's weights as they are; new height and width keys must be zero"
        what = f"text logits differ from the parent LLM's by up to {difference:.2g}"
        findings = [Finding("language", what, where, fix)]
    return checked("language", findings, f"{ids_BN.shape[1]} tokens of text, largest difference {difference:.1g}")


@contextmanager
def without_pre_buffer(network: PreTrainedModel) -> Iterator[None]:
    """A NEO without its pre-Buffer for a while; other models stay as they are."""
    if not isinstance(network, NeoForConditionalGeneration):
        yield
        return
    decoder = network.model.language_model
    layers = decoder.layers
    decoder.layers = layers[network.config.llm_config.extra_num_layers :]
    try:
        yield
    finally:
        decoder.layers = layers


def _words(subject: Subject) -> Tensor:
    """(1, N) ids of the batches' text that the parent knows; pictures left out."""
    assert subject.parent is not None
    words = subject.parent.get_input_embeddings().weight
    assert isinstance(words, Tensor)
    tokens = torch.cat([batch["input_ids"].flatten() for batch in subject.batches]).unique_consecutive()
    # A start of a picture with no picture behind it moves NEO's positions on, which the parent cannot know.
    known = tokens < len(words)
    for picture in picture_tokens(subject.network.config):
        known &= tokens != picture
    return tokens[known][None, :WORDS]


def _changed_weights(own: PreTrainedModel, parent: PreTrainedModel) -> tuple[list[str], list[str]]:
    """Names of the parent's tensors that are not in the model as they are, and of new keys that are not zero."""
    depth = own.config.llm_config.extra_num_layers if isinstance(own, NeoForConditionalGeneration) else 0
    tensors = dict(own.named_parameters(remove_duplicate=False))
    changed = []
    for name, theirs in parent.named_parameters(remove_duplicate=False):
        place = next((place for place in _places(name, depth) if place in tensors), None)
        if place is not None and not _same(tensors[place].detach(), theirs.detach()):
            changed.append(place)
    new = []
    if isinstance(own, NeoForConditionalGeneration):
        for number, layer in enumerate(own.model.language_model.layers):
            if number >= depth and bool(layer.self_attn.k_proj_hw.weight.any()):
                new.append(f"model.language_model.layers.{number}.self_attn.k_proj_hw.weight")
    return changed, new


def _places(name: str, pre_buffer_layers: int) -> Iterator[str]:
    """Where a vision-language model may keep the tensor `name` of its language model."""
    inner = name.removeprefix("model.")
    if inner.startswith("layers."):
        _, number, rest = inner.split(".", 2)
        inner = f"layers.{int(number) + pre_buffer_layers}.{rest}"
    yield f"model.language_model.{inner}"
    yield f"language_model.model.{inner}"
    yield f"language_model.{name}"
    yield name


def _same(own: nn.Parameter | Tensor, theirs: nn.Parameter | Tensor) -> bool:
    """Equal in the rows that both have; a vocabulary may have been lengthened."""
    if own.ndim != theirs.ndim or own.shape[1:] != theirs.shape[1:]:
        return False
    rows = min(len(own), len(theirs))
    return torch.equal(own[:rows].to("cpu", torch.float32), theirs[:rows].to(own.dtype).to("cpu", torch.float32))
