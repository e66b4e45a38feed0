"""Claims of the doctor about parameters that do not learn: parts that stand idle, cut gradients, rates of 0."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from pixelword.model.loss import IGNORED
from pixelword.train.doctor import Diagnosis, examine
from tests.train.test_doctor import Case, large_weights

TEXT = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
VISION = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SQUARE = {"image_size": 16, "patch_size": 8}
PICTURE = 300


def llava() -> Any:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(**VISION, **SQUARE, projection_dim=16)
    text = LlamaConfig(**TEXT)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=PICTURE, image_seq_length=4)
    return large_weights(LlavaForConditionalGeneration(config))


def gemma3() -> Any:
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = Gemma3Config(
        text_config={**TEXT, **ids, "head_dim": 8},
        vision_config={**VISION, **SQUARE},
        image_token_id=PICTURE,
        mm_tokens_per_image=4,
        boi_token_index=301,
        eoi_token_index=302,
    )
    return large_weights(Gemma3ForConditionalGeneration(config))


def batch() -> dict[str, torch.Tensor]:
    ids = torch.tensor([[5, *[PICTURE] * 4, *range(10, 30)]])
    labels = ids.clone()
    labels[:, :12] = IGNORED
    pixels = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


def examined(model: Any, **more: Any) -> Diagnosis:
    inputs = batch()
    if isinstance(model, Gemma3ForConditionalGeneration):
        inputs["token_type_ids"] = (inputs["input_ids"] == PICTURE).long()
    return examine(model, [inputs], **more)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (llava, "18 parameters train: model.vision_tower.encoder.layers.1, model.vision_tower.post_layernorm"),
        (gemma3, "11 parameters train: model.vision_tower.head"),
    ],
)
def test_idle_parts_of_stock_models_are_a_warning_and_freezing_them_ends_it(make, said):
    model = make()
    diagnosis = examined(model)
    assert diagnosis.findings == (), str(diagnosis)
    assert len(diagnosis.warnings) == 1
    warning = diagnosis.warnings[0]
    assert f"{warning.what.partition(',')[0]}: {warning.where}" == said
    for name in warning.where.split(", "):
        model.get_submodule(name).requires_grad_(False)
    after = examined(model)
    assert {outcome.status for outcome in after.checks} == {"sound", "not applicable"}, str(after)


def test_what_a_pattern_names_on_its_own_is_missed_even_if_it_stands_idle():
    model = llava()
    assert examined(model, learns=[".*"]).findings == ()
    diagnosis = examined(model, learns=[".*", r"model\.vision_tower\.post_layernorm\..*"])
    assert [(one.check, one.what[:12]) for one in diagnosis.findings] == [("gradients", "2 parameters")]


def test_a_tower_that_no_batch_needs_is_a_warning_and_a_fault_where_it_was_named():
    model, words = llava(), batch()
    text = {name: value[:, 5:] for name, value in words.items() if name != "pixel_values"}
    diagnosis = examine(model, [text])
    assert diagnosis.findings == (), str(diagnosis)
    assert diagnosis.warnings[0].where == "model.vision_tower, model.multi_modal_projector"
    diagnosis = examine(model, [text], learns=[r"model\.vision_tower\..*", r"(?!model\.vision_tower).*"])
    assert ["modules never run" in finding.where for finding in diagnosis.findings] == [True], str(diagnosis)


class Cut(nn.Module):
    """Keeps what a module computes and lets no gradient through."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *given: Any, **more: Any) -> Any:
        return self.inner(*given, **more).detach()


def test_a_cut_gradient_and_a_part_that_is_computed_and_thrown_away_are_faults():
    model = llava()
    model.model.multi_modal_projector = Cut(model.model.multi_modal_projector)
    diagnosis = examined(model)
    assert {one.check for one in diagnosis.findings} == {"gradients"}, str(diagnosis)
    assert "projector" in diagnosis.findings[0].where or "vision_tower" in diagnosis.findings[0].where
    model = llava()
    projector = model.model.multi_modal_projector
    projector.register_forward_hook(lambda module, given, output: torch.zeros_like(output))
    diagnosis = examined(model)
    assert {one.check for one in diagnosis.findings} == {"gradients"}, str(diagnosis)


def test_weights_are_what_they_were_after_idle_parts_were_looked_for():
    model = llava()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    examined(model)
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
    assert all(not module._forward_pre_hooks for module in model.modules())


def test_a_group_whose_rate_stays_0_is_named_and_a_warm_up_is_not():
    case = Case()
    trained = [parameter for parameter in case.model.parameters() if parameter.requires_grad]

    def diagnosed(optimizer: torch.optim.Optimizer) -> Diagnosis:
        return examine(case.model, [case.inputs], learns=case.learns, optimizer=optimizer)

    still = torch.optim.AdamW([{"params": trained[:3]}, {"params": trained[3:], "lr": 0.0}], lr=1e-3)
    diagnosis = diagnosed(still)
    assert {one.check for one in diagnosis.findings} == {"gradients"}, str(diagnosis)
    assert f"{len(trained) - 3} parameters are in a group" in diagnosis.findings[0].what
    warming = torch.optim.AdamW(trained, lr=1e-3)
    LambdaLR(warming, lambda step: step / 10)
    assert warming.param_groups[0]["lr"] == 0
    assert diagnosed(warming).findings == ()
