"""What learns: strict patterns, and NEO's first stage against the names spelled out."""

import pytest
import torch

from pixelword.errors import ConfigError
from pixelword.model import NeoForConditionalGeneration, neo_2b, neo_9b, neo_tiny
from pixelword.train import EVERYTHING, as_text, first_stage, select, table


def tiny():
    config = neo_tiny(hidden_size=32, num_hidden_layers=5, extra_num_layers=2, intermediate_size=48, head_dim=16)
    return NeoForConditionalGeneration(config)


def spelled_out(name, depth):
    """The rule of the paper, by the released names: patch embedding, first layers, height and width weights."""
    parts = name.split(".")
    spatial = {"q_proj_hw", "k_proj_hw", "q_norm_h", "q_norm_w", "k_norm_h", "k_norm_w"}
    if "vision_model" in parts:
        return True
    if "layers" in parts and int(parts[parts.index("layers") + 1]) < depth:
        return True
    return parts[-1] == "weight" and parts[-2] in spatial


def test_the_first_stage_is_the_rule_spelled_out_name_by_name():
    model = tiny()
    chosen = select(model, first_stage(model.config))
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == spelled_out(name, 2) == (name in chosen), name
    assert not model.lm_head.weight.requires_grad, "the head's name ends like a height weight's begins"
    assert not model.get_input_embeddings().weight.requires_grad


@pytest.mark.parametrize(
    ("pattern", "fix"),
    [
        (r"model\.visoin_model\..*", "did you mean 'model.vision_model'?"),
        (r".*\.q_porj\..*", "did you mean 'q_proj'?"),
        (r"model\.language_model\.layer\.[01]\..*", "did you mean 'model.language_model.layers.0'?"),
        (r"lm_haed\.weight", "did you mean 'lm_head.weight'?"),
        ("zzz", "names begin with lm_head.weight, model.language_model, model.vision_model"),
    ],
)
def test_a_pattern_that_matches_nothing_suggests_what_it_may_have_meant(pattern, fix):
    with pytest.raises(ConfigError, match="matches no parameter") as caught:
        select(tiny(), (pattern,))
    assert caught.value.fix == fix


@pytest.mark.parametrize(("config", "trainable"), [(neo_2b(), 864_878_592), (neo_9b(), 2_056_061_952)])
def test_the_first_stage_trains_as_many_parameters_as_in_the_paper(config, trainable):
    with torch.device("meta"):
        model = NeoForConditionalGeneration(config)
    select(model, first_stage(config))
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == trainable
    assert sum(line.trains for line in table(model, {name: "" for name, _ in model.named_parameters()})) == trainable


def test_without_a_pre_buffer_only_the_new_weights_train():
    config = neo_tiny(hidden_size=32, num_hidden_layers=2, extra_num_layers=0, intermediate_size=48, head_dim=16)
    model = NeoForConditionalGeneration(config)
    chosen = select(model, first_stage(config))
    assert chosen == [name for name, _ in model.named_parameters() if spelled_out(name, 0)]


def test_everything_is_everything_and_select_forgets_the_stage_before():
    model = tiny()
    select(model, first_stage(model.config))
    assert len(select(model, EVERYTHING)) == len(list(model.parameters()))
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        ((), "must train something"),
        ((r"model\.vision_modell\..*",), "vision_model"),
        ((r".*", r"layers\.0"), "matches no parameter"),
        (("(",), "no regular expression"),
    ],
)
def test_patterns_that_mean_nothing_are_refused(patterns, said):
    with pytest.raises(ConfigError, match=said):
        select(tiny(), patterns)


def test_the_table_counts_every_weight_once():
    model = tiny()
    select(model, first_stage(model.config))
    lines = table(model, {name: "Muon 0.003" for name, _ in model.named_parameters()})
    assert sum(line.trains + line.frozen for line in lines) == sum(p.numel() for p in model.parameters())
    by_part = {line.part: line for line in lines}
    assert by_part["LLM layers"].trains == 0 and by_part["pre-Buffer"].frozen == 0
    assert by_part["head"].rates == "" and by_part["patch embedding"].rates == "Muon 0.003"
    text = as_text(lines)
    assert all(part in text for part in by_part) and len({len(line) for line in text.splitlines()[:1]}) == 1
