"""Claims of the doctor: each property is broken in turn and named, and nothing else is; what is sound is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from pixelword.convert import neo_from_qwen3
from pixelword.data import PackedBatch, collate
from pixelword.errors import InputError
from pixelword.model.loss import IGNORED
from pixelword.train import first_stage, select
from pixelword.train.doctor import CHECKS, Diagnosis, examine
from tests.data.test_batch import sample
from tests.model.conftest import END, IMAGE, PAD, START

SAMPLES = [
    [sample(["ab", (1, 2)], "xyz", 1), sample([(2, 2), "hello"], "what", 2), sample(["only text"], "qwert", 3)],
    [sample(["aa"], "zzzyx", 4), sample([(1, 3), "k", (1, 1)], "abc", 5)],
]


class ListLoader:
    """Batches by number, with the loader's protocol."""

    def __init__(self, *, forgets: bool = False) -> None:
        self.at, self.forgets = 0, forgets

    def next(self) -> PackedBatch:
        self.at += 1
        return collate([[sample(["q"], "a" * self.at, self.at)]], pad_id=PAD)

    def state(self) -> dict[str, Any]:
        return {"at": self.at}

    def load(self, state: dict[str, Any]) -> None:
        self.at = 0 if self.forgets else state["at"]


class Case:
    """A sound training before its first step, for one test to break."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.parent: PreTrainedModel | None = qwen3()
        self.model: Any = neo_from_qwen3(
            self.parent,
            pre_buffer_layers=1,
            vision={"patch_size": 2, "hidden_size": 16},
            img_context_token_id=IMAGE,
            img_start_token_id=START,
        )
        self.model.set_attn_implementation("sdpa")
        self.learns: tuple[str, ...] | None = first_stage(self.model.config)
        select(self.model, self.learns)
        self.inputs: dict[str, Tensor] = collate(SAMPLES, pad_id=PAD).inputs
        self.loaders: Callable[[], ListLoader] | None = ListLoader

    def examined(self) -> Diagnosis:
        return examine(self.model, [self.inputs], learns=self.learns, parent=self.parent, loaders=self.loaders)


def qwen3() -> Qwen3ForCausalLM:
    config = Qwen3Config(
        vocab_size=384,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        bos_token_id=None,
        eos_token_id=258,
    )
    return large_weights(Qwen3ForCausalLM(config))


def large_weights(model: Any) -> Any:
    """Weights that are large enough for every term to matter."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


