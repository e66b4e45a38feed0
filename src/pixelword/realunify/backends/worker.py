"""A model in a process of its own, with an environment of its own: JSON lines over stdin and stdout.

    we    {"do": "hello"}
    it    {"can": ["understand", "generate"], "model": "m-a-p/MIO-7B-Instruct", "versions": {"torch": "2.4.0"}}
    we    {"do": "run", "id": 1, "operation": "generate", "prompt": "...", "pictures": [], "seed": 3, "settings": {},
           "folder": "FOLDER"}
    it    {"id": 1, "picture": "FOLDER/1.png"}      or {"id": 1, "text": "..."}
          or {"id": 1, "refused": true}               or {"id": 1, "error": "...", "again": false}
          or {"id": 1, "not_supported": true}
    we    {"do": "bye"}

Lines of its stdout that are no JSON object go to the log, as its stderr does, so a library that prints does no harm.
A worker answers one request at a time; several may run, each with its number in the environment variable
PIXELWORD_WORKER (0, 1, ...), from which it can choose its GPU. One that dies or is too slow is killed and started anew.
"""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelword.errors import ConfigError
from pixelword.realunify.backends.calls import Answer, Backend, CallFailed, NotSupported, Request, RunStopped
from pixelword.realunify.backends.http import looks_like_a_key
from pixelword.realunify.records import Outcome

LONGEST_LINE = 16 * 1024 * 1024


class WorkerDied(Exception):
    """The process ended while it was asked."""


