"""Claims of the mini's choice half: answers follow from the gold picture's pixels, and the words betray nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from pixelword.realunify.dataset import read_benchmark
from pixelword.realunify.mini import mini_choice, mini_choices, see, write_mini
from pixelword.realunify.mini.items import PUZZLES
from pixelword.realunify.mini.puzzles import LETTERS
from pixelword.realunify.mini.reconstruction import PLACES
from pixelword.realunify.mini.vocabulary import COLORS, PLURALS, SHAPES
from pixelword.realunify.paths import open_picture

CATEGORIES = sorted(PUZZLES)
SINGULAR = {plural: shape for shape, plural in PLURALS.items()}
MAGENTA = (255, 0, 255)


def named(question, names):
    """The one of these names that a question holds, or None."""
    found = [name for name in names if re.search(rf"\b{name}\b", question)]
    return max(found, key=len) if found else None


@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize("number", range(22))
def test_reconstruction_is_answered_by_its_gold_picture(number, side):
    item = mini_choice("mental_reconstruction", number, side=side)
    seen = see(item.puzzle.gold)
    cells = {3 * int(each.y * 3) + int(each.x * 3): each.thing for each in seen}
    assert len(cells) == len(seen)
    place, color = named(item.question, PLACES), named(item.question, COLORS)
    shape = SINGULAR.get(named(item.question, SINGULAR))
    if place:
        thing = cells[PLACES.index(place)]
        found = thing.color if "colour" in item.question else thing.shape
    elif "where" in item.question.lower() or "place" in item.question or "part" in item.question:
        found = PLACES[next(cell for cell, thing in cells.items() if thing.color == color)]
    else:
        found = str(sum(color in (None, t.color) and shape in (None, t.shape) for t in cells.values()))
    assert found == item.puzzle.options.answer, item.question


@pytest.mark.parametrize("number", range(20))
def test_the_shuffled_picture_holds_the_same_tiles_in_another_order(number):
    puzzle = mini_choice("mental_reconstruction", number, side=64).puzzle
    tiles = int(puzzle.subtask[0])

    def cut(picture):
        pixels, step = np.asarray(picture), 64 // tiles
        return Counter(
            pixels[y : y + step, x : x + step].tobytes() for y in range(0, 64, step) for x in range(0, 64, step)
        )

    assert cut(puzzle.picture) == cut(puzzle.gold)
    assert puzzle.picture.tobytes() != puzzle.gold.tobytes()


# Middles of the segments as parts of a digit one wide and two high, and what they spell: the usual table, by hand.
MIDDLES = [(0.5, 0), (1, 0.5), (1, 1.5), (0.5, 2), (0, 1.5), (0, 0.5), (0.5, 1)]
SPELT = {"1111110": 0, "0110000": 1, "1101101": 2, "1111001": 3, "0110011": 4, "1011011": 5, "1011111": 6,
         "1110000": 7, "1111111": 8, "1111011": 9}  # fmt: skip


def read_digits(picture, color):
    """The two digits that the segments of one colour spell, read at the middles of the segments."""
    pixels = np.asarray(picture, dtype=int)
    side = pixels.shape[0]
    unit = side / 4.5
    digits = []
    for place in range(2):
        spelt = ""
        for x, y in MIDDLES:
            column, row = 0.75 * unit + 2 * unit * place + x * unit, side / 2 - unit + y * unit
            spelt += str(int(np.abs(pixels[int(row), int(column)] - COLORS[color]).sum() < 30))
        digits.append(str(SPELT.get(spelt)))
    return ",".join(digits)


@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize("number", range(24))
def test_tracking_is_answered_by_its_gold_picture(number, side):
    item = mini_choice("mental_tracking", number, side=side)
    asked = item.question[: item.question.rindex(" segments")].split()[-1]
    assert read_digits(item.puzzle.gold, asked) == item.puzzle.options.answer
    assert item.puzzle.picture.tobytes() != item.puzzle.gold.tobytes()


@pytest.mark.parametrize("side", [64, 192])
@pytest.mark.parametrize("number", range(20))
def test_focusing_is_answered_by_its_picture_and_framed_in_its_gold_picture(number, side):
    item = mini_choice("attentional_focusing", number, side=side)
    seen = see(item.puzzle.picture)
    color = named(item.question, COLORS)
    shape = SINGULAR.get(named(item.question, SINGULAR)) or named(item.question, SHAPES)
    fitting = [each for each in seen if color in (None, each.thing.color) and shape in (None, each.thing.shape)]
    where = f"{'lower' if fitting[0].y > 0.5 else 'upper'} {'right' if fitting[0].x > 0.5 else 'left'}"
    found = {
        "attribute": fitting[0].thing.color if color is None else fitting[0].thing.shape,
        "quantity": str(len(fitting)),
        "place": where,
    }[item.puzzle.subtask]
    assert found == item.puzzle.options.answer, item.question
    frames = (np.asarray(item.puzzle.gold) == MAGENTA).all(axis=2)
    for each in fitting:
        row, column = int(each.y * side), int(each.x * side)
        sides = frames[row, :column], frames[row, column:], frames[:row, column], frames[row:, column]
        assert all(line.any() for line in sides)


def walk(picture, start, goal):
    """The way between two coloured squares, found on the pixels of a maze: cells in order."""
    pixels = np.asarray(picture, dtype=int)
    side = pixels.shape[0]
    step = side / 6
    open_floor = np.abs(pixels - 90).sum(axis=2) > 60

    def joined(one, other):
        (r0, c0), (r1, c1) = one, other
        ends = [((r + 0.5) * step, (c + 0.5) * step) for r, c in ((r0, c0), (r1, c1))]
        line = np.linspace(*ends, 60)[20:40].astype(int)  # the rims of black squares are grey too
        return open_floor[line[:, 0], line[:, 1]].all()

    def cell_of(color):
        places = np.argwhere(np.abs(pixels - COLORS[color]).sum(axis=2) < 12)
        return tuple(int(value) for value in np.median(places, axis=0) // step)

    first, last = cell_of(start), cell_of(goal)
    before, front = {first: None}, deque([first])
    while front:
        row, column = cell = front.popleft()
        for other in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if min(other) >= 0 and max(other) < 6 and other not in before and joined(cell, other):
                before[other] = cell
                front.append(other)
    way = [last]
    while before[way[-1]] is not None:
        way.append(before[way[-1]])
    return way[::-1], cell_of


@pytest.mark.parametrize("side", [64, 192])
@pytest.mark.parametrize("number", range(20))
def test_navigation_is_answered_by_walking_the_picture(number, side):
    item = mini_choice("cognitive_navigation", number, side=side)
    way, cell_of = walk(item.puzzle.picture, "black", "purple")
    answer = item.puzzle.options.answer
    if set(item.options) == {"up", "down", "left", "right"}:
        (r0, c0), (r1, c1) = way[:2] if "first" in item.question or "Standing" in item.question else way[-2:]
        assert {(-1, 0): "up", (1, 0): "down", (0, -1): "left", (0, 1): "right"}[r1 - r0, c1 - c0] == answer
    else:
        cells = {color: cell_of(color) for color in item.options}
        on = [color for cell in way for color in item.options if cells[color] == cell]
        if "not" in item.question or "never" in item.question or "away" in item.question:
            assert set(item.options) - set(on) == {answer}
        elif "last" in item.question or "nearest to the purple" in item.question:
            assert on[-1] == answer
        else:
            assert on[0] == answer
            assert len(on) in {1, 4}
    line = (np.asarray(item.puzzle.gold) == MAGENTA).all(axis=2)
    step = side / 6
    for (r0, c0), (r1, c1) in pairwise(way):
        assert line[int((r0 + r1 + 1) / 2 * step), int((c0 + c1 + 1) / 2 * step)]


@pytest.mark.parametrize("category", CATEGORIES)
def test_templates_and_letters_are_balanced(category):
    templates = PUZZLES[category].TEMPLATES
    assert len(set(templates)) == len(templates) >= 20
    items = [mini_choice(category, number, side=64) for number in range(100)]
    assert {item.template for item in items} == set(range(len(templates)))
    assert set(Counter(item.answer for item in items).values()) == {25}
    assert all(len(set(item.options)) == 4 for item in items)


def features(item):
    """What a reader without eyes may lean on for each option: its place, text, rank, and how it looks beside others."""
    numbers = [float(text) if text.isdigit() else None for text in item.options]
    tokens = [set(text.replace(",", " ").split()) for text in item.options]
    for place, text in enumerate(item.options):
        rank = None if numbers[place] is None else sorted(numbers).index(numbers[place])
        shared = sum(len(tokens[place] & other) for other in tokens) - len(tokens[place])
        asked = sum(token in item.question for token in tokens[place])
        form = (item.id.category, item.template)
        yield [("place", form, place), ("text", form, text), ("text", text), ("rank", form, rank), ("rank", rank),
               ("shared", form[0], shared), ("asked", form, asked), ("length", form[0], len(text))]  # fmt: skip


def test_a_reader_without_eyes_is_at_chance():
    """Naive Bayes over the words learns on 1,600 items and answers 800 others; so does each feature alone."""
    seen, right = defaultdict(int), defaultdict(int)
    train = [mini_choice(c, n, seed=1, side=64) for c in CATEGORIES for n in range(400)]
    test = [mini_choice(c, n, seed=2, side=64) for c in CATEGORIES for n in range(200)]
    for item in train:
        for place, cues in enumerate(features(item)):
            for cue in cues:
                seen[cue] += 1
                right[cue] += LETTERS[place] == item.answer

    def score(cues, kinds):
        return sum(np.log((right[cue] + 1) / (seen[cue] + 4)) for number, cue in enumerate(cues) if number in kinds)

    def accuracy(kinds):
        hits = 0
        for item in test:
            scores = [score(cues, kinds) for cues in features(item)]
            hits += LETTERS[int(np.argmax(scores))] == item.answer
        return hits

    for kinds in (range(8), [0], [1], [2], [3], [4], [5], [6], [7]):
        hits = accuracy(set(kinds))
        # Nine looks at one question, so the bound is that of nine tests.
        assert stats.binomtest(hits, len(test), 0.25).pvalue > 0.01 / 9, (list(kinds), hits / len(test))


def test_a_reader_with_eyes_would_be_found():
    item = mini_choice("mental_tracking", 0)
    assert next(iter(features(item)))
    assert stats.binomtest(280, 800, 0.25).pvalue < 0.01 / 9


def test_the_folder_is_read_without_a_finding(tmp_path):
    write_mini(tmp_path, 100, seed=5, side=64)
    benchmark = read_benchmark(tmp_path, strict=True)
    assert (len(benchmark.drawing), len(benchmark.choice)) == (600, 400)
    for item, ours in zip(benchmark.choice[:400:80], list(mini_choices(100, seed=5, side=64))[::80], strict=True):
        assert (item.id, item.question, item.options, item.answer) == (
            ours.id,
            ours.question,
            ours.options,
            ours.answer,
        )
        assert item.edit_prompt == ours.edit_prompt
        assert item.subtask == ours.puzzle.subtask
        assert open_picture(item.image).tobytes() == ours.puzzle.picture.tobytes()
    assert all(item.new_prompt and item.prompt in item.new_prompt for item in benchmark.drawing)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Items in each of ten categories: 100. Seed 5" in card and "64 x 64 pixels" in card


def test_an_item_is_the_same_every_time():
    one, again = (mini_choice("cognitive_navigation", 3, seed=9, side=64) for _ in range(2))
    assert one.puzzle.picture.tobytes() == again.puzzle.picture.tobytes()
    assert (one.question, one.options, one.answer) == (again.question, again.options, again.answer)
