"""A worker to copy: fill in the three functions of `Model`, and give the file as `command` to pixelword-worker.

It needs nothing but Python's standard library, so it runs in any environment. The protocol is in worker.py beside it.
As it stands it answers every question with "A" and draws white pictures.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import traceback
import zlib
from typing import Any


class Model:
    """Your model. Take away the functions that it does not have, and name the others in `can`."""

    can: tuple[str, ...] = ("understand", "generate", "edit")
    name = "template"
    versions = {"python": sys.version.split()[0]}  # noqa: RUF012

    def __init__(self) -> None:
        # Load the weights here. PIXELWORD_WORKER is 0, 1, ...: choose the GPU by it.
        self.number = int(os.environ.get("PIXELWORD_WORKER", "0"))

    def understand(self, prompt: str, pictures: list[str], seed: int | None, settings: dict[str, Any]) -> str:
        """Text and picture files in, text out. `pictures` may be empty."""
        return "A"

    def generate(self, prompt: str, path: str, seed: int | None, settings: dict[str, Any]) -> bool:
        """Text in; write a PNG to `path`. Return False if the model declines."""
        write_white(path, 64, 64)
        return True

    def edit(self, prompt: str, pictures: list[str], path: str, seed: int | None, settings: dict[str, Any]) -> bool:
        """Picture files and text in; write a PNG to `path`, best in the size of the first picture."""
        write_white(path, 64, 64)
        return True


def answer(model: Model, request: dict[str, Any]) -> dict[str, Any]:
    """The reply to one request."""
    operation, path = request["operation"], os.path.join(request["folder"], f"{request['id']}.{os.getpid()}.png")
    if operation not in model.can:
        return {"not_supported": True}
    prompt, pictures, seed, settings = (request[name] for name in ("prompt", "pictures", "seed", "settings"))
    if operation == "understand":
        return {"text": model.understand(prompt, pictures, seed, settings)}
    if operation == "generate":
        drawn = model.generate(prompt, path, seed, settings)
    else:
        drawn = model.edit(prompt, pictures, path, seed, settings)
    return {"picture": path} if drawn else {"refused": True}


def main() -> None:
    """Answer requests until the other side says bye or goes away."""
    # What libraries print goes to stderr, so that only replies go out.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    model: Model | None = None
    reply: dict[str, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "bye":
            break
        if request["do"] == "hello":
            model = model or Model()
            reply = {"can": list(model.can), "model": model.name, "versions": model.versions}
        elif model is not None:
            try:
                reply = {"id": request["id"], **answer(model, request)}
            except Exception as error:  # noqa: BLE001  (a model may fail in any way, and the next request may not)
                traceback.print_exc()
                reply = {"id": request["id"], "error": f"{type(error).__name__}: {error}", "again": False}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def write_white(path: str, width: int, height: int) -> None:
    """A white PNG, without any library."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = (b"\x00" + b"\xff" * (3 * width)) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header))
        file.write(chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


if __name__ == "__main__":
    main()
