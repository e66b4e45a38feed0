"""Our model in lmms-eval, against a stub of its interface: manifests, requests, messages, the cache hook.

The stub holds what lmms-eval itself checks: a manifest has a class path, a chat class is an `lmms` with `is_simple`
False, and a chat request is (context, doc_to_messages, settings, doc id, task, split).
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import BaseModel

from pixelword.errors import BackendError, ConfigError, InputError
from pixelword.lmms import manner_of, neo_text
from pixelword.lmms.bounds import PictureBounds
from pixelword.lmms.prompts import MANNERS
from tests.answering.folders import native_folder
from tests.jigsaw.pictures import busy


@dataclass(frozen=True)
class ModelManifest:
    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple[str, ...] = ()


class Lmms:
    is_simple = True

    def __init__(self) -> None:
        self.task_dict: dict[str, Any] = {}
        self.cached: list[Any] = []
        self.cache_hook = SimpleNamespace(add_partial=lambda *entry: self.cached.append(entry))


class Content(BaseModel):
    type: str
    text: str = ""
    url: Any = None


class Message(BaseModel):
    role: str
    content: list[Content]


class ChatMessages(BaseModel):
    messages: list[Message]


@pytest.fixture
def model_class(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class that a registry would find by our entry point."""
    parts = {
        "lmms_eval": {},
        "lmms_eval.api": {},
        "lmms_eval.api.model": {"lmms": Lmms},
        "lmms_eval.protocol": {"ChatMessages": ChatMessages},
        "lmms_eval.models": {},
        "lmms_eval.models.registry_v2": {"ModelManifest": ModelManifest},
    }
    for name, inside in parts.items():
        module = ModuleType(name)
        vars(module).update(inside)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "pixelword.lmms.model", raising=False)
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module_name, _, function = project["entry-points"]["lmms_eval.models"]["pixelword"].partition(":")
    (manifest,) = getattr(importlib.import_module(module_name), function)()
    assert isinstance(manifest, ModelManifest)
    assert manifest.model_id == "pixelword_neo"
    assert manifest.chat_class_path is not None
    place, _, name = manifest.chat_class_path.rpartition(".")
    found = getattr(importlib.import_module(place), name)
    assert issubclass(found, Lmms)
    assert not found.is_simple
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return native_folder(tmp_path_factory.mktemp("lmms") / "tiny", positions=8192)


def asked(task: str, *contents: tuple[str, Any]) -> SimpleNamespace:
    """A request whose document is its content."""
    parts = [{"type": kind, "text" if kind == "text" else "url": value} for kind, value in contents]
    messages = lambda doc: [{"role": "system", "content": []}, {"role": "user", "content": doc}]  # noqa: E731
    return SimpleNamespace(
        args=("context", messages, {"max_new_tokens": 2, "until": ["\n\n"]}, 0, task, "test"), doc=parts
    )


def loaded(model_class: Any, folder: Path, **more: Any) -> Any:
    """The model; its pictures are small ones, so the bounds must be said."""
    return model_class(str(folder), **{"device": "cpu", "dtype": "float32", "batch_size": "1", "bounds": "neo"} | more)


