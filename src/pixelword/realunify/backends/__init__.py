"""How models are reached: three operations behind one interface, whatever speaks on the other side.

Importing this package loads neither torch nor an HTTP client; each way of reaching a model loads what it needs.
"""

from pixelword.realunify.backends.calls import (
    Answer,
    Backend,
    CallFailed,
    NotSupported,
    Operation,
    Request,
    RunStopped,
)

__all__ = ["Answer", "Backend", "CallFailed", "NotSupported", "Operation", "Request", "RunStopped"]
