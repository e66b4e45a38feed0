"""A missing library is told with the line that installs it; a missing module of ours is our bug."""

from __future__ import annotations

import pytest

from pixelword.cli.extras import needs
from pixelword.errors import MissingExtra


def test_a_missing_library_names_the_extra():
    with pytest.raises(MissingExtra) as caught, needs("demo"):
        import no_such_library.part  # noqa: F401
    assert (caught.value.library, caught.value.extra) == ("no_such_library", "demo")


def test_a_missing_module_of_ours_passes_through():
    with pytest.raises(ModuleNotFoundError) as caught, needs("demo"):
        import pixelword.no_such_module  # noqa: F401
    assert not isinstance(caught.value, MissingExtra)


def test_a_library_that_fails_in_another_way_passes_through():
    with pytest.raises(ImportError) as caught, needs("demo"):
        from pathlib import no_such_name  # noqa: F401
    assert not isinstance(caught.value, MissingExtra)
