"""The modular design: equal to running encoder and language model by hand, and trained by the same trainer."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForImageTextToText, AutoProcessor

from pixelword.cli.main import run
from pixelword.convert import load_released, modular_from, modular_processor, neo_tokenizer, save_released
from pixelword.convert import token_settings as settings_of
from pixelword.errors import CheckpointError, ConfigError, ShapeError
from pixelword.model.modular import ModularConfig, ModularForConditionalGeneration, evenly, tiles
from pixelword.recipe import differences, load_recipe
from pixelword.train import prepare, run_recipe, select
from pixelword.train.doctor import examine_recipe
from tests.ablate.towers import qwen3, seeing, tower
from tests.train import spread_runs
from tests.train.small_run import small_recipe, write_data
from tests.train.two_processes import in_processes

RECIPES = Path(__file__).parents[2] / "recipes" / "modular"


def assembled(folder, kind="clip", **options):
    """A modular model, the encoder and the Qwen3 it was made of."""
    whole, sees = tower(kind, folder / "tower")
    words, reads = qwen3(folder / "qwen3", **options.pop("llm", {}))
    tokenizer = neo_tokenizer(reads)
    model = modular_from(sees, reads, **settings_of(tokenizer), **options)
    return model, seeing(whole), words


def by_hand(encoder, kind, model, pixels, cuts):
    """Features of one picture (3, height, width): tile after tile, then four neighbours of every token side by side."""
    last = len(encoder.encoder.layer if kind == "internvl" else encoder.encoder.layers)
    rows, columns = pixels.shape[1] // 4, pixels.shape[2] // 4
    made = torch.zeros(rows, columns, 32)
    for top, left in product(*cuts):
        tile = pixels[None, :, 4 * top.start : 4 * top.stop, 4 * left.start : 4 * left.stop]
        resize = {} if kind == "internvl" else {"interpolate_pos_encoding": True}
        states = encoder(tile, output_hidden_states=True, **resize)
        hidden = states.hidden_states[last - 1] if kind == "clip" else states.last_hidden_state
        hidden = hidden if kind == "siglip" else hidden[:, 1:]
        made[top.start : top.stop, left.start : left.stop] = hidden[0].view(len(top), len(left), 32)
    tokens = [
        torch.cat([made[2 * row + y, 2 * column + x] for y in (0, 1) for x in (0, 1)])
        for row, column in product(range(rows // 2), range(columns // 2))
    ]
    return model.model.vision_model.projector(torch.stack(tokens))


def patches(pixels):
    """(3, height, width) -> (P, 48), row by row."""
    rows, columns = pixels.shape[1] // 4, pixels.shape[2] // 4
    return torch.stack(
        [pixels[:, 4 * r : 4 * r + 4, 4 * c : 4 * c + 4].flatten() for r, c in product(range(rows), range(columns))]
    )


@pytest.mark.parametrize("kind", ["clip", "siglip", "internvl"])
@torch.no_grad()
def test_the_model_equals_encoder_and_language_model_run_by_hand(kind, tmp_path):
    model, encoder, words = assembled(tmp_path, kind)
    own, wide = torch.randn(3, 16, 16), torch.randn(3, 8, 40)
    grids = torch.tensor([[1, 4, 4], [1, 2, 10]])
    whole = [range(0, 4)]
    tiled = ([range(0, 2)], [range(0, 2), range(2, 6), range(6, 10)])
    features = torch.cat(
        [by_hand(encoder, kind, model, own, (whole, whole)), by_hand(encoder, kind, model, wide, tiled)]
    )
    pixels = torch.cat([patches(own), patches(wide)])
    assert torch.allclose(model.get_image_features(pixels, grids), features, atol=1e-5)
    context, start, end = (
        model.config.image_token_id,
        model.config.image_start_token_id,
        model.config.image_end_token_id,
    )
    ids = torch.tensor([[72, start, *[context] * 4, end, 105, start, *[context] * 5, end, 33, 34]])
    embeds = words.get_input_embeddings()(ids)
    embeds[ids == context] = features
    wanted = words(inputs_embeds=embeds).logits
    got = model(input_ids=ids, pixel_values=pixels, image_grid_thw=grids).logits
    assert torch.allclose(got, wanted, atol=1e-4)
    again = words.generate(
        inputs_embeds=embeds, max_new_tokens=6, do_sample=False, suppress_tokens=[context, start, end]
    )
    answer = model.generate(ids, pixel_values=pixels, image_grid_thw=grids, max_new_tokens=6, do_sample=False)
    assert answer[0, ids.shape[1] :].tolist() == again[0].tolist()


@pytest.mark.parametrize("kind", ["whole clip", "whole siglip"])
def test_the_encoder_is_found_inside_a_whole_model_and_nothing_idle_is_kept(kind, tmp_path):
    model, encoder, words = assembled(tmp_path, kind, language="native", llm={"tie_word_embeddings": False})
    stored = encoder.state_dict()
    for name, weight in model.model.vision_model.encoder.state_dict().items():
        assert torch.equal(weight, stored[name]), name
    ids = torch.randint(0, 250, (2, 9))
    assert torch.allclose(model(input_ids=ids).logits, words(input_ids=ids).logits, atol=1e-5)
    assert any("k_proj_hw" in name for name, _ in model.named_parameters()), "a native language model"
    inputs = {"pixel_values": torch.randn(16, 48), "image_grid_thw": torch.tensor([[1, 4, 4]])}
    model.get_image_features(**inputs).sum().backward()
    idle = [name for name, weight in model.model.vision_model.named_parameters() if weight.grad is None]
    assert idle == []


def test_a_folder_is_read_back_whole_and_damage_is_named(tmp_path):
    model, _, _ = assembled(tmp_path, "internvl", dropped_layers=1)
    processor = modular_processor(model, neo_tokenizer(tmp_path / "qwen3"), tmp_path / "tower")
    folder = save_released(model, processor, tmp_path / "out")
    for again in (load_released(folder)[0], AutoModelForImageTextToText.from_pretrained(folder)):
        assert isinstance(again, ModularForConditionalGeneration)
        assert all(torch.equal(weight, again.state_dict()[name]) for name, weight in model.state_dict().items())
        assert again.config.to_dict() == model.config.to_dict() or again.config.dtype is not None
    read = AutoProcessor.from_pretrained(folder).image_processor
    assert (read.patch_size, read.merge_size, read.image_mean[0]) == (4, 2, 0.485)
    config = json.loads((folder / "config.json").read_text())
    for change, message in (
        ({"num_hidden_layers": 3}, "tensors are missing"),
        ({"model_type": "dinov2"}, "CLIP, a SigLIP or an InternViT"),
    ):
        broken = config | {"encoder_config": config["encoder_config"] | change}
        (folder / "config.json").write_text(json.dumps(broken))
        with pytest.raises(CheckpointError, match=message):
            load_released(folder)


def test_what_cannot_be_put_together_is_refused_in_one_sentence(tmp_path):
    _, sees = tower("clip", tmp_path / "tower")
    _, reads = qwen3(tmp_path / "qwen3")
    with pytest.raises(CheckpointError, match="transformers' own format"):
        modular_from(reads, reads)
    with pytest.raises(ConfigError, match="left out"):
        modular_from(sees, reads, dropped_layers=3)
    with pytest.raises(ConfigError, match="causal"):
        modular_from(sees, reads, rope_scheme="native")
    with pytest.raises(ConfigError, match="plain or native"):
        modular_from(sees, reads, language="both")
    weights = (sees / "model.safetensors").read_bytes()
    (sees / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="whole safetensors"):
        modular_from(sees, reads)
    (sees / "config.json").write_text(json.dumps(json.loads((sees / "config.json").read_text()) | {"hidden_size": "x"}))
    with pytest.raises(CheckpointError, match="broken"):
        modular_from(sees, reads)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=3), st.integers(1, 4))
def test_tiles_hold_every_patch_once_in_their_own_order(sizes, side):
    grids = torch.tensor([(1, 2 * rows, 2 * columns) for rows, columns in sizes]).view(-1, 3)
    seen = []
    for tile in tiles(grids, 2 * side, 2):
        assert max(tile.shape) <= 2 * side and all(length % 2 == 0 for length in tile.shape)
        seen += tile.flatten().tolist()
    assert sorted(seen) == list(range(int(grids.prod(-1).sum())))
    for length in range(2, 40, 2):
        parts = evenly(length, 2 * side, 2)
        assert sum(parts) == length and max(parts) - min(parts) <= 2 and len(parts) == -(-length // (2 * side))


def test_pixels_that_do_not_fit_their_grids_are_refused(tmp_path):
    model, _, _ = assembled(tmp_path)
    with pytest.raises(ShapeError, match="16 patches, 48 values"):
        model.get_image_features(torch.zeros(15, 48), torch.tensor([[1, 4, 4]]))


# Training, by the trainer of every other recipe.


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A folder of data and a modular checkpoint, made by the command."""
    folder = write_data(tmp_path_factory.mktemp("modular"))
    tower("siglip", folder / "tower")
    qwen3(folder / "qwen3")
    with pytest.raises(SystemExit) as leaving:
        run(["convert", "modular", *(str(folder / name) for name in ("tower", "qwen3", "modular")), "--native"])
    assert leaving.value.code == 0
    return folder