class WorkerProcess:
    """One process. Its environment is ours without any variable that looks like a key."""

    def __init__(self, command: list[str], number: int, log: Path, folder: Path) -> None:
        self.command, self.number, self.log, self.folder = command, number, log, folder
        self.process: Any = None
        self.lines: Any = None
        self.asked = 0
        self.hello: dict[str, Any] = {}

    async def start(self, patience: float) -> None:
        """Start it and wait for its greeting.

        Raises:
            RunStopped: it cannot be started, ends, or does not greet in time.
        """
        import anyio
        from anyio.streams.buffered import BufferedByteReceiveStream

        environment = {name: value for name, value in os.environ.items() if not looks_like_a_key(name)}
        environment["PIXELWORD_WORKER"] = str(self.number)
        try:
            with self.log.open("ab") as log:
                self.process = await anyio.open_process(self.command, stderr=log, env=environment)
        except OSError as error:
            got = f"{shlex.join(self.command)}: {error}"
            raise RunStopped("the worker cannot be started", got=got, fix="check the command") from error
        self.lines = BufferedByteReceiveStream(self.process.stdout)
        try:
            with anyio.fail_after(patience):
                self.hello = await self.ask({"do": "hello"})
        except (TimeoutError, WorkerDied) as error:
            await self.kill()
            got = self.last_words()
            raise RunStopped("the worker did not greet", got=got, fix=f"read its log, {self.log}") from error

    async def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message and return the object that comes back.

        Raises:
            WorkerDied: the process ended.
        """
        import anyio

        try:
            await self.process.stdin.send((json.dumps(message) + "\n").encode())
            while True:
                line = await self.lines.receive_until(b"\n", LONGEST_LINE)
                values = parse(line)
                if values is not None and values.get("id") == message.get("id"):
                    return values
                with self.log.open("ab") as log:
                    log.write(line + b"\n")
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound) as error:
            raise WorkerDied from error
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise WorkerDied from error

    async def kill(self) -> None:
        """End the process at once."""
        import anyio

        if self.process is not None:
            with anyio.CancelScope(shield=True):
                if self.process.returncode is None:
                    self.process.kill()
                await self.process.wait()
                await self.process.stdin.aclose()
                await self.process.stdout.aclose()
            self.process = None

    def last_words(self) -> str:
        """The end of its log."""
        try:
            return self.log.read_bytes()[-300:].decode(errors="replace").strip()
        except OSError:
            return ""


class Worker(Backend):
    """Worker processes started with one command.

    Args:
        model: the name that results carry; the worker may report a more exact one.
        command: how to start it, as in a shell but without one: "/envs/mio/bin/python mio_worker.py".
        workers: how many of them.
        timeout: seconds for one request.
        start_timeout: seconds until it greets, weights loaded.
        log: a file for what it prints.
    """

    def __init__(
        self,
        model: str,
        command: str = "",
        workers: int = 1,
        timeout: float = 900.0,
        start_timeout: float = 1800.0,
        log: str = "",
    ) -> None:
        if not command:
            raise ConfigError("a worker needs the command that starts it", fix="give command=..., see the template")
        self.model, self.at_once, self.timeout, self.start_timeout = model, workers, timeout, start_timeout
        self.scratch = tempfile.TemporaryDirectory(prefix="pixelword-worker-", ignore_cleanup_errors=True)
        folder = Path(self.scratch.name)
        logs = [Path(log or folder / "worker.log").with_suffix(f".{number}.log") for number in range(workers)]
        words = shlex.split(command)
        self.free = [WorkerProcess(words, number, logs[number], folder) for number in range(workers)]
        self.everyone = list(self.free)
        self.slots: Any = None

    async def call(self, request: Request) -> Answer:
        import anyio

        if self.slots is None:
            self.slots = anyio.Semaphore(self.at_once)
        async with self.slots:
            worker = self.free.pop(0)
            try:
                return await self.ask(worker, request)
            finally:
                self.free.append(worker)

    async def ask(self, worker: WorkerProcess, request: Request) -> Answer:
        import anyio

        if worker.process is None:
            await worker.start(self.start_timeout)
        can = frozenset(worker.hello.get("can") or ())
        if request.operation not in can:
            fix = "give the role to another model"
            raise NotSupported("this worker does not have this step", got=request.operation, fix=fix)
        worker.asked += 1
        message = {
            "do": "run",
            "id": worker.asked,
            "operation": str(request.operation),
            "prompt": request.prompt,
            "pictures": [str(path.resolve()) for path in request.pictures],
            "seed": request.seed,
            "settings": dict(request.settings),
            "folder": str(worker.folder),
        }
        whole = False
        try:
            with anyio.fail_after(self.timeout):
                values = await worker.ask(message)
            whole = True
        except TimeoutError as error:
            fix = "raise timeout=..., or look at its log"
            raise CallFailed("the worker was too slow", got=worker.log, fix=fix, outcome=Outcome.TIMEOUT) from error
        except WorkerDied as error:
            raise CallFailed("the worker died", got=worker.last_words(), fix=f"read its log, {worker.log}") from error
        finally:
            if not whole:
                # It may still be at work on this request; its late reply must not meet the next one.
                await worker.kill()
        return self.read(values, worker, request)

    def read(self, values: Mapping[str, Any], worker: WorkerProcess, request: Request) -> Answer:
        """The answer that a worker's object holds."""
        if values.get("not_supported"):
            raise NotSupported("the worker cannot do this", got=request.operation, fix="give the role to another")
        if values.get("error"):
            got, again = str(values["error"]), bool(values.get("again"))
            raise CallFailed("the worker reports an error", got=got, fix="look at its log", again=again)
        reported = values.get("model") or worker.hello.get("model")
        text, picture = values.get("text"), values.get("picture")
        return Answer(
            text=text if isinstance(text, str) else None,
            picture=fetched(Path(picture), worker.folder) if isinstance(picture, str) else None,
            reported=reported if isinstance(reported, str) else "",
            versions=listed(worker.hello.get("versions")),
            refused=bool(values.get("refused")),
        )

    async def close(self) -> None:
        for worker in self.everyone:
            await worker.kill()
        self.scratch.cleanup()


def fetched(path: Path, folder: Path) -> bytes:
    """A picture that a worker wrote into the shared folder, and which is removed from there.

    Raises:
        CallFailed: it is not there, or lies somewhere else.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CallFailed("the worker's picture lies outside its folder", got=path, fix="use `folder`", again=False)
    try:
        content = path.read_bytes()
        path.unlink()
    except OSError as error:
        raise CallFailed("the worker's picture is not there", got=error, fix="write it before replying") from error
    return content


def listed(versions: object) -> str:
    """The versions of a greeting, as text."""
    return ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""


def parse(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
