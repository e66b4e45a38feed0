"""`pixelword posttrain`, as a user types it; the training itself is tested in tests/posttrain."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pixelword.cli.main import run
from pixelword.posttrain import PosttrainRecipe, read_posttrain_recipe
from pixelword.recipe import fingerprint

RECIPES = Path(__file__).parents[2] / "recipes" / "jigsaw"


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        run(words)
    said = capsys.readouterr()
    return int(leaving.value.code or 0), said.out, said.err


def test_show_prints_a_recipe_that_loads_to_the_same(tmp_path, capsys):
    words = ["posttrain", str(RECIPES / "depth.yaml"), "--set", "samples.path=x", "--set", "grpo.algorithm=gspo"]
    code, out, _ = told([*words, "--show"], capsys)
    shown = PosttrainRecipe.model_validate(yaml.safe_load(out))
    read = read_posttrain_recipe(RECIPES / "depth.yaml", ["samples.path=x", "grpo.algorithm=gspo"])
    assert code == 0 and shown == read and out.rstrip().endswith(fingerprint(read))


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [("grpo.algoritm=dapo", "did you mean 'algorithm'"), ("grpo.group=1", "responses to a prompt")],
)
def test_a_mistake_is_one_sentence(setting, complaint, capsys):
    words = ["posttrain", str(RECIPES / "image.yaml"), "--set", "samples.path=x", "--set", setting, "--show"]
    code, _, err = told(words, capsys)
    assert code == 2 and complaint in err and "Traceback" not in err
