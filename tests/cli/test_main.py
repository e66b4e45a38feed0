"""The front door: it answers at once, tells the user's mistakes as text, and keeps the traceback of ours."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import typer
import typer.main

import pixelword
from pixelword.cli import main
from pixelword.errors import ConfigError

# What would make --help slow. The commands import these when they run. (typer itself brings pydantic.)
SLOW = {"torch", "transformers", "numpy", "scipy", "matplotlib", "PIL", "jinja2", "yaml"}


def all_commands() -> Iterator[tuple[str, ...]]:
    """The words of every command and group, the bare one included."""

    def below(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name, inner in getattr(command, "commands", {}).items():
            yield from below(inner, (*words, name))

    yield from below(typer.main.get_command(main.build(main.COMMANDS)), ())


def in_a_fresh_process(*words: str, after: str = "") -> subprocess.CompletedProcess[str]:
    script = (
        f"import sys\nfrom pixelword.cli.main import run\ntry:\n    run({list(words)})\nfinally:\n    {after or 'pass'}"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def leave(monkeypatch: pytest.MonkeyPatch, command: Callable[..., None], *words: str) -> int:
    """Run one made-up command as `pixelword it ...` and return the exit code."""
    monkeypatch.setattr(main, "COMMANDS", {"it": command})
    with pytest.raises(SystemExit) as leaving:
        main.run(["it", *words])
    return int(leaving.value.code or 0)


@pytest.mark.parametrize("words", list(all_commands()), ids=" ".join)
def test_help_answers_without_loading_anything_slow(words):
    done = in_a_fresh_process(*words, "--help", after="print(*sys.modules, file=sys.stderr)")
    assert done.returncode == 0
    assert f"Usage: {' '.join(['pixelword', *words])}" in done.stdout
    assert set(done.stderr.split()) & SLOW == set()


@pytest.mark.parametrize("words", list(all_commands()), ids=" ".join)
def test_help_answers_within_half_a_second(words):
    def cpu_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert in_a_fresh_process(*words, "--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    # Processor time, and one of three tries, so that a busy machine does not decide.
    assert any(cpu_seconds() < 0.5 for _ in range(3))


def test_bare_call_shows_the_help_and_the_version_is_the_package_version():
    assert in_a_fresh_process().stdout == in_a_fresh_process("--help").stdout
    assert in_a_fresh_process("--version").stdout == f"pixelword {pixelword.__version__}\n"


class OutOfMemoryError(RuntimeError):
    """As torch calls its own, which the front door must not load torch to know."""


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("CUDA said no.\nA long table"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: 12 bytes"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 12 bytes."),
        RuntimeError("MPS backend out of memory (allocated: 12 bytes)"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize(("command", "fix"), [("doctor", "rows_per_batch=1"), ("it", "smaller or fewer")])
def test_out_of_memory_is_one_sentence_with_what_to_do(monkeypatch, capsys, error, command, fix):
    def it() -> None:
        raise error

    monkeypatch.setattr(main, "COMMANDS", {command: it})
    with pytest.raises(SystemExit) as leaving:
        main.run([command])
    assert leaving.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("pixelword: the device is out of memory\n") and fix in said
    assert "table" not in said and "Traceback" not in said


def test_any_other_error_of_a_device_keeps_its_traceback(monkeypatch):
    def it() -> None:
        raise RuntimeError("a kernel failed")

    monkeypatch.setattr(main, "COMMANDS", {"it": it})
    with pytest.raises(RuntimeError, match="a kernel failed"):
        main.run(["it"])


def test_a_mistake_of_the_user_is_told_as_text(monkeypatch, capsys):
    def it() -> None:
        raise ConfigError("the width is odd", got=3, fix="take an even one")

    assert leave(monkeypatch, it) == 2
    assert capsys.readouterr() == ("", "pixelword: the width is odd\n  got: 3\n  fix: take an even one\n")


def test_a_place_that_cannot_be_written_is_told_as_text(monkeypatch, capsys, tmp_path):
    (tmp_path / "taken").write_text("a file")

    def it() -> None:
        (tmp_path / "taken" / "run").mkdir(parents=True)

    assert leave(monkeypatch, it) == 2
    said = capsys.readouterr().err
    assert "taken" in said and "Not a directory" in said and "  fix: choose another place" in said

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert leave(monkeypatch, full) == 2
    assert "got: No space left on device" in capsys.readouterr().err


def test_our_own_mistake_keeps_its_traceback(monkeypatch):
    def it() -> None:
        raise KeyError("ours")

    monkeypatch.setattr(main, "COMMANDS", {"it": it})
    with pytest.raises(KeyError, match="ours"):
        main.run(["it"])


def test_an_interrupt_ends_with_a_sentence(monkeypatch, capsys):
    def it() -> None:
        raise KeyboardInterrupt

    assert leave(monkeypatch, it) == 130
    assert capsys.readouterr() == ("", "pixelword: interrupted before the command was done\n")


def test_a_group_of_commands_is_one_line_of_the_table(monkeypatch, capsys):
    group = typer.Typer(help="Two ways.")
    group.command("one")(lambda: typer.echo("first"))
    group.command("two")(lambda: typer.echo("second"))
    assert leave(monkeypatch, group, "two") == 0
    assert capsys.readouterr().out == "second\n"


@pytest.mark.parametrize("words", [["no-such-command"], ["demo", "--no-such-option"], ["demo", "--seed", "x"]])
def test_a_wrong_command_line_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as leaving:
        main.run(words)
    assert leaving.value.code == 2
    assert "Usage: pixelword" in capsys.readouterr().err
