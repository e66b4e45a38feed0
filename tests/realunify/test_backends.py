"""Each way of reaching a model against something of its shape: a server over HTTP, a process, a stand-in library."""

from __future__ import annotations

import io
import sys
import types
from functools import partial
from pathlib import Path

import anyio
import pytest
from PIL import Image

from pixelword.errors import ConfigError, ImageError, PromptError
from pixelword.realunify.backends import CallFailed, NotSupported, Operation, Request, RunStopped, worker_template
from pixelword.realunify.backends.diffusers_pipeline import DiffusersPipeline
from pixelword.realunify.backends.exact import ExactJudge
from pixelword.realunify.backends.gemini import Gemini, read_candidates
from pixelword.realunify.backends.http import Http, Refused, pause
from pixelword.realunify.backends.openai_http import OpenAiHttp, read_chat, read_images
from pixelword.realunify.backends.worker import Worker
from pixelword.realunify.mini import mini_drawing
from pixelword.realunify.picture_bytes import read_header
from pixelword.realunify.prompts import judge_prompt
from pixelword.realunify.records import Outcome, same_model
from tests.realunify.harness import KEY, Loopback, Plan, known

DRAW = Request(Operation.GENERATE, "a cat", seed=3)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, KEY)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "in.png"
    Image.new("RGB", (40, 30), "blue").save(path)
    return path


def call(backend, *requests):
    """The answers to some requests, one after the other."""

    async def all_of_them():
        try:
            return [await backend.call(request) for request in requests]
        finally:
            await backend.close()

    return anyio.run(all_of_them)


@pytest.mark.parametrize("make", [OpenAiHttp, partial(OpenAiHttp, pictures_by="chat"), Gemini])
def test_a_server_reads_draws_and_edits(make, picture):
    with Loopback(Plan(side=64), known(1)) as server:
        backend = make("tiny", base_url=server.url)
        item = next(iter(known(1).drawn.values()))
        said, drawn, edited = call(
            backend,
            Request(Operation.UNDERSTAND, item.new_prompt),
            Request(Operation.GENERATE, item.gold_prompt, seed=3, settings={"size": "64x64"}),
            Request(Operation.EDIT, "paint it", (picture,)),
        )
    assert said.text == item.gold_prompt
    assert read_header(drawn.picture).format == "PNG"
    assert Image.open(io.BytesIO(edited.picture)).getpixel((0, 0)) == (255, 0, 0), "the server knows no such picture"
    assert {said.reported, drawn.reported} == {"tiny"}
    assert server.keys in ({f"Bearer {KEY}"}, {KEY})


@pytest.mark.parametrize(
    ("status", "text", "error", "says"),
    [
        (401, "bad key", RunStopped, "key"),
        (403, "no", RunStopped, "key"),
        (402, "pay", RunStopped, "quota"),
        (404, "what model?", RunStopped, "model"),
        (429, "insufficient_quota", RunStopped, "quota"),
        (429, "slow down", CallFailed, "could not answer"),
        (500, "oh", CallFailed, "could not answer"),
        (400, "size", CallFailed, "rejects"),
        (405, "", NotSupported, "cannot do"),
        (501, "", NotSupported, "cannot do"),
        (400, "blocked by moderation", Refused, "moderation"),
        (400, "Unknown parameter: 'moderation'", CallFailed, "rejects"),
    ],
)
def test_what_each_status_means(status, text, error, says):
    with pytest.raises(error, match=says):
        Http("http://x", KEY).judge_status(status, f"{text} {KEY}", {})
    with pytest.raises(error) as caught:
        Http("http://x", KEY).judge_status(status, f"{text} {KEY}", {})
    assert KEY not in str(caught.value)


