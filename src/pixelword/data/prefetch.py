"""Batches made ready in a thread, with the state of the batch that was handed out, not of the one that is ready."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Full, Queue
from threading import Event, Thread
from typing import Any

from pixelword.data.batch import PackedBatch
from pixelword.data.loader import PackedLoader
from pixelword.errors import ConfigError


class Prefetched:
    """A loader that works ahead; otherwise the same as the loader itself.

    Every batch travels with the state behind it, so an interrupted run goes on with the first batch that was not
    handed out, however many were ready. An error of the loader is raised where its batch would have come.

    Args:
        loader: of this rank; it belongs to the thread until `close`.
        depth: batches that may be ready.

    Raises:
        ConfigError: no depth.
    """

    def __init__(self, loader: PackedLoader, depth: int = 2) -> None:
        if depth < 1:
            raise ConfigError("prefetching needs a depth of at least 1", got=depth, fix="use the loader itself")
        self._loader, self._state = loader, loader.state()
        self._ready: Queue[tuple[PackedBatch | None, dict[str, Any]] | BaseException] = Queue(depth)
        self._stop, self._ended = Event(), False
        self._thread = Thread(target=self._work, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[PackedBatch]:
        while (batch := self.next()) is not None:
            yield batch

    def __enter__(self) -> Prefetched:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def next(self) -> PackedBatch | None:
        """The next batch, or None when the data has ended or the loader was closed."""
        if self._ended or self._stop.is_set():
            return None
        item = self._ready.get()
        if isinstance(item, BaseException):
            self._ended = True
            raise item
        batch, self._state = item
        self._ended = batch is None
        return batch

    def state(self) -> dict[str, Any]:
        """Where to go on after the batch that `next` gave last; for `PackedLoader.load`."""
        return self._state

    def close(self) -> None:
        """End the thread; batches that are ready are dropped, and come again from the state."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        going = True
        while going and not self._stop.is_set():
            item: tuple[PackedBatch | None, dict[str, Any]] | BaseException
            try:
                batch = self._loader.next()
                item, going = (batch, self._loader.state()), batch is not None
            except BaseException as error:  # noqa: BLE001  (raised again where the batch is asked for)
                item, going = error, False
            while not self._stop.is_set():
                try:
                    self._ready.put(item, timeout=0.1)
                    break
                except Full:
                    continue
