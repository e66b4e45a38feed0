"""Ablations: what a run leaves, how it continues, and that the table says what the marks say."""

import json
import math
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pixelword.ablate import run as run_module
from pixelword.ablate import run_ablation
from pixelword.ablate.build import Builder
from pixelword.ablate.compare import compare, spread
from pixelword.ablate.encoder import EncoderForConditionalGeneration
from pixelword.ablate.exam import EXAM_LENGTH, KINDS, exam_scenes, sit_exam
from pixelword.ablate.floor import blind_floor, steps
from pixelword.ablate.outcome import Outcome
from pixelword.ablate.page import alone, markdown, plots
from pixelword.ablate.plan import DEPTHS, NATIVE, ROWS, Budget, arms_of, budget_of, learns_of, reuse_arms
from pixelword.convert import extract_pre_buffer
from pixelword.errors import BackendError, CheckpointError, ConfigError, InputError, ShapeError
from pixelword.locks import alone_in
from pixelword.model.rope import pair_table
from pixelword.train import BranchCollator, Machine, first_stage
from pixelword.train.learns import select
from pixelword.world import Example, caption, examples

PLAIN = Machine(bfloat16=False, compiled=False, why="float32, eager")
SMALL = Budget(words=2, see=1, answer=2, pictures=2, scenes=4)
BY_NAME = {arm.name: arm for arm in (*reuse_arms("parent"), *reuse_arms("other"), *DEPTHS, *ROWS)}