def patterns(name):
    return load_recipe(RECIPES / f"{name}.yaml").learns


def recipe_of(start, learns, **changes):
    model = {"checkpoint": str(start / "modular"), "dtype": "float32"}
    images = {"min_pixels": 64, "max_pixels": 1024}
    return small_recipe(start, model=model, images=images, learns=learns, **changes)


def test_stages_train_what_they_say_and_lower_the_loss(start, tmp_path):
    """Two stages as in recipes/modular: projector and height and width weights, then everything."""
    recipe = recipe_of(start, patterns("clip"), steps=12, optimizer={"rate": 1e-2})
    before, _ = load_released(start / "modular")
    run_recipe(recipe, tmp_path / "first")
    after, _ = load_released(tmp_path / "first" / "model")
    changed = {n for n, weight in after.state_dict().items() if not torch.equal(weight, before.state_dict()[n])}
    groups = {"projector" if "projector" in name else name.split(".")[-2] for name in changed}
    assert groups == {"projector", "q_proj_hw", "k_proj_hw", "k_norm_h", "k_norm_w", "q_norm_h", "q_norm_w"}
    told = losses(tmp_path / "first")
    assert sum(told[-3:]) < 0.97 * sum(told[:3])
    second = recipe_of(start, patterns("clip-sft"), steps=2, optimizer={"rate": 1e-3, "warmup_steps": 0})
    prepared = prepare(second.model_copy(update={"checkpointing": True}))
    assert len(prepared.learning) == len(list(prepared.model.parameters()))


