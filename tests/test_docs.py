"""README and docs: every Python block runs, every link leads somewhere; commands are in test_docs_commands.py."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"(?:<!-- not run: (?P<why>[^>]+) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)```", re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?P<target>[^)\s]+)\)")


def blocks(page: Path, kind: str) -> Iterator[re.Match[str]]:
    return (match for match in BLOCK.finditer(page.read_text(encoding="utf-8")) if match["kind"] == kind)


def id_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, "python"))], ids=id_of)
def test_python_blocks_run_one_after_the_other(page, tmp_path, monkeypatch):
    """In one namespace per page, as a reader would type them; a block that cannot run here says why."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for match in blocks(page, "python"):
        if match["why"] is None:
            exec(compile(match["text"], id_of(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=id_of)
def test_links_lead_to_files_that_exist(page):
    for match in LINK.finditer(re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)):
        target = match["target"].partition("#")[0]
        if target and not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), match["target"]


def test_messages_that_troubleshooting_explains_are_messages_of_the_code():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    quoted = [
        words for head in re.findall(r"^\*\*(`.*?`)\*\*", page, re.MULTILINE) for words in re.findall("`(.*?)`", head)
    ]
    assert len(quoted) > 10
    for message in quoted:
        for part in filter(None, (part.strip() for part in message.split("..."))):
            assert part in code, message


def test_every_paper_that_code_or_recipes_name_stands_on_the_page_of_papers():
    page = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "recipes").rglob("*.yaml"), *(ROOT / "docs").rglob("*.yaml")]
    for file in files:
        for number in re.findall(r"(?<![\d.])2\d{3}\.\d{5}(?!\d)", file.read_text(encoding="utf-8")):
            assert number in page, f"{file.name}: arXiv {number}"


def test_each_example_of_extending_is_under_fifty_lines():
    examples = [match["text"] for match in blocks(ROOT / "docs" / "extending.md", "python")]
    assert len(examples) == 5 and all(text.count("\n") < 50 for text in examples)


def test_make_bench_can_call_every_benchmark_without_arguments():
    for script in (ROOT / "benchmarks").glob("bench_*.py"):
        for call in re.findall(r'add_argument\(\s*"(?!-)[^)]*\)', script.read_text(encoding="utf-8")):
            assert 'nargs="?"' in call, f"{script.name}: {call}"


def test_the_site_builds_without_a_warning(tmp_path):
    mkdocs = pytest.importorskip("mkdocs.commands.build", reason="the extra dev brings mkdocs")
    from mkdocs.config import load_config

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mkdocs' own templates
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"))
        mkdocs.build(config)
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    assert any("Usage: pixelword train" in page.read_text(encoding="utf-8") for page in pages)


def test_the_page_of_benchmarks_is_that_of_the_recorded_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import page

    assert page.PAGE.read_text(encoding="utf-8") == page.page(), "run python benchmarks/page.py"