def seen_by(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reaches the processor: (prompt, sizes of pictures, bounds)."""
    seen: list[Any] = []
    genuine = type(model.processor).__call__

    def listen(self: Any, images: Any = None, text: Any = None, **options: Any) -> Any:
        sizes = [image.size for image in images or []]
        seen.append((text[0], sizes, options.get("min_pixels"), options.get("max_pixels")))
        small = {"min_pixels": 3136, "max_pixels": 3136} if images else {}
        return genuine(self, images=images, text=text, **{**options, **small})

    monkeypatch.setattr(type(model.processor), "__call__", listen)
    return seen


def test_a_question_is_asked_as_neo_asks_it(model_class, folder, monkeypatch):
    model = loaded(model_class, folder, max_new_tokens=3)
    seen = seen_by(model, monkeypatch)
    picture, other = busy(0, 60, 40), busy(1, 50, 50)
    requests = [
        asked("docvqa_val", ("image", picture), ("text", "What?\nAnswer the question using a single word or phrase.")),
        asked("ocrbench", ("image", picture), ("text", "What is written?")),
        asked("mmmu_val", ("text", "Left is"), ("image", picture), ("text", "or\n(A) x\n(B) y\n"), ("image", other)),
        asked("mmmu_val", ("image", picture), ("text", "How many?")),
        asked("unheard_of", ("text", "Hello.")),
    ]
    for number, request in enumerate(requests):
        model.task_dict.setdefault(request.args[4], {})["test"] = {number: request.doc} | model.task_dict.get(
            request.args[4], {}
        ).get("test", {})
        request.args = (*request.args[:3], number, *request.args[4:])
    answers = model.generate_until(requests)
    assert len(answers) == 5
    assert [entry[2] for entry in model.cached] == answers
    start, end = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    short = "Answer the question using a single word or phrase."
    letter = "Answer with the option's letter from the given choices directly."
    bounds = (1_310_720, 4_194_304)
    assert seen == [
        (f"{start}<image>\nWhat?\n{short}{end}", [(60, 40)], *bounds),
        (f"{start}<image>\nWhat is written?\n{short}{end}", [(60, 40)], 65_536, 4_194_304),
        (
            f"{start}Image-1: <image>\nImage-2: <image>\nLeft is<Image-1>or\nA. x\nB. y\n{letter}<Image-2>{end}",
            [(120, 80), (50, 50)],
            *bounds,
        ),
        (f"{start}<image>\nHow many?\nAnswer the question directly.{end}", [(120, 80)], *bounds),
        (f"{start}Hello.{end}", [], None, None),
    ]


def test_the_answer_is_that_of_the_model_itself(model_class, folder, monkeypatch):
    model = loaded(model_class, folder, max_new_tokens=3)
    given = model.answer("pope", ["Is it?"], {})
    messages = [{"role": "user", "content": "Is it?"}]
    ids = model.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True)
    row = list(ids["input_ids"][0])
    start = len(row)
    for _ in range(3):
        row.append(int(model._model(input_ids=torch.tensor([row])).logits[0, -1].argmax()))
    assert given == model.processor.decode_answer(row[start:])
    assert len(loaded(model_class, folder, max_new_tokens=0).answer("pope", ["Is it?"], {"max_new_tokens": 1})) <= 1


def test_what_it_cannot_do_is_refused(model_class, folder):
    with pytest.raises(ConfigError, match="one question at a time"):
        model_class(str(folder), batch_size=4)
    with pytest.raises(ConfigError, match="knows its arguments"):
        model_class(str(folder), bounds="neo", max_pixel=3)
    model = loaded(model_class, folder)
    with pytest.raises(BackendError, match="generate_until"):
        model.loglikelihood([])
    with pytest.raises(BackendError, match="one turn"):
        model.generate_until_multi_round([])
    request = asked("x", ("video", "a.mp4"))
    model.task_dict["x"] = {"test": {0: request.doc}}
    with pytest.raises(InputError, match="tasks with pictures"):
        model.generate_until([request])


def test_whose_bounds_size_the_pictures(model_class, folder, monkeypatch):
    """NEO's by task, the folder's own for all, or numbers for all; a model of small pictures must say which."""
    own = (4096, 4096)
    wanted: dict[str, Any] = {
        "neo": ({"bounds": "neo"}, (1_310_720, 4_194_304), (65_536, 4_194_304)),
        "own": ({"bounds": "own"}, own, own),
        "numbers, as strings": ({"min_pixels": "3136", "max_pixels": "9408"}, (3136, 9408), (3136, 9408)),
        "one number": ({"bounds": "own", "max_pixels": 5000}, (4096, 5000), (4096, 5000)),
    }
    for name, (arguments, elsewhere, in_ocrbench) in wanted.items():
        model = model_class(str(folder), device="cpu", dtype="float32", **arguments)
        assert (model.processor.image_processor.min_pixels, model.processor.image_processor.max_pixels) == own
        seen = seen_by(model, monkeypatch)
        for task in ("docvqa_val", "unheard_of", "ocrbench"):
            model.inputs(task, [busy(0, 60, 40), "What?"])
        monkeypatch.undo()
        assert [bounds for _, _, *bounds in seen] == [[*elsewhere], [*elsewhere], [*in_ocrbench]], name


def test_bounds_that_cannot_be(model_class, folder):
    for arguments, message in [
        ({"bounds": ""}, "made for at most 4,096"),
        ({"bounds": "onw"}, "neo or own"),
        ({"max_pixels": 3136}, "raise max_pixels, or lower min_pixels"),
    ]:
        with pytest.raises(ConfigError, match=message):
            loaded(model_class, folder, **arguments)


def test_a_model_of_large_pictures_is_asked_with_the_bounds_of_neo():
    released = PictureBounds((65_536, 4_194_304))
    assert released.of(None) == (1_310_720, 4_194_304)
    assert released.of(MANNERS["ocrbench"]) == (65_536, 4_194_304)


def test_answers_are_not_cut_at_blank_lines(model_class, folder, monkeypatch):
    """NEO's evaluation has no stop strings, and lmms-eval gives a blank line to every task that names none."""
    model = loaded(model_class, folder, max_new_tokens=1)
    said = "First.\n\nSecond. ASSISTANT: third. Question: fourth."
    monkeypatch.setattr(type(model.processor), "decode_answer", lambda self, ids: said)
    stops = {"until": ["\n\n", "Question:"], "max_new_tokens": 1}
    assert model.answer("mmvet", ["Why?"], stops) == said
    assert model.answer("textvqa_val", ["Why?"], {"until": ["ASSISTANT:"]}) == said
    assert model.answer("unheard_of", ["Why?"], stops) == "First.\n\nSecond. ASSISTANT: third. "
    assert model.answer("unheard_of", ["Why?"], {"until": "\n\n"}) == said
    assert model.answer("unheard_of", ["Why?"], {}) == said


def test_the_row_of_the_dataset_helps_to_read_the_question(model_class, folder, monkeypatch):
    model = loaded(model_class, folder, max_new_tokens=1)
    seen = seen_by(model, monkeypatch)
    text = "A hint. Which? There are several options:\nA. x\nB. y\n\n" + LETTER
    request = asked("mmbench_en_dev", ("image", busy(0, 60, 40)), ("text", text))
    context, messages, *rest = request.args
    request.args = (context, lambda doc: messages(doc["parts"]), *rest)
    model.task_dict["mmbench_en_dev"] = {"test": {0: {"hint": "A hint.", "question": "Which?", "parts": request.doc}}}
    model.generate_until([request])
    assert f"<image>\nA hint.\nWhich?\nA. x\nB. y\n{LETTER}<|im_end|>" in seen[0][0]


SHORT = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."


@pytest.mark.parametrize(
    ("task", "question", "expected"),
    [
        ("mme", "Red? Please answer yes or no.", f"Red? Please answer yes or no. {SHORT}"),
        ("hallusion_bench_image", "Is it?", f"Is it? Please answer yes or no. {SHORT}"),
        ("pope", f"Is there a dog?\n{SHORT}", "Is there a dog?"),
        ("mathvista_testmini", "Compute.", "Compute."),
        ("chartqa", "How many?\nAnswer the question with a single word.", f"How many?\n{SHORT}"),
        ("llava_in_the_wild", "Tell me.", "Tell me.\nAnswer this question in detail."),
        ("ai2d", f"Which?\nA. a\nB. b\n{LETTER}", f"Which?\nA. a\nB. b\n{LETTER}"),
        ("mmstar", "Which?", "Which?\nAnswer the question directly."),
    ],
)
def test_endings_by_kind_of_dataset(task, question, expected):
    manner = manner_of(task)
    assert manner is not None
    assert neo_text(question, manner) == expected


def test_names_are_matched_by_whole_words():
    assert manner_of("mmerealworld_lite") is None
    assert manner_of("mmmu_pro_vision") is MANNERS["mmmu_pro"]
    assert manner_of("MMBench_en_dev") is MANNERS["mmbench"]
    assert manner_of("ocrbench_v2") is MANNERS["ocrbench"]
    assert manner_of("videomme") is None
    assert manner_of("mme_sci_image") is None
    assert manner_of("amber_g") is None, "it asks for a description"


def test_tasks_that_ask_for_thoughts_are_not_neos():
    for task in ("mmstar_reasoning", "mmmu_val_thinking", "mmmu_pro_vision_cot", "mathvision_reason_test"):
        assert manner_of(task) is None
