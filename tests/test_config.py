"""Claims of `pixelword.config`: strict keys with a suggestion, dotted paths, overrides that win, no other error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from pixelword.config import Settings, load_settings
from pixelword.errors import ConfigError


class Optim(Settings):
    peak: float = Field(default=1e-3, gt=0, description="largest learning rate, per step")
    warmup: int = 10


class Stage(Settings):
    name: str
    steps: int = 100
    learns: tuple[str, ...] = ()


class Recipe(Settings):
    seed: int = 0
    folder: Path = Path("runs")
    note: str | None = None
    optim: Optim = Optim()
    stages: tuple[Stage, ...] = ()
    by_name: dict[str, Stage] = Field(default_factory=dict)
    either: Stage | Optim | None = None

    @model_validator(mode="after")
    def warmup_fits(self) -> Recipe:
        for stage in self.stages:
            if stage.steps < self.optim.warmup:
                raise ConfigError("a stage is shorter than the warmup", got=stage.steps, fix="lower optim.warmup")
        return self


def refusal(values: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Recipe.model_validate(values)
    return caught.value


@pytest.mark.parametrize(
    ("values", "path", "suggestion"),
    [
        ({"sed": 1}, "sed", "seed"),
        ({"optim": {"peek": 1}}, "optim.peek", "peak"),
        ({"stages": [{"name": "a"}, {"name": "b", "step": 1}]}, "stages.1.step", "steps"),
        ({"by_name": {"first": {"name": "a", "learn": []}}}, "by_name.first.learn", "learns"),
        ({"either": {"name": "a", "step": 3}}, "either.step", "steps"),
        ({"either": {"warmupp": 3}}, "either.warmupp", "warmup"),
    ],
)
def test_an_unknown_key_is_named_by_its_path_with_the_nearest_known_key(values, path, suggestion):
    error = refusal(values)
    assert error.what.startswith(f"Recipe has no key {path!r}")
    assert error.fix == f"did you mean {suggestion!r}?"


def test_python_callers_meet_the_same_error_at_every_depth():
    for make in (lambda: Optim(peek=1), lambda: Optim().model_copy(update={"peek": 1})):
        with pytest.raises(
            ConfigError, match=r"Optim has no key 'peek'\n  got: peek = 1\n  fix: did you mean 'peak'\?"
        ):
            make()
    with pytest.raises(ConfigError, match=r"Recipe has no key 'optim.peek'"):
        Recipe(optim={"peek": 1})


def test_a_key_far_from_all_lists_the_known_ones():
    assert refusal({"optim": {"zzz": 1}}).fix == "known: peak, warmup"


def test_a_wrong_value_shows_the_rule_the_value_the_meaning_and_the_default():
    error = refusal({"optim": {"peak": -1}})
    assert error.what == "Recipe, 'optim.peak': Input should be greater than 0"
    assert (error.got, error.fix) == ("-1", "largest learning rate, per step; the default is 0.001")


def test_a_missing_key_is_named_and_an_unknown_one_is_told_first():
    assert refusal({"stages": [{}]}).what == "Recipe needs the key 'stages.0.name'"
    assert refusal({"stages": [{"nam": "a"}]}).what == "Recipe has no key 'stages.0.nam' (and 1 more)"


def test_an_error_of_a_validator_keeps_its_own_words():
    error = refusal({"stages": [{"name": "a", "steps": 3}]})
    assert error.what == "Recipe: a stage is shorter than the warmup"
    assert (error.got, error.fix) == (3, "lower optim.warmup")


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Optim().warmup = 3  # type: ignore[misc]


# Files and overrides.


def test_an_override_wins_over_the_file_and_the_last_one_wins_over_all(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("seed: 3\noptim: {warmup: 20, peak: 1e-4}\n")
    recipe = load_settings(Recipe, file, ["optim.warmup=30", "optim.warmup=40", "note=null", "stages=[{name: a}]"])
    assert recipe == Recipe(seed=3, optim=Optim(warmup=40, peak=1e-4), stages=(Stage(name="a"),))


def test_no_file_and_an_empty_file_are_the_defaults(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert load_settings(Recipe) == load_settings(Recipe, tmp_path / "empty.yaml") == Recipe()


def test_an_override_opens_a_section_that_the_file_leaves_empty(tmp_path):
    (tmp_path / "recipe.yaml").write_text("optim:\n")
    assert load_settings(Recipe, tmp_path / "recipe.yaml", ["optim.warmup=5"]).optim.warmup == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1\n- 2\n", "is not a mapping"),
        ("a: [1\n", "is not YAML"),
        ("seed: 1\nseed: 2\n", "the key 'seed' twice"),
        ("optim: {peak: 1, peak: 2}\n", "the key 'peak' twice"),
        ("seed: !!python/object/apply:os.getcwd []\n", "is not YAML"),
        ("seed: 2001-99-99\n", "is not YAML"),
        ("a: " + "[" * 5000, "is not YAML"),
        ("3: 4\n", "Keys should be strings"),
        ("sed: 1\n", "did you mean 'seed'?"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, text, said):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(Recipe, tmp_path / "recipe.yaml")
    assert said in str(caught.value)
    assert caught.value.fix


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"note: \xe9")
    for path in (tmp_path, tmp_path / "absent.yaml", tmp_path / "latin.yaml"):
        with pytest.raises(ConfigError, match="cannot be read as a text file") as caught:
            load_settings(Recipe, path)
        assert str(path) in caught.value.what


@pytest.mark.parametrize("word", ["", "seed", "=3", ".seed=3", "optim.=3", "a..b=1"])
def test_a_malformed_override_shows_how_to_write_one(word):
    with pytest.raises(ConfigError, match=r"--set a\.b=c"):
        load_settings(Recipe, overrides=[word])


def test_an_override_reaches_into_a_list(tmp_path):
    (tmp_path / "recipe.yaml").write_text("stages: [{name: a}, {name: b, steps: 20}]\n")
    recipe = load_settings(Recipe, tmp_path / "recipe.yaml", ["stages.1.steps=30", "stages.0.name=c"])
    assert [(stage.name, stage.steps) for stage in recipe.stages] == [("c", Stage(name="c").steps), ("b", 30)]


@pytest.mark.parametrize("place", ["2", "-1", "x", "\u0661"])
def test_a_place_that_a_list_does_not_have_is_refused(tmp_path, place):
    (tmp_path / "recipe.yaml").write_text("stages: [{name: a}, {name: b}]\n")
    with pytest.raises(ConfigError, match="'stages' is a list and has no place") as caught:
        load_settings(Recipe, tmp_path / "recipe.yaml", [f"stages.{place}.steps=30"])
    assert "stages.0 to stages.1" in str(caught.value.fix)


def test_an_override_below_a_value_is_refused():
    with pytest.raises(ConfigError, match="'seed' is a value and has no keys below it"):
        load_settings(Recipe, overrides=["seed=1", "seed.start=2"])


# Properties.

names = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="_"), min_size=1, max_size=12)
stages = st.builds(
    Stage, name=st.text(max_size=20), steps=st.integers(10, 10**9), learns=st.tuples(st.text(max_size=5))
)
recipes = st.builds(
    Recipe,
    seed=st.integers(),
    note=st.none() | st.text(max_size=20),
    optim=st.builds(Optim, peak=st.floats(1e-12, 1e12), warmup=st.integers(0, 10)),
    stages=st.lists(stages, max_size=3).map(tuple),
    by_name=st.dictionaries(names, stages, max_size=3),
)


@given(recipes)
def test_settings_written_as_yaml_are_read_back_equal(tmp_path_factory, recipe):
    file = tmp_path_factory.mktemp("settings") / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert load_settings(Recipe, file) == recipe


@given(st.lists(names, min_size=1, max_size=4), st.integers())
def test_an_override_of_an_unknown_key_always_names_its_first_unknown_part(path, value):
    key = ".".join(path)
    if path[0] in Recipe.model_fields:
        return
    with pytest.raises(ConfigError) as caught:
        load_settings(Recipe, overrides=[f"{key}={value}"])
    assert caught.value.what == f"Recipe has no key {path[0]!r}"


@given(
    st.lists(
        st.text(max_size=40) | st.builds("{}={}".format, st.sampled_from(["seed", "optim.peak", "either"]), st.text())
    )
)
def test_whatever_is_written_on_the_command_line_gives_settings_or_our_error(words):
    try:
        assert isinstance(load_settings(Recipe, overrides=words), Recipe)
    except ConfigError as error:
        assert error.what
        assert error.fix
