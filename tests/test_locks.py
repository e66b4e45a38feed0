"""A folder has one run: a second one is refused while the first lives, and welcome when it has died."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pixelword.errors import BackendError
from pixelword.locks import alone_in

HOLDS = """
import sys, time
from pathlib import Path
from pixelword.locks import alone_in
with alone_in(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    folder = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(BackendError, match="another run is writing") as told, alone_in(folder):
            pass
        assert str(folder) in str(told.value)
        other.kill()
        other.wait()
        with alone_in(folder):
            pass
    with alone_in(folder), pytest.raises(BackendError), alone_in(folder):
        pass
