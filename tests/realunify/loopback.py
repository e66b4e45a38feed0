"""A server that speaks the chat, images and generateContent APIs over real HTTP, and misbehaves as it is told.

It draws the mini's own pictures: right for the items whose number it can solve. It counts what it was asked for, so a
test can say that nothing was asked twice. Everything is decided by a hash of the request, so that two runs meet the
same faults at the same requests.
"""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import io
import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from pixelword.realunify.mini import exact_verdict, mini_choices, mini_drawings

KEY = "sk-loopback-0123456789"

FAULTS = ("slow", "busy", "broken", "half", "half_picture", "refused", "wrong_type", "not_json", "other_model")
"""What can go wrong with a request. The first five pass when the request comes again."""
PASSING = frozenset({"slow", "busy", "broken", "half", "half_picture", "not_json"})


@dataclass
class Knowledge:
    """What the model behind the server has learned: the mini's items, by what is asked."""

    drawn: dict[str, Any] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    edits: dict[str, Any] = field(default_factory=dict)

    @classmethod
    @cache
    def of(cls, number: int, seed: int, side: int) -> Knowledge:
        known = cls()
        for item in mini_drawings(number, seed=seed):
            known.drawn[item.prompt] = known.drawn[item.gold_prompt] = item
        for item in mini_choices(number, seed=seed, side=side):
            known.chosen[pixels(item.puzzle.picture)] = known.chosen[pixels(item.puzzle.gold)] = item
        return known


def pixels(picture: Image.Image) -> str:
    return hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()


@dataclass
class Plan:
    """How the server behaves.

    Args:
        share: of the requests that meet a fault, in [0, 1].
        slow: seconds that a slow reply takes.
        always: status that every request gets, with its text.
        after: requests that are answered well before `always` begins.
    """

    faults: tuple[str, ...] = ()
    share: float = 0.0
    slow: float = 5.0
    always: tuple[int, str] | None = None
    after: int = 0
    delay: float = 0.0
    picture: bytes | None = None
    says: str = ""
    side: int = 256


