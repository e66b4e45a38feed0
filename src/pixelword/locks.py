"""One process at a time in the folder of a run. The system frees a lock when the process ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixelword.errors import BackendError

LOCK = "run.lock"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; makes the folder where it is not there.

    Raises:
        BackendError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = take_lock(folder / LOCK)
    try:
        yield
    finally:
        os.close(handle)


def take_lock(path: Path) -> int:
    """An open, locked file; closing it gives the lock back.

    Raises:
        BackendError: another process holds it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        lock(handle)
    except OSError as error:
        os.close(handle)
        raise BackendError(
            "another run is writing into this folder",
            got=path.parent,
            fix="wait until it ends, or give another folder",
        ) from error
    return handle


def lock(handle: int) -> None:
    """Lock a file for this process or raise OSError at once."""
    try:
        import fcntl
    except ModuleNotFoundError:
        import msvcrt  # Windows

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