class QwenCase(Case):
    """A Qwen2.5-VL of random weights with a collator that pads; its words are those of a Qwen2.5."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        text = {
            "vocab_size": 384,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-6,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        }
        rope = {"rope_type": "default", "rope_theta": 1e4}
        vision = {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 32,
            "patch_size": 2,
            "temporal_patch_size": 1,
            "spatial_merge_size": 2,
            "window_size": 8,
            "fullatt_block_indexes": [1],
        }
        config = Qwen2_5_VLConfig(
            text_config={**text, "rope_parameters": {**rope, "mrope_section": [1, 1, 2]}},
            vision_config=vision,
            image_token_id=IMAGE,
            video_token_id=IMAGE + 5,
            vision_start_token_id=START,
            vision_end_token_id=END,
        )
        self.parent = large_weights(Qwen2ForCausalLM(Qwen2Config(**text, rope_parameters=rope)))
        self.model = large_weights(Qwen2_5_VLForConditionalGeneration(config))
        words = self.parent.state_dict()
        own = {
            "lm_head.weight": words.pop("lm_head.weight"),
            **{f"model.language_model.{name.removeprefix('model.')}": tensor for name, tensor in words.items()},
        }
        assert not self.model.load_state_dict(own, strict=False).unexpected_keys
        self.learns, self.loaders = None, None
        self.inputs = padded([one for row in SAMPLES for one in row])


def padded(samples: list[Any]) -> dict[str, Tensor]:
    """A collator as many have it: one sample per row, filled up on the right."""
    longest = max(len(one.input_ids) for one in samples)

    def filled(rows: list[list[int]], value: int) -> Tensor:
        return torch.tensor([list(row) + [value] * (longest - len(row)) for row in rows])

    pixels = [torch.from_numpy(one.pixel_values) for one in samples if one.pixel_values is not None]
    return {
        "input_ids": filled([one.input_ids for one in samples], 0),
        "labels": filled([one.labels for one in samples], IGNORED),
        "attention_mask": filled([[1] * len(one.input_ids) for one in samples], 0),
        "pixel_values": torch.cat(pixels),
        "image_grid_thw": torch.tensor([grid for one in samples for grid in one.grids]),
    }


def freeze_what_should_learn(case: Case) -> None:
    parameter = next(p for name, p in case.model.named_parameters() if "vision_model" in name or "visual" in name)
    case.learns = case.learns or (".*",)
    parameter.requires_grad_(False)


def train_what_was_not_named(case: Case) -> None:
    case.model.lm_head.weight.requires_grad_(True)


def cut_the_gradient_of_pictures(case: Case) -> None:
    def cut(module: Any, arguments: Any, output: Any) -> Any:
        return output.detach() if isinstance(output, Tensor) else output.to_tuple()

    case.model.model.vision_model.register_forward_hook(cut)


def let_samples_see_each_other(case: Case) -> None:
    change_arguments(case.model.model, lambda given: given | {"sample_ids": None})


def stretch_the_positions_of_packed_rows(case: Case) -> None:
    def stretched(given: dict[str, Any]) -> dict[str, Any]:
        if given.get("sample_ids") is None:
            return given
        from pixelword.model.layout import token_layout

        layout = token_layout(
            case.model.config, given["input_ids"], given.get("image_grid_thw"), sample_ids=given["sample_ids"]
        )
        return given | {"position_ids": layout.position_ids * 2}

    change_arguments(case.model.model, stretched)


def shift_the_labels_in_the_collator(case: Case) -> None:
    for name in ("labels", "loss_weights"):
        if name in case.inputs:
            case.inputs[name] = torch.roll(case.inputs[name], -1, dims=1)


def shift_the_labels_in_the_model_once_more(case: Case) -> None:
    def twice(given: dict[str, Any]) -> dict[str, Any]:
        moved = {name: torch.roll(given[name], -1, dims=1) for name in ("labels", "loss_weights") if name in given}
        return given | moved

    change_arguments(case.model, twice)


def make_labels_before_placeholders_are_written_out(case: Case) -> None:
    """Labels of the short text stand at the front of the long one."""
    labels = case.inputs["labels"]
    for row in labels:
        learned = row[row != IGNORED].clone()
        row[:] = IGNORED
        row[2 : 2 + len(learned)] = learned


def teach_across_samples(case: Case) -> None:
    ids, samples = case.inputs["input_ids"], case.inputs["sample_ids"]
    first = torch.zeros_like(ids, dtype=torch.bool)
    first[:, 1:] = (samples[:, 1:] != samples[:, :-1]) & (samples[:, 1:] >= 0)
    case.inputs["labels"] = torch.where(first, ids, case.inputs["labels"])
    case.inputs["loss_weights"] = torch.where(first, 1.0, case.inputs["loss_weights"])


def teach_placeholders(case: Case) -> None:
    pictures = case.inputs["input_ids"] == IMAGE
    case.inputs["labels"] = torch.where(pictures, IMAGE, case.inputs["labels"])
    if "loss_weights" in case.inputs:
        case.inputs["loss_weights"] = torch.where(pictures, 1.0, case.inputs["loss_weights"])


def lose_a_placeholder(case: Case) -> None:
    case.inputs["input_ids"] = case.inputs["input_ids"].clone()
    row, at = (case.inputs["input_ids"] == IMAGE).nonzero()[2].tolist()
    case.inputs["input_ids"][row, at] = ord("x")


def lose_a_patch(case: Case) -> None:
    case.inputs["pixel_values"] = case.inputs["pixel_values"][:-1]


def lose_the_cursor(case: Case) -> None:
    case.loaders = lambda: ListLoader(forgets=True)


def change_a_text_weight(case: Case) -> None:
    with torch.no_grad():
        case.model.model.language_model.layers[-1].mlp.down_proj.weight.add_(1e-3)


def fill_the_new_keys(case: Case) -> None:
    with torch.no_grad():
        case.model.model.language_model.layers[-1].self_attn.k_proj_hw.weight.add_(1e-2)


def turn_faster(case: Case) -> None:
    case.model.model.language_model.rotary_emb.frequency.mul_(2)


def change_arguments(module: torch.nn.Module, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    module.register_forward_pre_hook(lambda _, arguments, given: (arguments, change(given)), with_kwargs=True)


BROKEN: list[tuple[str, Callable[[Case], None], str]] = [
    ("gradients", freeze_what_should_learn, "patch_embedding"),
    ("gradients", train_what_was_not_named, "lm_head.weight"),
    ("gradients", cut_the_gradient_of_pictures, "patch_embedding"),
    ("packing", let_samples_see_each_other, "sample 1 of row 0, which sees sample 0 of row 0"),
    ("packing", stretch_the_positions_of_packed_rows, "sample 0 of row 0"),
    ("labels", shift_the_labels_in_the_collator, "mostly the token two ahead"),
    ("labels", shift_the_labels_in_the_model_once_more, "mostly the token two ahead"),
    ("labels", make_labels_before_placeholders_are_written_out, "not near them"),
    ("labels", teach_across_samples, "first token of a sample"),
    ("labels", teach_placeholders, "placeholders of pictures are taught"),
    ("placeholders", lose_a_placeholder, "batch 0, row 0"),
    ("placeholders", lose_a_patch, "patches where the grids say"),
    ("resume", lose_the_cursor, "starts again"),
    ("language", change_a_text_weight, "model.language_model.layers.2.mlp.down_proj.weight"),
    ("language", fill_the_new_keys, "model.language_model.layers.2.self_attn.k_proj_hw.weight"),
    ("language", turn_faster, "rotation"),
]


def test_a_sound_training_has_no_findings_and_every_check_was_made():
    diagnosis = Case().examined()
    assert diagnosis.findings == (), str(diagnosis)
    assert [outcome.check for outcome in diagnosis.checks] == list(CHECKS)
    assert {outcome.status for outcome in diagnosis.checks} == {"sound"}


@pytest.mark.parametrize(("check", "break_it", "said"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_broken_is_named_and_nothing_else(check, break_it, said):
    case = Case()
    break_it(case)
    diagnosis = case.examined()
    assert {finding.check for finding in diagnosis.findings} == {check}, str(diagnosis)
    assert any(said in f"{finding.what} {finding.where}" for finding in diagnosis.findings), str(diagnosis)
    assert all(finding.what and finding.where and finding.fix for finding in diagnosis.findings)


def test_a_qwen2_5_vl_with_its_own_collator_has_no_findings_and_is_told_what_does_not_apply():
    diagnosis = QwenCase().examined()
    assert diagnosis.findings == (), str(diagnosis)
    status = {outcome.check: outcome.status for outcome in diagnosis.checks}
    assert {name for name, value in status.items() if value == "not applicable"} == {"packing", "resume"}
    assert all(outcome.note for outcome in diagnosis.checks)


ON_QWEN = {
    freeze_what_should_learn: "patch_embed",
    shift_the_labels_in_the_collator: "mostly the token two ahead",
    shift_the_labels_in_the_model_once_more: "mostly the token two ahead",
    make_labels_before_placeholders_are_written_out: "not near them",
    teach_placeholders: "placeholders of pictures are taught",
    lose_a_placeholder: "batch 0, row 1",
    change_a_text_weight: "model.language_model.layers.1.mlp.down_proj.weight",
}


@pytest.mark.parametrize("break_it", ON_QWEN, ids=lambda value: value.__name__)
def test_a_broken_qwen2_5_vl_is_named_too(break_it):
    case = QwenCase()
    break_it(case)
    diagnosis = case.examined()
    assert {f.check for f in diagnosis.findings} == {next(c for c, b, _ in BROKEN if b is break_it)}, str(diagnosis)
    assert any(ON_QWEN[break_it] in f"{f.what} {f.where}" for f in diagnosis.findings), str(diagnosis)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_number_formats_and_kernels_make_no_findings_and_hide_no_leak(dtype, kernel):
    case = Case()
    for model in (case.model, case.parent):
        model.to(dtype)
        model.set_attn_implementation(kernel)
    assert case.examined().findings == ()
    let_samples_see_each_other(case)
    assert {finding.check for finding in case.examined().findings} == {"packing"}


def test_an_examination_leaves_weights_gradients_and_modes_as_they_were():
    case = Case()
    before = {name: parameter.detach().clone() for name, parameter in case.model.named_parameters()}
    case.model.train()
    case.model.lm_head.weight.grad = torch.ones_like(case.model.lm_head.weight)
    case.examined()
    assert case.model.training
    assert all(torch.equal(before[name], parameter) for name, parameter in case.model.named_parameters())
    grads = {name for name, parameter in case.model.named_parameters() if parameter.grad is not None}
    assert grads == {"lm_head.weight"}
    assert all(not module._forward_hooks for module in case.model.modules())


def test_zeros_of_the_start_hide_no_parameter_but_a_norm_of_zeros_is_found():
    """New height and width keys are zero, so their queries have no gradient yet: that is no fault."""
    case = Case()
    queries = case.model.model.language_model.layers[1].self_attn.q_proj_hw.weight
    case.model(**case.inputs).loss.backward()
    assert not queries.grad.any()
    case.model.zero_grad()
    assert case.examined().findings == ()
    with torch.no_grad():
        case.model.model.language_model.layers[0].self_attn.q_norm.weight.zero_()
    assert {finding.check for finding in case.examined().findings} == {"gradients"}


def test_text_alone_leaves_the_patch_embedding_without_gradient_and_says_so():
    case = Case()
    case.inputs = collate([[sample(["only text"], "xyz"), sample(["q"], "abc")]], pad_id=PAD).inputs
    diagnosis = case.examined()
    status = {outcome.check: outcome.status for outcome in diagnosis.checks}
    assert status["placeholders"] == "not applicable"
    assert {finding.check for finding in diagnosis.findings} == {"gradients"}
    assert "vision_model" in diagnosis.findings[0].where


def test_what_cannot_be_examined_is_refused():
    case = Case()
    with pytest.raises(InputError, match="needs batches"):
        examine(case.model, [])
    with pytest.raises(InputError, match="input_ids and labels"):
        examine(case.model, [{"input_ids": torch.zeros(1, 2, dtype=torch.long)}])