def test_only_some_failures_are_tried_again():
    again = {}
    for status in (400, 408, 409, 422, 429, 500, 502, 503, 504):
        with pytest.raises(CallFailed) as caught:
            Http("http://x", "").judge_status(status, "", {"retry-after": "7"})
        again[status] = caught.value.again
    assert again == {400: False, 422: False} | dict.fromkeys((408, 409, 429, 500, 502, 503, 504), True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("0.5", 0.5), ("9999999", 120), ("", None), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
def test_retry_after(text, seconds):
    assert pause({"retry-after": text}) == seconds


def test_a_server_that_is_not_there_is_a_failure_and_not_a_crash():
    with pytest.raises(CallFailed, match="connection"):
        call(OpenAiHttp("tiny", base_url="http://127.0.0.1:9/v1"), DRAW)


def test_no_key_no_call(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="no key"):
        OpenAiHttp("gpt-image-2")
    assert OpenAiHttp("local", base_url="http://127.0.0.1:9/v1").http.headers == {}


@pytest.mark.parametrize("address", ["http://me:secret@here/v1", "http://secret@here/v1", "http://here/v1?key=secret"])
def test_a_secret_in_an_address_is_refused_and_not_repeated(address):
    with pytest.raises(ConfigError, match="would stand in the log") as caught:
        Http(address, "")
    assert "secret" not in str(caught.value)


def test_a_server_that_repeats_the_key_in_a_reply_is_cut():
    assert Http("http://x", KEY).read_object(f'{{"text": "{KEY}"}}'.encode()) == {"text": "[key]"}


class Foreign(Exception):
    """As the libraries of vendors raise it."""

    def __init__(self, text, **held):
        super().__init__(text)
        self.__dict__.update(held)


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (Foreign("bad key", status_code=401), RunStopped),
        (Foreign("no model", code=404), RunStopped),
        (Foreign("insufficient_quota", response=types.SimpleNamespace(status_code=429)), RunStopped),
        (Foreign("too large", status_code=400), CallFailed),
        (Foreign("oh", status_code=500), CallFailed),
        (Foreign("a code of its own", code="bad"), CallFailed),
        (RunStopped("ours"), RunStopped),
    ],
)
def test_errors_of_other_libraries_mean_what_their_status_does(error, means):
    pytest.importorskip("inspect_ai")
    from pixelword.realunify.inspecting.foreign_errors import AsOurs

    with pytest.raises(means), AsOurs():
        raise error
    with pytest.raises(CallFailed) as caught, AsOurs():
        raise Foreign(f"you sent {KEY}", status_code=400)
    assert KEY not in str(caught.value)


