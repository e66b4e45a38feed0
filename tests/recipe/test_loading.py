"""Claims of recipes: one parent, overrides that win, strict keys, and a fingerprint of what the values mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.errors import ConfigError
from pixelword.recipe import Recipe, differences, fingerprint, load_recipe, loading, resolved

SMALL: dict[str, Any] = {
    "name": "small",
    "model": {"preset": "neo-tiny"},
    "optimizer": {"rate": 0.001, "betas": [0.9, 0.95]},
    "steps": 10,
    "rows_per_step": 4,
}


def write(folder: Path, file: str, /, **values: Any) -> Path:
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(yaml.safe_dump(values))
    return folder / file


def refusal(path: Path, *overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, overrides)
    assert caught.value.fix
    return caught.value


def test_a_child_wins_key_by_key_and_a_list_replaces_a_list(tmp_path):
    write(tmp_path, "base.yaml", **SMALL, learns=["a", "b"], images={"min_pixels": 64, "max_pixels": 128})
    child = write(
        tmp_path, "sub/child.yaml", extends="../base.yaml", learns=["c"], images={"max_pixels": 256}, name="child"
    )
    recipe = load_recipe(child)
    assert (recipe.name, recipe.learns, recipe.steps) == ("child", ("c",), 10)
    assert (recipe.images.min_pixels, recipe.images.max_pixels) == (64, 256)


def test_a_word_on_the_command_line_wins_over_both_files(tmp_path):
    write(tmp_path, "base.yaml", **SMALL)
    child = write(tmp_path, "child.yaml", extends="base.yaml", steps=20)
    recipe = load_recipe(child, ["steps=30", "optimizer.rate=2e-3", "optimizer.rate=0.5", "data.lanes=2"])
    assert (recipe.steps, recipe.optimizer.rate, recipe.data.lanes) == (30, 0.5, 2)
    assert recipe.optimizer.betas == (0.9, 0.95)


def test_a_parent_may_have_a_parent_but_no_circle(tmp_path):
    write(tmp_path, "a.yaml", **SMALL)
    write(tmp_path, "b.yaml", extends="a.yaml", steps=20)
    assert load_recipe(write(tmp_path, "c.yaml", extends="b.yaml", seed=1)).steps == 20
    write(tmp_path, "x.yaml", extends="y.yaml")
    assert refusal(write(tmp_path, "y.yaml", extends="x.yaml")).got == "y.yaml -> x.yaml -> y.yaml"
    assert "extends itself" in refusal(tmp_path / "x.yaml").what
    assert "one file" in refusal(write(tmp_path, "d.yaml", extends=["a.yaml", "b.yaml"])).what
    assert "no such recipe" in refusal(write(tmp_path, "e.yaml", extends="none.yaml")).what


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stpes": 3}, "did you mean 'steps'?"),
        ({"optimizer": {"rate": 1, "beta": [0, 0]}}, "did you mean 'betas'?"),
        ({"data": {"sources": [{"name": "a", "kind": "json", "path": "x", "wieght": 1}]}}, "did you mean 'weight'?"),
        ({"data": {"sources": [{"name": "a", "kind": "json", "path": "x", "weight": 0}]}}, "all zero"),
        ({"data": {"sources": [{"name": "a", "kind": "json", "path": "x", "weight": -1}]}}, "share of the samples"),
        ({"data": {"sources": [{"name": "a", "kind": "json", "path": "x"}] * 2}}, "one name"),
        ({"data": {"sources": [{"name": "a", "kind": "csv", "path": "x"}]}}, "format of the rows"),
        ({"packing": {"budget": 10, "max_sample": 11}}, "longer than a row"),
        ({"images": {"min_pixels": 9, "max_pixels": 8}}, "larger than max_pixels"),
        ({"model": {}}, "a preset or from a checkpoint"),
        ({"model": {"preset": "neo-2b", "checkpoint": "x"}}, "a preset or from a checkpoint"),
        ({"learns": []}, "must train something"),
        ({"optimizer": {"rate": 1, "warmup_steps": 10}}, "as long as the stage"),
        ({"optimizer": {"rate": 1, "betas": [0.9, 1]}}, "below 1"),
        ({"optimizer": {"rate": float("inf")}}, "finite"),
        ({"rows_per_batch": 3}, "whole number of micro-batches"),
        ({"optimizer": {}}, "needs the key 'optimizer.rate'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(tmp_path, change, said):
    assert said in str(refusal(write(tmp_path, "recipe.yaml", **(SMALL | change))))


RATES = st.floats(1e-9, 1e3)
RECIPES = st.builds(
    lambda rate, steps, seed, name: Recipe.model_validate(
        SMALL | {"optimizer": {"rate": rate}, "steps": steps, "seed": seed, "name": name}
    ),
    RATES,
    st.integers(1, 10**9),
    st.integers(),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=10),
)


@settings(max_examples=40)
@given(RECIPES)
def test_the_resolved_form_loads_to_the_same_recipe_and_fingerprint(recipe):
    again = Recipe.model_validate(yaml.safe_load(resolved(recipe)))
    assert again == recipe
    assert fingerprint(again) == fingerprint(recipe)
    assert differences(recipe, again) == []


@settings(max_examples=40)
@given(RECIPES, RECIPES)
def test_other_values_have_another_fingerprint_and_are_named(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (one == other) == (not differences(one, other))


def test_a_difference_names_the_key_and_both_values(tmp_path):
    path = write(tmp_path, "recipe.yaml", **SMALL)
    old, new = load_recipe(path), load_recipe(path, ["steps=11", "learns=[a, b]"])
    assert differences(old, new) == ["learns.0: .* -> a", "learns.1: None -> b", "steps: 10 -> 11"]


def test_a_recipe_that_is_not_there_suggests_the_nearest_of_its_folder(tmp_path):
    (tmp_path / "pretrain.yaml").write_text("extends: sft.yaml")
    (tmp_path / "other.yaml").write_text("")
    with pytest.raises(ConfigError, match="no such recipe") as caught:
        load_recipe(tmp_path / "pretrian.yaml")
    assert caught.value.fix == "did you mean 'pretrain'?"
    with pytest.raises(ConfigError, match="no such recipe") as caught:
        load_recipe(tmp_path / "pretrain.yaml")
    assert caught.value.fix == "known: other, pretrain"


def test_a_recipe_that_the_package_brings_is_found_where_no_such_file_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "pixelword" / "recipe" / "loading.py"))
    brought = tmp_path / "pixelword" / "recipes" / "mine" / "sft.yaml"
    brought.parent.mkdir(parents=True)
    brought.write_text("steps: 3")
    assert loading.found(Path("recipes/mine/sft.yaml")) == brought
    assert loading.found(Path("recipes/mine/other.yaml")) == Path("recipes/mine/other.yaml")
    own = tmp_path / "recipes" / "mine" / "sft.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("steps: 4")
    assert loading.found(Path("recipes/mine/sft.yaml")) == Path("recipes/mine/sft.yaml")
