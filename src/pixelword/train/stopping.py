"""SIGTERM and SIGINT end a run after its step instead of in the middle of it."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)


class StopSignal:
    """While entered, the first SIGTERM or SIGINT is only remembered; a second one does what it always does.

    Attributes:
        name: of the signal that came, or "".
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.name = ""
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        return bool(self.name)

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():  # only there can handlers be set
            self._before = {number: signal.signal(number, self._remember) for number in self.SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        logger.warning("%s: the run ends after this step and keeps its state; once more ends it at once", self.name)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