def test_replies_of_other_shapes():
    assert read_chat({"choices": [{"message": {"content": [{"type": "text", "text": "B"}]}}]}).text == "B"
    assert read_chat({"choices": [{"message": {"content": None, "refusal": "no"}}]}).refused
    assert read_chat({"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]}).refused
    assert read_images({"data": []}).picture is None
    assert read_candidates({"promptFeedback": {"blockReason": "SAFETY"}}).refused
    assert read_candidates({"candidates": [{"content": {"parts": [{"text": "Which cat?"}]}}]}).text == "Which cat?"
    for reply in ({}, {"choices": []}, {"choices": [3]}, {"choices": [{"message": None}]}):
        with pytest.raises(CallFailed):
            read_chat(reply)
    with pytest.raises(CallFailed, match="candidate"):
        read_candidates({})
    with pytest.raises(CallFailed, match="address"):
        read_images({"data": [{"url": "http://elsewhere/cat.png"}]})
    with pytest.raises(CallFailed, match="base64") as caught:
        read_images({"data": [{"b64_json": "&&&"}]})
    assert caught.value.outcome == Outcome.BAD_PICTURE


TEMPLATE = f"{sys.executable} {worker_template.__file__}"
BAD = f"{sys.executable} {Path(__file__).with_name('bad_worker.py')}"


def test_the_worker_template_answers_everything(picture):
    said, drawn, edited = call(
        Worker("template", TEMPLATE),
        Request(Operation.UNDERSTAND, "What?", (picture,)),
        DRAW,
        Request(Operation.EDIT, "paint", (picture,)),
    )
    assert said.text == "A" and said.reported == "template"
    assert said.versions == f"python {sys.version.split()[0]}", "what it greets with is kept with each reply"
    assert read_header(drawn.picture) == read_header(edited.picture)


def test_a_worker_that_prints_dies_and_dawdles_is_started_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_API_KEY", KEY)

    def ask(prompt, operation=Operation.UNDERSTAND):
        return Request(operation, prompt)

    async def story():
        backend = Worker("bad", BAD, timeout=1.5, log=str(tmp_path / "worker.log"))
        try:
            assert (await backend.call(ask("print"))).text == "fine"
            assert "MY_API_KEY" not in (await backend.call(ask("environment"))).text
            with pytest.raises(CallFailed, match="out of memory"):
                await backend.call(ask("die"))
            with pytest.raises(CallFailed) as slow:
                await backend.call(ask("dawdle"))
            assert slow.value.outcome == Outcome.TIMEOUT
            assert (await backend.call(ask("print"))).text == "fine"
            for place in ("elsewhere", "nowhere"):
                with pytest.raises(CallFailed, match="picture"):
                    await backend.call(ask(place, Operation.GENERATE))
            with pytest.raises(CallFailed, match="ValueError"):
                await backend.call(ask("fail"))
            with pytest.raises(NotSupported):
                await backend.call(ask("x", Operation.EDIT))
        finally:
            await backend.close()

    anyio.run(story)
    assert "50%" in (tmp_path / "worker.0.log").read_text(), "what it prints is in the log"


def test_several_workers_share_the_work():
    async def story():
        backend = Worker("bad", BAD, workers=2)
        seen = set()

        async def one():
            seen.add((await backend.call(Request(Operation.UNDERSTAND, "number"))).text)

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
        await backend.close()
        return seen

    assert anyio.run(story) == {"0", "1"}


@pytest.mark.parametrize("command", ["/no/such/program", f"{sys.executable} -c 'print(1)'"])
def test_a_worker_that_does_not_start_stops_the_run(command):
    with pytest.raises(RunStopped, match="worker"):
        call(Worker("none", command), DRAW)


def test_a_pipeline_draws_and_edits(monkeypatch, picture):
    seen = []

    class Pipeline:
        @classmethod
        def from_pretrained(cls, name, torch_dtype):
            return cls()

        def to(self, device):
            return self

        def __call__(self, *, prompt, width=48, height=32, image=None, generator=None, **more):
            seen.append((prompt, None if image is None else image.size, more))
            return types.SimpleNamespace(images=[Image.new("RGB", (width, height), "green")])

    monkeypatch.setitem(sys.modules, "diffusers", types.SimpleNamespace(DiffusionPipeline=Pipeline))
    backend = DiffusersPipeline("x/y", can="generate,edit", device="cpu", dtype="float32", num_inference_steps=4)
    sized = Request(Operation.GENERATE, "a cat", seed=3, settings={"size": "64x32"})
    drawn, edited = call(backend, sized, Request(Operation.EDIT, "red", (picture,)))
    assert (read_header(drawn.picture).width, read_header(edited.picture).height) == (64, 32)
    assert seen == [("a cat", None, {"num_inference_steps": 4}), ("red", (40, 30), {"num_inference_steps": 4})]


class Strict:
    """A pipeline that takes two arguments, and cannot draw cats."""

    def __call__(self, prompt, width=48, height=32):
        if "cat" in prompt:
            raise ValueError("`height` has to be divisible by 16")
        return types.SimpleNamespace(images=[Image.new("RGB", (width, height))])


def pipeline_of(can="generate,edit", **arguments):
    backend = DiffusersPipeline("x/y", can=can, device="cpu", dtype="float32", **arguments)
    backend.loaded = Strict()
    return backend


def test_an_argument_that_a_pipeline_does_not_take_stops_the_run(picture):
    pytest.importorskip("torch")
    dog = Request(Operation.GENERATE, "a dog", settings={"size": "16x16"})
    assert call(pipeline_of(), dog)[0].picture
    for backend, request, name in (
        (pipeline_of(num_inference_step=4), dog, "num_inference_step"),
        (pipeline_of(), Request(Operation.GENERATE, "a dog", settings={"heigth": 3}), "did you mean 'height'"),
        (pipeline_of(), Request(Operation.EDIT, "a dog", (picture,)), "leave edit out"),
        (pipeline_of(), Request(Operation.GENERATE, "a dog", settings={"size": "large"}), "width x height"),
    ):
        with pytest.raises(RunStopped, match=name):
            call(backend, request)
    with pytest.raises(CallFailed, match="divisible") as failed:
        call(pipeline_of(), Request(Operation.GENERATE, "a cat"))
    assert not failed.value.again


@pytest.mark.parametrize("wrong", [{"device": "cuda:99"}, {"device": "gpu"}, {"dtype": "bf16"}])
def test_a_device_or_dtype_that_is_not_there_stops_the_run_before_any_weight_is_read(monkeypatch, wrong):
    pytest.importorskip("torch")
    from pixelword import answering
    from pixelword.realunify.backends.transformers_model import TransformersModel

    def never(*_, **__):
        raise AssertionError("weights were read")

    pipeline = types.SimpleNamespace(from_pretrained=never)
    monkeypatch.setitem(sys.modules, "diffusers", types.SimpleNamespace(DiffusionPipeline=pipeline))
    monkeypatch.setattr(answering, "load_answerer", never)
    with pytest.raises(RunStopped, match=r"device|dtype"):
        call(TransformersModel("a/b", **wrong), Request(Operation.UNDERSTAND, "Which?"))
    with pytest.raises(RunStopped, match=r"device|dtype"):
        call(DiffusersPipeline("x/y", **{"device": "cpu", **wrong}), DRAW)


def test_a_library_that_is_not_there_stops_the_run(monkeypatch):
    from pixelword.realunify.backends.transformers_model import TransformersModel

    monkeypatch.setitem(sys.modules, "diffusers", None)
    monkeypatch.setitem(sys.modules, "pixelword.answering", None)
    with pytest.raises(RunStopped, match="library"):
        call(TransformersModel("a/b"), Request(Operation.UNDERSTAND, "Which?"))
    with pytest.raises(RunStopped, match="library"):
        call(DiffusersPipeline("x/y", device="cpu"), DRAW)


def test_a_prompt_that_does_not_fit_fails_its_call_and_no_more(monkeypatch):
    pytest.importorskip("torch")
    from pixelword import answering
    from pixelword.realunify.backends.transformers_model import TransformersModel

    def too_long(messages, images):
        raise PromptError("the prompt is longer than the model's context", got=9, fix="fewer pictures")

    monkeypatch.setattr(answering, "load_answerer", lambda *_, **__: too_long)
    with pytest.raises(CallFailed, match="longer") as failed:
        call(TransformersModel("a/b"), Request(Operation.UNDERSTAND, "Which?"))
    assert not failed.value.again


def test_the_vendors_images_api_gets_no_seed_and_other_servers_do(monkeypatch, picture):
    sent = []

    async def post(self, path, payload=None, form=None, **_):
        sent.append((path, "seed" in (payload or form)))
        return {"data": [], "choices": [{"message": {"content": "A"}}]}

    monkeypatch.setattr(Http, "post", post)
    edit = Request(Operation.EDIT, "red", (picture,), seed=3)
    asked = Request(Operation.UNDERSTAND, "Which?", seed=3)
    for address in ("", "http://127.0.0.1:1/v1"):
        call(OpenAiHttp("tiny", base_url=address), DRAW, edit, asked)
    paths = ["images/generations", "images/edits", "chat/completions"]
    assert sent == [*zip(paths, [False, False, True], strict=True), *zip(paths, [True, True, True], strict=True)]


def test_a_part_that_is_no_object_is_passed_over():
    reply = {"candidates": [{"content": {"parts": ["x", None, {"text": "A"}]}}]}
    assert read_candidates(reply).text == "A"


def test_a_model_of_transformers_is_asked_in_this_process(monkeypatch, picture):
    pytest.importorskip("torch")
    from pixelword import answering
    from pixelword.realunify.backends.transformers_model import TransformersModel

    seen = []

    def load(name, **settings):
        def answer(messages, images):
            seen.append((name, [part["type"] for part in messages[0]["content"]], [image.size for image in images]))
            return answering.Answer(" B ", False, 1)

        return answer

    monkeypatch.setattr(answering, "load_answerer", load)
    (said,) = call(TransformersModel("a/b"), Request(Operation.UNDERSTAND, "Which?", (picture,)))
    assert (said.text, said.reported) == ("B", "a/b")
    assert seen == [("a/b", ["image", "text"], [(40, 30)])]
    with pytest.raises(NotSupported):
        call(TransformersModel("a/b"), DRAW)


def test_the_exact_judge_answers_in_both_wordings(tmp_path):
    item = mini_drawing("code_to_image", 0)
    path = tmp_path / "p.png"
    item.picture(64).save(path)
    asked = item.questions[0]
    plain, strict = call(
        ExactJudge(),
        Request(Operation.UNDERSTAND, judge_prompt(asked.question), (path,)),
        Request(Operation.UNDERSTAND, f"Look.\nQuestion: {asked.question}\n", (path,)),
    )
    assert plain.text == asked.answer and f'"answer": "{asked.answer}"' in strict.text
    with pytest.raises(CallFailed, match="wordings"):
        call(ExactJudge(), Request(Operation.UNDERSTAND, judge_prompt("Is it art?"), (path,)))


def test_pictures_are_read_by_their_content():
    def written(kind, **more):
        content = io.BytesIO()
        Image.effect_noise((50, 40), 80).convert("RGB").save(content, kind, **more)
        return content.getvalue()

    for kind in ("PNG", "JPEG", "WEBP"):
        content = written(kind)
        header = read_header(content)
        assert (header.format, header.width, header.height) == (kind, 50, 40)
        for share in (0.1, 0.5, 0.9, 0.99):
            with pytest.raises(ImageError):
                read_header(content[: int(len(content) * share)])
    damaged = bytearray(written("PNG"))
    damaged[len(damaged) // 2] ^= 1
    for content in (bytes(damaged), written("GIF"), b"", b"<html>", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(ImageError):
            read_header(content)


@pytest.mark.parametrize(
    ("asked", "reported", "same"),
    [
        ("gpt-4.1", "gpt-4.1-2025-04-14", True),
        ("pixelword-openai/gpt-4.1", "gpt-4.1", True),
        ("pixelword-gemini/gemini-2.5-pro", "models/gemini-2.5-pro", True),
        ("pixelword-openai/Qwen/Qwen3-VL-32B-Instruct", "Qwen/Qwen3-VL-32B-Instruct", True),
        ("gemini-2.5-pro", "gemini-3-flash", False),
        ("gpt-4.1", "gpt-4.1-mini", False),
        ("gpt-4", "gpt-4.1", False),
    ],
)
def test_a_rerouted_name_is_told_from_a_dated_one(asked, reported, same):
    assert same_model(asked, reported) is same