class Loopback:
    """The running server. Use it as a context."""

    def __init__(self, plan: Plan, known: Knowledge | None = None) -> None:
        self.plan, self.known = plan, known or Knowledge()
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.in_flight = self.most_in_flight = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.serve(self)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:
                """A client that hangs up is part of the game."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self) -> Loopback:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        fields, pictures = read_body(handler.headers.get("Content-Type", ""), body)
        key = name_of(handler.path, fields, pictures)
        with self.lock:
            self.asked[key] += 1
            turn, total = self.asked[key], sum(self.asked.values())
            self.keys.add(handler.headers.get("Authorization") or handler.headers.get("x-goog-api-key") or "")
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            self.reply(handler, fields, pictures, key, turn, total)
        finally:
            with self.lock:
                self.in_flight -= 1

    def reply(self, handler: Any, fields: Any, pictures: list[bytes], key: str, turn: int, total: int) -> None:
        if self.plan.always is not None and total > self.plan.after:
            return send(handler, self.plan.always[0], {"error": {"message": self.plan.always[1]}})
        time.sleep(self.plan.delay)
        fault = self.fault(key, turn)
        if fault:
            with self.lock:
                self.met[fault] += 1
        if fault == "busy":
            return send(handler, 429, {"error": {"message": "slow down"}}, {"Retry-After": "0.05"})
        if fault == "broken":
            return send(handler, 500, {"error": {"message": "oh no"}})
        if fault == "slow":
            time.sleep(self.plan.slow)
        content = json.dumps(self.answer(handler.path, fields, pictures, fault)).encode()
        if fault == "not_json":
            content = b"<html>a proxy says hello</html>"
        with self.lock:
            self.answered[key] += fault in ("", "refused", "wrong_type", "other_model")
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if fault == "half":
            handler.wfile.write(content[: len(content) // 2])
            handler.wfile.flush()
            handler.close_connection = True
            return None
        handler.wfile.write(content)
        return None

    def fault(self, key: str, turn: int) -> str:
        """The fault that a request meets, by its own hash."""
        number = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
        if not self.plan.faults or number >= self.plan.share:
            return ""
        fault = self.plan.faults[int(number / self.plan.share * len(self.plan.faults)) % len(self.plan.faults)]
        # Every third request that meets a passing fault meets it for ever.
        stubborn = key.encode()[-1] % 3 == 0
        return "" if fault in PASSING and turn > 1 and not stubborn else fault

    def answer(self, path: str, fields: Any, pictures: list[bytes], fault: str) -> dict[str, Any]:
        """What the model says."""
        model = "another-model-9" if fault == "other_model" else str(fields.get("model", "tiny"))
        if ":generateContent" in path:
            wants = "IMAGE" in fields["generationConfig"]["responseModalities"]
            if fault == "refused":
                return {"candidates": [{"finishReason": "SAFETY"}], "modelVersion": "tiny"}
            text = prompt_of(fields)
            part = (
                {"inlineData": {"mimeType": "image/png", "data": encoded(self.draw(text, pictures, fault))}}
                if wants
                else {"text": self.say(text, pictures)}
            )
            usage = {"promptTokenCount": 7, "candidatesTokenCount": 3}
            return {"candidates": [{"content": {"parts": [part]}}], "modelVersion": "tiny", "usageMetadata": usage}
        if path.endswith("chat/completions"):
            message = {
                "role": "assistant",
                "content": None if fault == "refused" else self.say(prompt_of(fields), pictures),
            }
            if "modalities" in fields and fault != "refused":
                url = f"data:image/png;base64,{encoded(self.draw(prompt_of(fields), pictures, fault))}"
                message["images"] = [{"type": "image_url", "image_url": {"url": url}}]
            if fault == "refused":
                message["refusal"] = "I would rather not."
            usage = {"prompt_tokens": 11, "completion_tokens": 2}
            return {"model": model, "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
        if fault == "refused":
            return {"model": model, "data": []}
        return {"model": model, "data": [{"b64_json": encoded(self.draw(prompt_of(fields), pictures, fault))}]}

    def draw(self, prompt: str, pictures: list[bytes], fault: str) -> bytes:
        """A picture: the item's own if it is known, with a fault for every third item."""
        if self.plan.picture is not None:
            return self.plan.picture
        if pictures:
            with Image.open(io.BytesIO(pictures[0])) as opened:
                item = self.known.chosen.get(pixels(opened))
            picture = item.puzzle.gold if item else Image.new("RGB", (64, 64), "red")
        else:
            item = self.known.drawn.get(prompt)
            picture = Image.new("RGB", (64, 64), "white") if item is None else item.picture(self.plan.side)
            if item is not None and item.id.index % 3 == 0:
                picture = item.faulty_picture("missing", self.plan.side)
        written = io.BytesIO()
        picture.save(written, "GIF" if fault == "wrong_type" else "PNG")
        content = written.getvalue()
        return content[: len(content) * 2 // 3] if fault == "half_picture" else content

    def say(self, prompt: str, pictures: list[bytes]) -> str:
        """The rewrite of a known prompt, the letter of a known picture, or the verdict of the exact judge."""
        if self.plan.says:
            return self.plan.says
        if found := re.search(r"^Question: (.*)$", prompt, re.MULTILINE):
            if "Option:" not in prompt:
                with Image.open(io.BytesIO(pictures[-1])) as opened:
                    verdict = exact_verdict(opened, found[1].strip())
                return verdict if "only reply yes or no" in prompt else json.dumps({"evidence": "e", "answer": verdict})
            with Image.open(io.BytesIO(pictures[-1])) as opened:
                item = self.known.chosen.get(pixels(opened))
            return "B" if item is None else item.answer
        inside = next((known for known in self.known.drawn if known in prompt), None)
        return self.known.drawn[inside].gold_prompt if inside else "hello"


def send(handler: Any, status: int, values: dict[str, Any], headers: dict[str, str] | None = None) -> None:
    content = json.dumps(values).encode()
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def read_body(kind: str, body: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The fields of a request and its pictures."""
    if kind.startswith("multipart/"):
        message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=email.policy.HTTP)
        fields: dict[str, Any] = {}
        pictures = []
        for part in message.iter_parts():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if part.get_filename():
                pictures.append(content)
            else:
                fields[name] = content.decode()
        return fields, pictures
    fields = json.loads(body)
    parts = [
        part for turn in fields.get("messages", []) if isinstance(turn["content"], list) for part in turn["content"]
    ]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    inline = [
        part["inlineData"]["data"]
        for turn in fields.get("contents", [])
        for part in turn["parts"]
        if "inlineData" in part
    ]
    return fields, [base64.b64decode(url.partition(",")[2]) for url in urls] + list(map(base64.b64decode, inline))


def prompt_of(fields: dict[str, Any]) -> str:
    if "prompt" in fields:
        return fields["prompt"]
    turns = fields.get("messages") or fields["contents"]
    content = turns[-1].get("content") or turns[-1].get("parts")
    if isinstance(content, str):
        return content
    return next(part["text"] for part in content if "text" in part)


def name_of(path: str, fields: dict[str, Any], pictures: list[bytes]) -> str:
    """What makes a request the same as another: everything in it."""
    seen = [path, prompt_of(fields), str(fields.get("seed")), *(hashlib.sha256(each).hexdigest() for each in pictures)]
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


def noise(side: int, spread: int = 3) -> bytes:
    """A PNG that does not compress well: about 1.5 MB at 1024 pixels a side."""
    import numpy as np

    random = np.random.default_rng(0)
    pixels_HWC = 128 + random.integers(-spread, spread, size=(side, side, 3))
    written = io.BytesIO()
    Image.fromarray(pixels_HWC.astype(np.uint8)).save(written, "PNG", compress_level=1)
    return written.getvalue()


def main() -> None:
    """Serve until the input ends: a process of its own, so that only the client's work is measured."""
    import sys

    options = json.loads(sys.argv[1])
    picture = noise(options.pop("noise")) if "noise" in options else None
    with Loopback(Plan(picture=picture, **options)) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