@pytest.fixture(scope="module")
def small_runs():
    """Two steps in place of minutes, and four arms in place of all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "budget_of", lambda minutes: SMALL if minutes == 1 else budget_of(minutes))
        patch.setattr(run_module, "look_at_machine", lambda: PLAIN)
        chosen = {"rows": ("A", "H"), "reuse": ("H", "PB2", "encoder-trained")}
        patch.setattr(run_module, "arms_of", lambda name, host: tuple(BY_NAME[arm] for arm in chosen[name]))
        yield


@pytest.fixture(scope="module")
def done(small_runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("ablate") / "run"
    run_ablation("rows", out, seeds=2, minutes=1)
    return out


def result(out, arm, seed):
    return json.loads((out / "runs" / arm / f"seed-{seed}" / "result.json").read_text())


def test_a_run_leaves_the_numbers_the_table_and_the_plots(done):
    names = {path.name for path in done.iterdir()}
    assert names >= {"run.json", "log.txt", "rows.json", "rows.md", "rows.svg", "rows-differences.svg", "rows.html"}
    content = json.loads((done / "rows.json").read_text())
    assert [(run["arm"], run["seed"]) for run in content["runs"]] == [("A", 0), ("H", 0), ("A", 1), ("H", 1)]
    assert content["budget"] == SMALL.model_dump()
    a, h = result(done, "A", 0), result(done, "H", 0)
    assert a["parameters"] == h["parameters"] and a["trained"] == h["trained"], "equal budgets"
    assert {kind: len(marks) for kind, marks in a["marks"].items()} == {k: len(m) for k, m in h["marks"].items()}
    assert [len(h["losses"][stage]) for stage in ("see", "answer")] == [1, 2]
    assert h["trained"]["see"] < h["trained"]["answer"] == h["parameters"]
    assert not list(done.glob("runs/*/*/*/model")), "weights of finished runs are removed"


def test_a_folder_continues_and_finished_runs_are_not_repeated(done, small_runs, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(done, out)
    again = out / "runs" / "H" / "seed-1"
    shutil.rmtree(again)
    (again / "see").mkdir(parents=True)
    (again / "see" / "model.partial").mkdir()  # as a killed process leaves it
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("A/seed-*/result.json")}
    kept |= {path: path.stat().st_mtime_ns for path in out.rglob("language/*/done.json")}
    run_ablation("rows", out, seeds=2, minutes=1)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    new, old = result(out, "H", 1), result(done, "H", 1)
    assert new["continued"] and not old["continued"]
    assert (new["marks"], new["losses"]) == (old["marks"], old["losses"]), "as if nothing had happened"


def test_a_finished_first_stage_is_taken_up(done, small_runs, tmp_path):
    """Killed between the stages: the second begins where the first ended."""
    out, interrupted = tmp_path / "run", []
    shutil.copytree(done, out)
    shutil.rmtree(out / "runs" / "H")
    original = run_module.run_stage

    def killed(stage, *words, **options):
        if stage.name == "answer" and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return original(stage, *words, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "run_stage", killed)
        with pytest.raises(KeyboardInterrupt):
            run_ablation("rows", out, seeds=2, minutes=1)
        run_ablation("rows", out, seeds=2, minutes=1)
    assert result(out, "H", 0)["losses"] == result(done, "H", 0)["losses"]
    assert result(out, "H", 0)["trained"] == result(done, "H", 0)["trained"]


def test_another_budget_needs_another_folder(done, small_runs):
    with pytest.raises(ConfigError, match="another budget"):
        run_ablation("rows", done, seeds=1, minutes=0.5)


def test_reuse_trains_sources_once_and_then_the_new_hosts(done, small_runs, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(done, out)
    page = run_ablation("reuse", out, seeds=1, minutes=1)
    assert page.name == "reuse.html" and "encoder after three stages" in page.read_text()
    assert (out / "sources/native/seed-0/join/done.json").exists()
    assert not (out / "sources/native/seed-0/finish").exists(), "PB2 needs two stages only"
    assert (out / "sources/encoder/seed-0/finish/done.json").exists()
    spatial = 2 * 128 * 128 + 4 * 32  # of one layer: two matrices and four norms
    assert result(out, "PB2", 0)["trained"]["see"] == (2 + 4) * spatial
    assert result(out, "encoder-trained", 0)["trained"]["see"] == 2 * (128 * 128 + 128), "the projector alone"


def test_another_host_is_a_language_model_that_the_reused_part_has_never_met(done, small_runs, tmp_path):
    """The source of the part is trained with the parent; only the arm has the other model behind it."""
    out, heard = tmp_path / "run", []
    shutil.copytree(done, out)
    original = run_module.Builder.model

    def heard_model(self, arm, llm, *rest):
        heard.append((arm.name, llm.model.layers[0].mlp.down_proj.weight.detach().clone()))
        return original(self, arm, llm, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module.Builder, "model", heard_model)
        patch.setattr(run_module, "arms_of", lambda name, host: (BY_NAME[f"PB1-{host}"],))
        page = run_ablation("reuse", out, seeds=1, minutes=1, host="other")
    assert page.name == "reuse-other.html"
    assert [run["arm"] for run in json.loads((out / "reuse-other.json").read_text())["runs"]] == ["PB1-other"]
    files = [out / f"language/seed-{seed}/model/model.safetensors" for seed in (0, 1000)]
    parent, other = (load_file(file)["model.layers.0.mlp.down_proj.weight"] for file in files)
    assert not torch.equal(parent, other)
    behind = {name: [torch.equal(weight, one) for one in (parent, other)] for name, weight in heard}
    assert behind == {"H": [True, False], "PB1-other": [False, True]}


# What a user can do wrong, and what can happen to a folder.


@pytest.mark.parametrize("file", ["run.json", "runs/H/seed-0/result.json"])
@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_damaged_file_of_the_folder_is_named(done, small_runs, tmp_path, file, content):
    out = tmp_path / "run"
    shutil.copytree(done, out)
    (out / file).write_text(content)
    with pytest.raises(CheckpointError, match="damaged") as refused:
        run_ablation("rows", out, seeds=1, minutes=1)
    assert file in str(refused.value)


def test_a_full_disk_is_one_sentence_and_what_is_finished_stays(done, small_runs, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(done, out)
    shutil.rmtree(out / "runs" / "H" / "seed-1")
    original = run_module.write_json

    def full(path, content):
        if path.name == "result.json":
            raise OSError(28, "No space left on device", str(path))
        original(path, content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "write_json", full)
        with pytest.raises(InputError, match="cannot be written") as refused:
            run_ablation("rows", out, seeds=2, minutes=1)
    assert "No space left" in str(refused.value) and "the same command goes on" in str(refused.value)
    assert result(out, "H", 0) == result(done, "H", 0)
    run_ablation("rows", out, seeds=2, minutes=1)
    assert result(out, "H", 1)["marks"] == result(done, "H", 1)["marks"]


def test_a_place_that_cannot_be_a_folder_and_a_folder_in_use_are_refused(small_runs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        run_ablation("rows", tmp_path / "file", seeds=1, minutes=1)
    with alone_in(tmp_path / "run"), pytest.raises(BackendError, match="another run"):
        run_ablation("rows", tmp_path / "run", seeds=1, minutes=1)


# The arms themselves.


def test_the_rows_are_those_of_the_paper():
    table = {
        "A": ("causal", "1d"),
        "B": ("mixed", "1d"),
        "C": ("mixed", "il"),
        "D": ("mixed", "m"),
        "E": ("mixed", "mm"),
        "F": ("mixed", "video"),
        "G": ("causal", "native"),
        "H": ("mixed", "native"),
        "I": ("mixed", "native"),
    }
    builder = Builder(SMALL)
    llm = builder.language_model(0)
    models = {arm.name: builder.model(arm, llm, 0, None, None).config.llm_config for arm in ROWS}
    assert {name: (c.attention_pattern, c.rope_scheme) for name, c in models.items()} == table
    assert models["I"].rope_theta_hw == models["I"].rope_theta != models["H"].rope_theta_hw
    assert not torch.equal(pair_table(models["I"])[1], pair_table(models["H"])[1])
    assert [builder.model(arm, llm, 0, None, None).config.llm_config.extra_num_layers for arm in DEPTHS] == [0, 2, 4]


def test_all_arms_of_a_seed_start_from_the_same_language_model(tmp_path):
    builder = Builder(SMALL)
    llm = builder.language_model(3)
    trained = builder.model(NATIVE, llm, 9, None, tmp_path)
    trained.save_pretrained(tmp_path / "model")
    arms = [BY_NAME[name] for name in ("A", "H", "depth-0", "depth-4", "PB1", "encoder")]
    for arm in arms:
        model = builder.model(arm, llm, 3, tmp_path / "model" if arm.source else None, tmp_path)
        layers = model.model.language_model.layers[-4:]
        for layer, original in zip(layers, llm.model.layers, strict=True):
            assert torch.equal(layer.mlp.down_proj.weight, original.mlp.down_proj.weight), arm.name
        if arm.name == "PB1":
            ours, source = model.model.language_model.layers[0], trained.model.language_model.layers[0]
            assert torch.equal(ours.mlp.up_proj.weight, source.mlp.up_proj.weight)
            assert extract_pre_buffer(tmp_path / "model", tmp_path / "again").exists()


def test_unknown_names_and_impossible_budgets_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such ablation"):
        arms_of("colums")
    with pytest.raises(ConfigError, match="language model"):
        arms_of("reuse", "mine")
    for minutes in (0.001, 0, -1, math.nan, math.inf, -math.inf):
        with pytest.raises(ConfigError, match="too short"):
            budget_of(minutes)
    with pytest.raises(ConfigError, match="seed"):
        run_ablation("rows", tmp_path / "no", seeds=0)
    assert budget_of(2).see + budget_of(2).answer == 2 * (budget_of(1).see + budget_of(1).answer)


# The encoder.


def encoder():
    builder = Builder(SMALL)
    return builder, builder.model(BY_NAME["encoder"], builder.language_model(0), 0, None, None)


def batch_of(builder, scenes=2):
    from pixelword.demo.rows import RowWriter

    write = RowWriter(builder.tokenizer, 64, captions=1, questions=False)
    collate = BranchCollator(EXAM_LENGTH, builder.tokenizer.pad_token_id, builder.processor.image_processor)
    return collate([write(scene) for scene in exam_scenes(0, scenes)])


def test_the_encoder_survives_saving_and_sees_the_whole_picture(tmp_path):
    builder, model = encoder()
    model.train(False)
    batch = batch_of(builder)
    model.save_pretrained(tmp_path)
    again = EncoderForConditionalGeneration.from_pretrained(tmp_path).train(False)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    pixels, grid = batch["pixel_values"], batch["image_grid_thw"]
    before = model.get_image_features(pixels, grid)
    changed = pixels.clone()
    changed[255] += 1  # the last patch of the first picture
    after = model.get_image_features(changed, grid)
    assert before.shape == (128, 128)
    assert not torch.equal(before[0], after[0]), "the first square sees the last"
    assert torch.equal(before[64:], after[64:]), "the other picture does not"
    with pytest.raises(ShapeError, match="one size"):
        model.get_image_features(pixels[:128], torch.tensor([[1, 8, 16]]))


def test_the_modular_design_never_trains_height_and_width():
    _, model = encoder()
    arms = (BY_NAME["encoder"], BY_NAME["encoder-trained"])
    patterns = first_stage(model.config)
    first, reused = (select(model, learns_of(arm, "see", patterns)) for arm in arms)
    assert {name.split(".")[2] for name in reused} == {"projector"}
    assert all(name.startswith("model.vision_model.") for name in first) and len(first) > len(reused)
    everything = select(model, learns_of(arms[0], "answer", patterns))
    rest = {name for name, _ in model.named_parameters()} - set(everything)
    assert rest and all("_hw" in name or "_norm_h" in name or "_norm_w" in name for name in rest)


# The exam and the table, against slow witnesses.


def test_marks_are_those_of_asking_word_by_word():
    builder = Builder(SMALL)
    model = builder.model(NATIVE, builder.language_model(1), 1, None, None).train(False)
    collate = BranchCollator(EXAM_LENGTH, builder.tokenizer.pad_token_id, builder.processor.image_processor)
    scenes = exam_scenes(0, 3)
    got = sit_exam(model, scenes, builder.tokenizer, collate, PLAIN)
    wanted = {kind: "" for kind in KINDS}
    for scene in scenes:
        for kind, mark in slow_marks(builder, model, scene):
            wanted[kind] += mark
    assert got.of_kind == wanted
    assert got.share == sum(marks.count("1") for marks in wanted.values()) / sum(map(len, wanted.values()))


def slow_marks(builder: Builder, model, scene: Example):
    """The processor's own prompt for each word, the words so far behind it, one forward pass each."""
    words = [*caption(scene.scene, "list", None).split(), "<|im_end|>"]
    message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "list"}]}]
    inputs = builder.processor.apply_chat_template(
        [message],
        images=[scene.picture],
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
        return_tensors="pt",
    )
    inputs.pop("attention_mask", None)
    prompt = inputs.pop("input_ids")
    for number, word in enumerate(words):
        so_far = builder.tokenizer.convert_tokens_to_ids(words[:number])
        ids = torch.cat((prompt, torch.tensor([so_far], dtype=torch.long)), dim=1)
        with torch.no_grad():
            best = int(model(input_ids=ids, **inputs, use_cache=False).logits[0, -1].argmax())
        kind = next(kind for kind, known in KINDS.items() if word in known)
        yield kind, str(int(builder.tokenizer.convert_ids_to_tokens(best) == word))


