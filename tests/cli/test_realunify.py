"""`pixelword realunify` as one types it."""

from __future__ import annotations

import pytest

from pixelword.cli.main import run
from pixelword.cli.realunify import read_plan
from pixelword.errors import ConfigError
from tests.realunify.harness import KEY, Loopback, Plan, known

# Both come from Inspect: a deprecated argument inside its display, and streams that it leaves to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]


def said(capsys, *words: str, code: int = 0) -> str:
    """What a command line prints, when it ends with this code."""
    with pytest.raises(SystemExit) as ended:
        run(["realunify", *words])
    out, err = capsys.readouterr()
    assert (ended.value.code or 0) == code, err
    return err if code else out


def test_run_score_compare_and_plan(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    out = str(tmp_path / "run")
    mini = ["--mini-number", "1", "--set", "run.mini_side=64"]
    planned = said(capsys, "plan", out, "--model", "pixelword-openai/tiny", *mini)
    assert "UEG stepwise: 6 items, 6 calls of the understander, 6 calls of the generator" in planned
    with Loopback(Plan(side=64), known(1)) as server:
        words = ["run", out, "--model", "pixelword-openai/tiny", "--url", server.url, "--display", "none", *mini]
        first = said(capsys, *words)
        asked = sum(server.asked.values())
        assert said(capsys, *words) == first and sum(server.asked.values()) == asked
    assert "direct GEU: 100.0" in first and "stepwise UEG: 66.7" in first and "4 ok" in first
    assert "stepwise UEG: 66.7" in said(capsys, "score", out, "--name", "again", "--display", "none")
    compared = said(capsys, "compare", out, out, "--against", "stepwise")
    assert compared.splitlines()[-1].split()[:4] == ["GEU", "4", "0", "0"]


def test_a_cap_of_nothing_is_a_cap():
    assert read_plan({"max_cost": 0.0}).run.max_cost == 0.0
    assert read_plan({"max_cost": None, "protocol": [], "data": "", "judge": None}) == read_plan({})


def test_judges_have_their_addresses_and_presets_their_wordings():
    one = read_plan({"judge": ["a/b"], "judge_url": ["http://x/v1"]})
    assert [(each.name, each.args) for each in one.models.judge] == [("a/b", {"base_url": "http://x/v1"})]
    two = read_plan({"judge": ["a/b", "paper"], "judge_url": ["http://x/v1", ""]})
    assert [(each.name, each.args) for each in two.models.judge] == [
        ("a/b", {"base_url": "http://x/v1"}),
        ("pixelword-gemini/gemini-2.5-pro", {}),
    ]
    assert two.run.judge_wording == "paper_v1" and one.run.judge_wording == "strict_v1"
    with pytest.raises(ConfigError, match="address of its own"):
        read_plan({"judge": ["a/b", "c/d"], "judge_url": ["http://x/v1"]})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "OUT"], "there is no model to ask"),
        (["run", "OUT", "--model", "nobody/x"], "cannot be made"),
        (["run", "OUT", "--model", "mockllm/x", "--max-cost", "5"], "a cap needs prices"),
        (["run", "OUT", "--model", "mockllm/x", "--data", "OUT/none"], "UEG needs a judge"),
        (["run", "OUT", "--model", "mockllm/x", "--data", "OUT/none", "--track", "GEU"], "no such data folder"),
        (["run", "OUT", "--model", "mockllm/x", "--data", "hub", "--track", "GEU"], "terms of its own"),
        (["run", "OUT", "--model", "mockllm/x", "--protocol", "stepwize"], "protocols"),
        (["run", "OUT", "--model", "pixelword-openai/x", "--set", "models.model.args.colour=1"], "cannot be made"),
        (["run", "OUT", "--model", "mockllm/x", "--mini-number", "1", "--protocol", "oracle-pair"], "has two models"),
        (["run", "OUT", "--model", "mockllm/x", "--mini-number", "1", "--set", "run.judge_votes=2"], "an even number"),
        (["score", "OUT", "--name", "default"], "a name of its own"),
        (["compare", "OUT", "OUT"], "no answered item in common"),
        (["compare", "OUT", "OUT", "--against", "stepwize"], "protocol"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, capsys, words, sentence):
    words = [word.replace("OUT", str(tmp_path / "run")) for word in words]
    assert sentence in said(capsys, *words, code=2)
