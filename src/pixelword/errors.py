"""Everything this package raises on purpose, drawn once.

PixelWordError
├── ConfigError        a configuration contradicts itself or has an unknown key
├── InputError         what a user passed in cannot be used
│   ├── ImageError     a picture that cannot be read, or is too large or too narrow
│   ├── PromptError    tags and pictures that do not match, special tokens, too long
│   └── ShapeError     tensors that cannot meet
├── CheckpointError    a folder of weights that is not what it was said to be
├── DataError          a row or file of a dataset that cannot be read; names it
├── TrainingError      a run that cannot go on; says where it stopped and what is kept
├── BackendError       a kernel, device or endpoint that cannot do what was asked
└── MissingExtra       an optional library is needed; says which extra installs it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PixelWordError(Exception):
    """Root of the tree. Says what is wrong, what was got, and what to do.

    Args:
        what: one sentence naming the thing and the rule that it breaks.
        got: the offending value, shortened when it is long.
        fix: one sentence a user can act on.
    """

    def __init__(self, what: str, *, got: object = None, fix: str = "") -> None:
        self.what, self.got, self.fix = what, got, fix
        lines = [what]
        if got is not None:
            text = str(got)
            lines.append(f"  got: {text if len(text) <= 400 else text[:397] + '...'}")
        if fix:
            lines.append(f"  fix: {fix}")
        super().__init__("\n".join(lines))


class ConfigError(PixelWordError, ValueError):
    """A configuration contradicts itself or has an unknown key."""


class InputError(PixelWordError, ValueError):
    """What a user passed in cannot be used."""


class ImageError(InputError):
    """A picture that cannot be read, or is too large or too narrow."""


class PromptError(InputError):
    """Tags and pictures that do not match, special tokens in user text, or a prompt that is too long."""


class ShapeError(InputError):
    """Tensors that cannot meet."""


class CheckpointError(PixelWordError, ValueError):
    """A folder of weights that is not what it was said to be."""


class DataError(PixelWordError, ValueError):
    """A row or file of a dataset that cannot be read; names it."""


class TrainingError(PixelWordError, RuntimeError):
    """A run that cannot go on: its loss is no number, or its disk is full. Says what is kept."""


class BackendError(PixelWordError, RuntimeError):
    """A kernel, device or endpoint that cannot do what was asked."""


class MissingExtra(PixelWordError, ImportError):
    """An optional library is needed.

    Args:
        library: the module that could not be imported.
        extra: the extra of this package that installs it.
    """

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"this needs the library {library!r}, which is not installed",
            fix=f'pip install "pixelword[{extra}]"',
        )
        self.library, self.extra = library, extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        """So that it crosses process borders: exceptions pickle as a call with `args`, which is the text."""
        return type(self), (self.library, self.extra)


OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""What torch's allocators say."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device has no memory left. torch need not be loaded; its CPU allocator has no class of its own."""
    if isinstance(error, PixelWordError):
        return False
    said = isinstance(error, RuntimeError) and any(sign in str(error) for sign in OUT_OF_MEMORY)
    return said or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the known name closest to `name`, or lists all when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