def made_up(arm, seed, right, asked=100):
    half = asked // 2
    ones = "1" * right + "0" * (asked - right)
    marks = {"color": ones[:half], "place": ones[half:]}
    numbers = {"parameters": 7, "trained": {"see": 3, "answer": 7}, "losses": {}, "continued": seed == 1}
    return Outcome(arm=arm, seed=seed, marks=marks, seconds={"cpu": 10.0 + seed, "wall": 1.0}, **numbers)


def test_the_table_is_the_arithmetic_of_the_marks():
    shares = {"A": (50, 56, 59), "H": (70, 71, 78)}
    outcomes = [made_up(arm, seed, right) for arm, row in shares.items() for seed, right in enumerate(row)]
    first, reference = compare([BY_NAME["A"], BY_NAME["H"]], outcomes[::-1])
    apart = [(a - h) / 100 for a, h in zip(shares["A"], shares["H"], strict=True)]
    mean = sum(apart) / 3
    half = 4.302652729911275 * math.sqrt(sum((d - mean) ** 2 for d in apart) / 2) / math.sqrt(3)
    assert first.shares == (0.5, 0.56, 0.59)
    got = (first.difference.mean, first.difference.low, first.difference.high)
    assert got == pytest.approx((mean, mean - half, mean + half))
    assert first.verdict == "worse" and reference.verdict == "reference" and reference.difference is None
    assert (first.pooled.right, first.pooled.asked) == (165, 300)
    assert (first.kinds["color"].right, first.kinds["place"].right) == (150, 15)
    assert first.cpu == 11.0, "the continued run is left out of the mean of seconds"
    text = markdown([first, reference])
    assert "| A | causal, 1D | 55.0 [43.6, 66.4] | -18.0 [-24.6, -11.4] | worse |" in text


