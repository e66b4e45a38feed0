"""`pixelword jigsaw export` and `eval`: one set of puzzles, many ways to be asked, the same numbers."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from pixelword.cli.jigsaw_eval import with_settings
from pixelword.cli.main import run
from pixelword.errors import BackendError
from pixelword.jigsaw import parquet_rows, read_puzzles
from tests.answering.folders import native_folder, qwen_folder
from tests.jigsaw.pictures import folder_of


def told(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[str, str]:
    try:
        run(["jigsaw", *map(str, words)])
    except SystemExit as leaving:
        assert int(leaving.code or 0) == code, capsys.readouterr()
    captured = capsys.readouterr()
    return captured.out, captured.err


@pytest.fixture
def held_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    pictures = folder_of(tmp_path / "in", 4)
    (pictures / "notes.txt").write_text("x")
    place = tmp_path / "held_out"
    out, _ = told(capsys, "export", pictures, "--to", "jsonl", "--out", place, "--set", "rows=2", "--set", "columns=2")
    assert "4 puzzles, 1 refused" in out
    return place


def words_of(path: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", path.read_text(encoding="utf-8")))


def result(out: Path) -> dict:
    return json.loads((out / "result.json").read_text())


def write_replies(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_all_forms_hold_the_same_puzzles(held_out, tmp_path, capsys):
    targets = [list(puzzle.target) for puzzle in read_puzzles(held_out)]
    size = ("--set", "rows=2", "--set", "columns=2")
    for form, read in (
        ("trl", lambda row: row["ground_truth"]),
        ("verl", lambda row: row["reward_model"]["ground_truth"]),
        ("verl-cut", lambda row: row["reward_model"]["ground_truth"]),
    ):
        file = tmp_path / f"{form}.parquet"
        told(capsys, "export", tmp_path / "in", "--to", form, "--out", file, *size)
        assert [read(row) for row in parquet_rows(file)] == targets
    rows = write_replies(
        tmp_path / "rows.jsonl", [{"image": f"in/{number}.png", "id": str(number)} for number in (0, 1)]
    )
    out, _ = told(capsys, "export", rows, "--to", "trl", "--out", tmp_path / "r.parquet", *size, "--count", 1)
    assert "1 puzzles, 0 refused" in out
    _, error = told(capsys, "export", tmp_path / "in/notes.txt", "--to", "trl", "--out", tmp_path / "x", code=2)
    assert ".jsonl or .parquet" in error


def test_a_file_of_replies_is_scored_and_shown_with_mistakes_first(held_out, tmp_path, capsys):
    there = list(read_puzzles(held_out))
    rows = [
        {"id": there[0].key.name, "reply": there[0].answer},
        {"id": there[1].key.name, "reply": "<think>I like it</think>", "cut": True},
        {"id": there[2].key.name, "reply": None, "trouble": "the server is gone"},
    ]
    out = tmp_path / "scores"
    file = write_replies(tmp_path / "replies.jsonl", rows)
    text, _ = told(capsys, "eval", held_out, "--replies", file, "--out", out)
    (group,) = result(out)["groups"]
    assert group["statuses"] == {"exact": 1, "truncated": 1, "no_reply": 1, "failed": 1}
    assert (group["asked"], group["answered"], group["exact"]["right"]) == (4, 2, 1)
    assert group["places"]["value"] == 2.0
    assert group["chance_exact"] == pytest.approx(1 / 24)
    assert "exact 50.0 %" in text
    page = words_of(out / "report.html")
    assert "Of 4 puzzles, 2 without an answer" in page
    assert page.index("I like it") < page.index(there[0].answer.strip())
    assert "the server is gone" in page
    # Another file of the same name is another set of replies.
    write_replies(file, [{"id": puzzle.key.name, "reply": puzzle.answer} for puzzle in there])
    told(capsys, "eval", held_out, "--replies", file, "--out", out)
    assert result(out)["groups"][0]["exact"]["right"] == 4


def test_our_model_and_a_qwen_are_asked_and_an_interrupted_run_goes_on(held_out, tmp_path, capsys):
    for name, make in (("native", native_folder), ("qwen", qwen_folder)):
        model, out = make(tmp_path / name), tmp_path / f"scores_{name}"
        words = ("eval", held_out, "--model", model, "--out", out, "--max-new-tokens", 3, "--device", "cpu")
        told(capsys, *words, "--min-pixels", 3136, "--max-pixels", 3136)
        (group,) = result(out)["groups"]
        assert group["asked"] == group["answered"] == 4
        replies = out / "replies.jsonl"
        lines = replies.read_text().splitlines()
        assert len(lines) == 4
        # Three lines survive, and half of the fourth; one of the three was a failure and is asked again.
        broken = {**json.loads(lines[1]), "reply": None, "trouble": "out of memory"}
        replies.write_text("\n".join([lines[0], json.dumps(broken), lines[2], lines[3][:40]]))
        first = (out / "result.json").read_bytes()
        told(capsys, *words, "--min-pixels", 3136, "--max-pixels", 3136)
        assert (out / "result.json").read_bytes() == first
        assert len(replies.read_text().splitlines()) == 6


def test_what_cannot_be_evaluated_is_told(held_out, tmp_path, capsys):
    out = ("--out", tmp_path / "scores")
    assert "--model or --replies" in told(capsys, "eval", held_out, *out, code=2)[1]
    none = write_replies(tmp_path / "none.jsonl", [])
    _, error = told(capsys, "eval", held_out, "--replies", none, *out, code=2)
    assert "no puzzle was answered" in error
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "a", "reply": 3}\n')
    assert "line 1 is no reply" in told(capsys, "eval", held_out, "--replies", bad, *out, code=2)[1]
    assert "leave --set out" in told(capsys, "eval", held_out, "--replies", none, *out, "--set", "rows=3", code=2)[1]
    assert "no such folder" in told(capsys, "eval", held_out, "--model", "nobody/nothing", *out, code=2)[1]


class Server(BaseHTTPRequestHandler):
    """A chat server whose model always answers 1, 2, 3, 4; picky about names."""

    asked: ClassVar[list[dict[str, Any]]] = []
    kept: ClassVar[Path | None] = None
    """Where replies are kept: the third answer waits until the first two are there."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body | {"path": self.path})
        if len(self.asked) == 3 and self.kept is not None:
            late = time.monotonic() + 20
            while not (self.kept.exists() and self.kept.read_bytes().count(b"\n") == 2):
                assert time.monotonic() < late, "a reply was not kept as it came"
                time.sleep(0.01)
        said = {"message": {"content": "<think></think>\\boxed{1, 2, 3, 4}"}, "finish_reason": "stop"}
        answer = {"choices": [said], "model": "tiny-0.1", "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
        status = 200 if body["model"] == "tiny" else 404
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer if status == 200 else {"error": "no such model"}).encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Server.asked.clear()
    Server.kept = None
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_a_busy_server_is_asked_again_and_a_refusal_is_not():
    pytest.importorskip("inspect_ai")
    import httpx
    from inspect_ai.model import GenerateConfig

    from pixelword.jigsaw.chat_server import ChatServer, data_url

    server, request = ChatServer("tiny", "http://here/v1"), httpx.Request("POST", "http://here/v1")
    for status, again in ((429, True), (503, True), (404, False), (200, False)):

        async def post(address: str, json: Any, status: int = status) -> httpx.Response:
            return httpx.Response(status, text="{}", request=request)

        server.client.post = post  # type: ignore[method-assign]
        with pytest.raises((httpx.HTTPStatusError, BackendError)) as raised:
            asyncio.run(server.generate([], [], "none", GenerateConfig()))
        assert server.should_retry(raised.value) == again, status
    assert server.should_retry(httpx.ConnectError("no one there"))
    assert data_url("data:image/png;base64,AA") == "data:image/png;base64,AA"


@pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_server_is_asked_through_inspect_once_per_puzzle(tmp_path, capsys, address):
    pytest.importorskip("inspect_ai")
    pictures, out = folder_of(tmp_path / "in", 3), tmp_path / "scores"
    words = ("eval", pictures, "--model", "inspect:pixelword-chat/tiny", "--base-url", address)
    size = ("--set", "rows=2", "--set", "columns=2", "--max-new-tokens", 64)
    Server.kept = out / "replies.jsonl"
    told(capsys, *words, *size, "--out", out)
    Server.kept = None
    first = result(out)["groups"]
    assert first[0]["answered"] == 3
    assert first[0]["permutations"]["value"] == 1.0
    assert len(Server.asked) == 3
    for body in Server.asked:
        assert body["path"] == "/v1/chat/completions"
        assert (body["max_tokens"], body["temperature"]) == (64, 0.0)
        # Each picture stands behind its label.
        parts = body["messages"][0]["content"]
        labels = [before["text"].split()[-2:] for before, part in pairwise(parts) if part["type"] == "image_url"]
        assert labels == [["Tile", f"{number}:"] for number in (1, 2, 3, 4)]
    told(capsys, *words, *size, "--out", out)
    assert result(out)["groups"] == first
    assert len(Server.asked) == 3
    # What a killed run has kept is not asked again.
    lines = (out / "replies.jsonl").read_text().splitlines(keepends=True)
    (out / "replies.jsonl").write_text(lines[0] + lines[1] + lines[2][:30])
    told(capsys, *words, *size, "--out", out)
    assert result(out)["groups"] == first
    assert len(Server.asked) == 4
    assert "another run's puzzles" in told(capsys, *words, *size, "--out", out, "--epoch", 1, code=2)[1]
    unknown = (
        "eval",
        pictures,
        "--model",
        "inspect:pixelword-chat/other",
        "--base-url",
        address,
        "--out",
        tmp_path / "x",
    )
    assert "no such model" in told(capsys, *unknown, *size, code=2)[1]
    nobody = ("eval", pictures, "--model", "inspect:nobody/tiny", "--out", tmp_path / "y")
    assert "Inspect cannot make this model" in told(capsys, *nobody, *size, code=2)[1]
    nowhere = ("eval", pictures, "--model", "inspect:pixelword-chat/tiny", "--out", tmp_path / "z")
    assert "--base-url" in told(capsys, *nowhere, *size, code=2)[1]


def test_a_reply_belongs_to_the_settings_it_was_asked_with():
    asked = with_settings("model", max_new_tokens=8, max_pixels=None, dtype="")
    assert asked == with_settings("model", dtype="", max_new_tokens=8)
    assert (
        len({asked, with_settings("model", max_new_tokens=9), with_settings("model", max_new_tokens=8, dtype="x")}) == 3
    )