def test_the_doctor_finds_nothing_in_it(start):
    """Packed equals alone, labels aligned, and all that trains gets gradient."""
    found = examine_recipe(recipe_of(start, [".*"], steps=4, checkpointing=True), trial=False)
    assert not found.findings, found.findings
    assert sum(outcome.status == "sound" for outcome in found.checks) >= len(found.checks) - 1, found.checks


def test_two_processes_train_it_as_one_does_although_their_tiles_differ(start, tmp_path):
    recipe = recipe_of(start, [".*"], steps=3, rows_per_step=2, data={"lanes": 2})
    run_recipe(recipe, tmp_path / "one")
    in_processes(2, spread_runs.watched, recipe, tmp_path / "two", launch=False)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


def losses(run):
    log = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [line["loss"] for line in log if "loss" in line]


# The shipped recipes.

BIG = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}


def full_size(language):
    """CLIP-ViT-L/14 without its last layer before a Qwen3-1.7B, without memory."""
    text = {"num_hidden_layers": 28, "extra_num_layers": 0}
    text |= {"rope_scheme": "1d", "attention_pattern": "causal"} if language == "plain" else {}
    sees = {**BIG, "model_type": "clip_vision_model", "image_size": 224, "patch_size": 14}
    config = ModularConfig(
        llm_config=text,
        vision_config={"patch_size": 14, "hidden_size": 1024},
        encoder_config=sees,
        language=language,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        return ModularForConditionalGeneration(config)


def test_recipes_train_the_parts_they_name_at_full_size():
    native, plain = full_size("native"), full_size("plain")
    projector = 2 * 4096 + 4096 * 2048 + 2048 + 2048 * 2048 + 2048
    assert trained(native, "clip") == projector + 28 * 6_291_712, "NEO's height and width weights of 28 layers"
    assert trained(plain, "encoder-based") == projector
    encoder = sum(weight.numel() for weight in plain.model.vision_model.encoder.parameters())
    assert trained(plain, "encoder-based-midtrain") == projector + encoder
    words = trained(plain, "encoder-based-sft") - projector - encoder
    assert words == 28 * 50_336_000 + 2048 + 311_164_928, "Qwen3-1.7B, not one weight more"
    assert trained(native, "clip-sft") == words + projector + encoder + 28 * 6_291_712


def trained(model, name):
    select(model, patterns(name))
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def test_arms_of_a_stage_differ_in_the_encoder_alone():
    """The same data, steps, rates and packing, and as many tokens for a picture of any size."""
    for stage in ("", "-sft"):
        reference, *others = (
            load_recipe(RECIPES / f"{n}{stage}.yaml") for n in ("reuse", "clip", "siglip", "internvit")
        )
        for other in others:
            changed = {line.partition(":")[0].partition(".")[0] for line in differences(reference, other)}
            assert changed <= {"name", "model", "images", "learns"}
            for bound in ("min_pixels", "max_pixels"):
                assert getattr(other.images, bound) / 28**2 == getattr(reference.images, bound) / 32**2
    talk, neo = (load_recipe(RECIPES.parent / n) for n in ("modular/encoder-based-sft.yaml", "neo-2b/sft.yaml"))
    changed = {line.partition(":")[0].partition(".")[0] for line in differences(talk, neo)}
    assert changed == {"name", "model", "images"}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_number_of_a_recipe_has_its_source(path):
    assert load_recipe(path).name == f"modular-{path.stem}"
    lines = path.read_text().splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        key, colon, value = line.partition("#")[0].partition(":")
        if colon and isinstance(yaml.safe_load(value.strip() or "x"), int | float | list) and key.strip()[0] != "-":
            assert re.search(r"#.*\b(paper|script|ours)\b", f"{above if above[:1] == '#' else ''}{line}"), line
