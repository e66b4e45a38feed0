"""The whole demo with a few steps of each stage: every part runs, continues, and ends in one offline page."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from pixelword.convert import token_settings
from pixelword.demo import run as run_module
from pixelword.demo import run_demo
from pixelword.demo.exam import CAPTION, Prompt, ask, prompts_of, sit_exam
from pixelword.demo.page import write_page
from pixelword.demo.photos import find_photos
from pixelword.demo.plan import the_plan
from pixelword.demo.results import share
from pixelword.demo.vocabulary import word_tokenizer
from pixelword.errors import ConfigError, InputError
from pixelword.model import NeoForConditionalGeneration, neo_tiny
from pixelword.model.processing import NeoProcessor
from pixelword.train import Machine
from pixelword.world import KINDS, NEW_PAIRS
from tests.report.reading import read


def small_plan(first_stage, *, fast):
    plan = the_plan(first_stage, fast=fast)
    lessons = {}
    for name in ("words", "see", "join", "answer", "mini"):
        lesson = getattr(plan, name)
        stage = lesson.stage.model_copy(update={"steps": 2, "rows": 2})
        lessons[name] = lesson.model_copy(update={"stage": stage})
    sizes = {"probe_every": 2, "probe_scenes": 3, "exam_scenes": 6, "blind_scenes": 4, "new_scenes": 4, "captions": 2}
    sizes |= {"mini_items": 2, "jigsaw_sft_steps": 2, "jigsaw_grpo_steps": 1, "jigsaw_puzzles": 4}
    return plan.model_copy(update={**lessons, **sizes})


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    pixels = np.random.default_rng(0).integers(0, 255, (72, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "small.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not looked at")
    return folder


@pytest.fixture(scope="module")
def small_steps():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "the_plan", small_plan)
        patch.setattr(run_module, "look_at_machine", lambda short: Machine(False, False, "float32, eager"))
        yield


@pytest.fixture(scope="module")
def done(small_steps, photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "run"
    run_demo(out, photos, fast=True)
    return out


def test_the_folder_holds_what_it_should(done):
    names = {path.name for path in done.iterdir()}
    assert names >= {"run.json", "log.txt", "seconds.json", "exam.json", "blind.json", "new-pairs.json", "report.html"}
    assert not any("partial" in name for name in names)
    for stage in ("1-words", "2-see", "3-join", "4-answer"):
        assert (done / stage / "done.json").exists()
    assert "trains" in (done / "2-see" / "learns.txt").read_text()
    assert "float32, eager" in (done / "log.txt").read_text()
    looked = [entry for entry in json.loads((done / "3-join" / "log.json").read_text()) if "right" in entry]
    assert looked and set(looked[0]["right"]) <= {*KINDS, "all"}


def test_the_first_stage_left_the_language_model_alone(done):
    from transformers import AutoModelForImageTextToText, Qwen3ForCausalLM

    qwen3 = Qwen3ForCausalLM.from_pretrained(done / "1-words" / "model")
    neo = AutoModelForImageTextToText.from_pretrained(done / "2-see" / "model")
    for number, layer in enumerate(qwen3.model.layers):
        grown = neo.model.language_model.layers[number + 2]
        assert torch.equal(layer.mlp.up_proj.weight, grown.mlp.up_proj.weight)
        assert torch.equal(layer.self_attn.q_proj.weight, grown.self_attn.q_proj.weight)
        assert grown.self_attn.k_proj_hw.weight.abs().max() > 0, "the height and width weights trained"
    assert torch.equal(qwen3.lm_head.weight, neo.lm_head.weight)


def test_the_page_is_one_offline_file_with_all_sections(done):
    html = (done / "report.html").read_text(encoding="utf-8")
    chapters = ("Words:", "Eyes:", "What it sees", "mistakes first", "Jigsaws:", "RealUnify-mini:", "Real pictures")
    found = [heading.text for heading in read(html).all("h2")]
    assert all(chapter in heading for chapter, heading in zip(chapters, found, strict=True))
    assert "fast form" in html and "broken.jpg" in html and "could not be read" in html and "notes.txt" not in html
    assert "9 x 15 = 135 tokens" in html
    for pair in NEW_PAIRS:
        assert " ".join(pair) in html
    assert "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html


def test_it_continues_where_it_stopped(small_steps, done, photos, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(done, out)
    shutil.rmtree(out / "4-answer")
    shutil.rmtree(out / "model")
    for name in ("exam.json", "report.html"):
        (out / name).unlink()
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("1-words/**/*") if path.is_file()}
    stamps |= {path: path.stat().st_mtime_ns for path in out.rglob("3-join/**/*") if path.is_file()}
    run_demo(out, photos, fast=True)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert (out / "report.html").exists()
    assert (out / "exam.json").read_text() == (done / "exam.json").read_text(), "the same as without the interruption"


def test_the_card_beside_the_model_has_the_numbers_of_the_exams(done):
    card = (done / "model" / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert (front["license"], front["library_name"]) == ("apache-2.0", "transformers")
    replies = json.loads((done / "exam.json").read_text())
    asked = [reply["right"] for reply in replies if reply["kind"] != CAPTION]
    row = next(line for line in card.splitlines() if line.startswith("| all questions |"))
    assert f"| {100 * sum(asked) / len(asked):.1f} %" in row and row.endswith(f"| {len(asked)} |")
    assert "fast form" in card and "seed 0" in card and "12 scenes" in card, "three stages of 2 steps of 2 scenes"


def test_another_seed_needs_another_folder(small_steps, done, photos):
    with pytest.raises(ConfigError, match="seed"):
        run_demo(done, photos, fast=True, seed=3)
    with pytest.raises(ConfigError, match="fast"):
        run_demo(done, photos, fast=False)


def test_photographs_that_are_not_there_stop_the_run_before_it_begins(tmp_path):
    with pytest.raises(InputError, match="folder"):
        run_demo(tmp_path / "out", tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no picture"):
        run_demo(tmp_path / "out", tmp_path / "empty")
    assert not (tmp_path / "out").exists()


def test_scikit_image_ships_photographs():
    found = find_photos(None)
    assert len(found) >= 4
    for path in found:
        with Image.open(path) as picture:
            assert min(picture.size) >= 300


def test_the_page_needs_only_the_folder(done, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(done, out)
    before = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    write_page(out)
    assert (out / "report.html").read_bytes() == before


def test_replies_are_judged_by_the_word_and_captions_in_any_order():
    prompts = prompts_of("test", 0, scenes=30, captions=30)
    captions = [prompt for prompt in prompts if prompt.kind == CAPTION]
    several = next(prompt for prompt in captions if len(prompt.example.scene.objects) > 2)
    turned = " , ".join(reversed(several.truth.split(" , ")))
    assert several.judged("test", several.truth).right and several.judged("test", turned).right
    assert not several.judged("test", several.truth.replace(" , ", " ", 1)).right
    question: Prompt = prompts[0]
    assert question.judged("test", question.truth).right
    for said in ("", f"{question.truth} {question.truth}", "circle" if question.truth != "circle" else "red"):
        assert not question.judged("test", said).right


def test_the_exam_asks_in_batches_what_it_would_ask_one_by_one():
    tokenizer = word_tokenizer()
    torch.manual_seed(1)
    model = NeoForConditionalGeneration(neo_tiny(vocab_size=64, **token_settings(tokenizer))).eval()
    processor = NeoProcessor.from_config(model.config, tokenizer)
    prompts = prompts_of("test", 0, scenes=2, captions=1)
    told = []
    replies = sit_exam(model, processor, prompts, "test", batch=5, advance=told.append)
    assert sum(told) == len(prompts) == len(replies)
    for prompt, reply in zip(prompts[:6], replies, strict=False):
        assert ask(model, processor, [prompt.example.picture], [prompt.text]) == [reply.said]
    assert share(replies).asked == len(prompts) - 1 and share(replies, CAPTION).asked == 1