def test_intervals_of_students_t_hold_the_truth_as_often_as_they_say():
    draws = np.random.default_rng(0).normal(0.7, 0.05, (4000, 3))
    held = [one.low <= 0.7 <= one.high for one in map(spread, draws.tolist())]
    assert 0.94 < sum(held) / len(held) < 0.96


def test_one_seed_has_no_interval_and_is_said_so():
    outcomes = [made_up("A", 0, 50), made_up("H", 0, 60)]
    line, _ = compare([BY_NAME["A"], BY_NAME["H"]], outcomes)
    assert line.verdict == "one seed" and line.difference.low is None
    assert "| 50.0 | -10.0 | one seed |" in markdown(compare([BY_NAME["A"], BY_NAME["H"]], outcomes))


def test_a_reference_near_chance_or_the_ceiling_is_said():
    for right, advice in ((50, "give more"), (70, ""), (97, "give fewer")):
        text = markdown(compare([BY_NAME["A"], BY_NAME["H"]], [made_up("A", 0, 80), made_up("H", 0, right)]))
        assert advice in text and ("outside 60 to 95 %" in text) == bool(advice)


def test_the_floor_is_what_words_alone_give_away():
    scenes = exam_scenes(0, 40)
    for scene in scenes:
        assert [word for _, word in steps(scene)] == [*caption(scene.scene, "list", None).split(), "end"]
    # With one scene learnt, its own words are known and every guess at them is right.
    first = next(iter(examples("train", 5, questions=1)))
    assert blind_floor([first], 5, learnt=1) == 1.0
    floor = blind_floor(scenes, 0, learnt=500)
    assert (1 / 6 + 1 / 4 + 1 / 9 + 1 / 2) / 4 < floor < 0.55


def test_a_plot_stands_alone_as_a_file():
    outcomes = [made_up(arm, seed, 60 + 3 * seed + (arm == "H")) for arm in "AH" for seed in range(3)]
    for plot in plots(compare([BY_NAME["A"], BY_NAME["H"]], outcomes), floor=0.4):
        svg = alone(plot)
        root = ElementTree.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and "var(" not in svg
        assert "causal, 1D" in "".join(root.itertext())
