"""Signs of errors: what an edit did to a picture, and the class of a failed question."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from pixelword.realunify.edits import edit_is_right, edit_signs, patches_in_place
from pixelword.realunify.error_classes import SIGNS, ErrorClass, error_classes, missing_words, question_class
from pixelword.realunify.mini import mini_choice
from pixelword.realunify.records import ItemRecord
from pixelword.realunify.taxonomy import Protocol, Status, Track, categories_of

SIDE = 96
ITEMS = [mini_choice(name, number, side=256) for name in categories_of(Track.GEU) for number in range(4)]


def floats(picture: Image.Image) -> np.ndarray:
    small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64) / 255


def as_jpeg(picture: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    return Image.open(stream)


def patches(item) -> int:
    return int(item.puzzle.subtask[0]) if item.id.category == "mental_reconstruction" else 0


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: str(item.id))
def test_four_kinds_of_edits_are_told_apart(item):
    source, gold = floats(item.puzzle.picture), floats(item.puzzle.gold)
    same = edit_signs(source, floats(as_jpeg(item.puzzle.picture)), gold, patches=patches(item))
    right = edit_signs(source, floats(as_jpeg(item.puzzle.gold)), gold, patches=patches(item))
    empty = edit_signs(source, floats(Image.new("RGB", (256, 256), "white")), gold, patches=patches(item))
    blurred = item.puzzle.picture.filter(ImageFilter.GaussianBlur(6))
    off = edit_signs(source, floats(blurred), gold, patches=patches(item))
    assert (same.unchanged, same.destroyed, same.off_target) == (True, False, False)
    assert (right.unchanged, right.destroyed, right.off_target) == (False, False, False)
    assert right.hit > 0.9
    assert right.kept > 0.9
    assert empty.destroyed
    assert not off.unchanged
    assert off.hit < right.hit
    judged = [edit_is_right(item.id.category, signs) for signs in (right, same, empty, off)]
    assert judged == [True, False, False, False]
    assert edit_is_right(item.id.category, edit_signs(source, gold, patches=patches(item))) is None, "no true picture"
    if patches(item):
        assert right.patches == 1
        assert same.patches < 1


def test_a_region_may_be_marked_in_any_style_at_its_place():
    item = next(item for item in ITEMS if item.id.category == "attentional_focusing")
    source, gold = item.puzzle.picture.convert("RGB"), floats(item.puzzle.gold)
    rows, columns = np.nonzero(np.abs(gold - floats(source)).max(axis=2) > 0.1)
    box = [256 / SIDE * end for end in (columns.min() - 1, rows.min() - 1, columns.max() + 2, rows.max() + 2)]
    ringed, elsewhere = source.copy(), source.copy()
    ImageDraw.Draw(ringed).ellipse(box, outline=(255, 0, 0), width=6)
    ImageDraw.Draw(elsewhere).rectangle(
        [(end + 100) % 256 for end in (0, 0)] + [200, 200], outline=(0, 200, 255), width=6
    )
    assert edit_is_right("attentional_focusing", edit_signs(floats(source), floats(ringed), gold)) is True
    assert edit_is_right("attentional_focusing", edit_signs(floats(source), floats(elsewhere), gold)) is False


@given(st.permutations(range(9)))
def test_patches_in_place_are_counted(order):
    random = np.random.default_rng(0)
    true = random.random((9, 32, 32, 3))
    whole = lambda tiles: np.concatenate([np.concatenate(tiles[row * 3 : row * 3 + 3], axis=1) for row in range(3)])  # noqa: E731
    edited = whole([true[place] for place in order])
    assert patches_in_place(edited, whole(list(true)), 3) == sum(place == n for n, place in enumerate(order)) / 9


@pytest.mark.parametrize(
    ("question", "category", "kind"),
    [
        ("Are there exactly 6 jars on the shelf?", "mathematical_reasoning", ErrorClass.QUANTITY),
        ("Are there three cats in the image?", "code_to_image", ErrorClass.QUANTITY),
        ("Is the blue bird left of the gray one?", "logical_reasoning", ErrorClass.SPATIAL),
        ("Is the solution red?", "scientific_reasoning", ErrorClass.ATTRIBUTE),
        ("Does the sign show the text OPEN?", "world_knowledge", ErrorClass.TEXT),
        ("Does this image show a Tiger?", "world_knowledge", ErrorClass.OBJECT),
        ("Is the potato sinking?", "commonsense_reasoning", ErrorClass.PHYSICS),
    ],
)
def test_a_failed_question_has_a_class(question, category, kind):
    assert question_class(question, category) == kind


def test_a_rewrite_keeps_numbers_in_either_form_and_drops_are_seen():
    asked = ["Are there exactly 8 books on the table?", "Is the cup blue?"]
    assert missing_words("Eight books and a blue cup on a table", asked) == set()
    assert missing_words("Some books and a blue cup on a table", asked) == {"eight"}
    assert missing_words("8 books on a table", asked) == {"cup", "blue"}


def record(**values) -> ItemRecord:
    base = {"item": "UEG_1_logical_reasoning", "category": "logical_reasoning", "track": "UEG", "prompt": ""}
    return ItemRecord(**{**base, "protocol": Protocol.STEPWISE, **values})


def test_only_what_is_wrong_has_classes_and_every_class_has_its_sign():
    assert error_classes(record(status=Status.OK, right=True, stage_one_right=False)) == ()
    assert error_classes(record(status=Status.REFUSED)) == (ErrorClass.REFUSAL,)
    assert error_classes(record(status=Status.TIMEOUT)) == ()
    assert error_classes(record(status=Status.OK, right=False, stage_one_right=False)) == (ErrorClass.STAGE_ONE_WRONG,)
    assert error_classes(record(status=Status.OK, right=False, stage_one_right=True)) == (ErrorClass.STAGE_ONE_VAGUE,)
    blocked = record(status=Status.OK, right=True)
    assert error_classes(blocked, blocked={blocked.id}) == (ErrorClass.LABEL,)
    assert set(SIGNS) == set(ErrorClass)
