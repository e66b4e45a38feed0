"""What the machine can do is found out by looking and trying."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pixelword.train import look_at_machine
from pixelword.train import machine as machine_module


@pytest.mark.parametrize(("flags", "fast"), [("fpu amx_bf16 sse", True), ("fpu avx512_bf16 sse", False), ("", False)])
def test_bfloat16_needs_tiles(monkeypatch, flags, fast):
    monkeypatch.setattr(Path, "exists", lambda path: True)
    monkeypatch.setattr(Path, "read_text", lambda path, **options: f"flags : {flags}\n")
    assert machine_module.has_fast_bfloat16() is fast


def test_without_a_compiler_layers_are_eager_and_the_log_says_so(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    machine_module.compiler_works.cache_clear()
    machine = look_at_machine()
    assert not machine.compiled and "no working C++ compiler" in machine.why
    machine_module.compiler_works.cache_clear()


def test_a_compiler_that_fails_is_no_compiler(tmp_path):
    broken = tmp_path / "broken-compiler"
    broken.write_text("#!/bin/sh\necho no headers >&2\nexit 1\n")
    broken.chmod(0o755)
    program = "from pixelword.train.machine import compiler_works; print(compiler_works())"
    environment = {**os.environ, "CXX": str(broken), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False" and "torch.compile does not work here" in done.stderr


def test_a_short_run_is_not_compiled():
    machine = look_at_machine(short=True)
    assert not machine.compiled and "short run" in machine.why
