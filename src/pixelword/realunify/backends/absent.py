"""The model of a role that nobody has: every step that needs it says so."""

from __future__ import annotations

from pixelword.realunify.backends.calls import Answer, Backend, NotSupported, Request


class Absent(Backend):
    """Has no operation."""

    can = frozenset()

    def __init__(self, model: str = "none") -> None:
        self.model = model

    async def call(self, request: Request) -> Answer:
        raise NotSupported("no model has this role", got=request.operation, fix="give --understander or --generator")
