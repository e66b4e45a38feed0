"""What the model is told. The texts are the paper's (Visual Jigsaw, appendix A.5), with its slips put right.

The demand for the form is written from the same rule that pays for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pixelword.jigsaw.draws import Key
from pixelword.jigsaw.rewards import AnswerRule

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]

Example = Literal["paper", "random", "none"]
"""The example answer: the paper's fixed one, which a model can copy; another in each puzzle; or none."""

PAPER_EXAMPLES: dict[str, dict[int, tuple[int, ...]]] = {
    "tile": {9: (5, 1, 3, 7, 9, 2, 4, 8, 6)},
    "clip": {6: (2, 3, 1, 4, 6, 5)},
}


@dataclass(frozen=True)
class Slot:
    """The place of one element in a prompt.

    Args:
        number: which of the shown elements, from 0.
        kind: a picture or a film.
    """

    number: int
    kind: Literal["image", "video"] = "image"


Part = str | Slot


def word(number: int) -> str:
    """`nine` for 9; digits where the word would be long."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def form(rule: AnswerRule) -> str:
    """What the response has to look like, in the words of the released prompts."""
    if not rule.think:
        return "Answer with the numbers only, separated by commas."
    ending = {
        "boxed": "The final answer MUST BE put in \\boxed{}.",
        "tag": "The final answer MUST BE put within <answer></answer> tags.",
        "any": "The final answer MUST BE put in \\boxed{} or within <answer></answer> tags.",
    }[rule.container]
    return (
        "You FIRST think about the reasoning process as an internal monologue and then provide the final answer. "
        f"The reasoning process MUST BE enclosed within <think></think> tags. {ending}"
    )


def example_lines(example: Example, element: str, K: int, key: Key) -> str:
    """The lines that show an answer, or nothing. Where the paper has none of that size, its choice is made by key."""
    if example == "none":
        return ""
    fixed = PAPER_EXAMPLES.get(element, {}).get(K) if example == "paper" else None
    if fixed is None:
        # A prompt that is to be the same for all puzzles hangs on the size alone.
        source = Key(0, 0, element, str(K)) if example == "paper" else key
        fixed = tuple(place + 1 for place in source.permutation(K, "example"))
    return "\nAnswer format example:\n" + ", ".join(map(str, fixed)) + "\n"


def listed(label: str, K: int, kind: Literal["image", "video"]) -> list[Part]:
    """`Tile 1: <image>` and so on, one line each."""
    parts: list[Part] = []
    for number in range(K):
        parts += [f"{label} {number + 1}: ", Slot(number, kind), "\n"]
    return parts


def image_prompt(rows: int, columns: int, rule: AnswerRule, example: Example, key: Key) -> tuple[Part, ...]:
    """Tiles of one picture, to be named in raster order."""
    return tile_prompt(rows, columns, example_lines(example, "tile", rows * columns, key), form(rule))


@lru_cache(maxsize=64)
def tile_prompt(rows: int, columns: int, shown_example: str, asked_form: str) -> tuple[Part, ...]:
    """Kept, because writing it anew for every picture would cost a twentieth of the picture's decoding."""
    grid = f"{rows}*{columns}"
    return joined(
        f"You are given {word(rows * columns)} shuffled image tiles that were created by slicing one image into a "
        f"{grid} grid.\nHere are the tiles, each tagged with an index reflecting the current (shuffled) order in which "
        "they are shown:\n\n",
        *listed("Tile", rows * columns, "image"),
        "\nTask:\nMentally reassemble the original image, arranging the tiles into the correct "
        f"{grid} layout and provide the tile indices in raster-scan order (left-to-right, top-to-bottom), separated "
        "by commas.\n",
        shown_example,
        asked_form,
    )


def video_prompt(
    clips: int, rows: int, columns: int, rule: AnswerRule, example: Example, key: Key, kind: Literal["image", "video"]
) -> tuple[Part, ...]:
    """Clips of one film, to be named in time; with a grid, each moment in raster order."""
    tiles = rows * columns
    K = clips * tiles
    if tiles == 1:
        made = f"slicing one original video into {clips} equal-length temporal segments"
        task = "arranging the clips in their correct chronological order (earliest segment first, latest segment last)"
    elif clips == 1:
        made = f"cutting every frame of one original video into a {rows}*{columns} grid"
        task = f"arranging the clips into the correct {rows}*{columns} layout (left-to-right, top-to-bottom)"
    else:
        made = (
            f"slicing one original video into {clips} equal-length temporal segments and cutting the frames of each "
            f"into a {rows}*{columns} grid"
        )
        task = (
            "arranging the clips in their correct chronological order (earliest segment first, latest segment last) "
            f"and, within each segment, in raster-scan order of the {rows}*{columns} layout (left-to-right, "
            "top-to-bottom)"
        )
    return joined(
        f"You are given {word(K)} **shuffled** video clips that were created by {made}.\n"
        "Here are the clips, each tagged with an index reflecting the current (shuffled) order in which they are "
        "shown:\n\n",
        *listed("Clip", K, kind),
        f"\nTask:\n1. Mentally reassemble the original video by {task}.\n"
        "2. Output the clip indices in that order, separated by commas.\n",
        example_lines(example, "clip", K, key),
        form(rule),
    )


def depth_prompt(K: int, rule: AnswerRule, example: Example, key: Key, place: str) -> tuple[Part, ...]:
    """Numbered points of one picture, to be named from near to far. `separated by commas` is ours: the reward needs it.

    Args:
        place: what the picture shows, `indoor` in the paper; may be empty.
    """
    article = "an" if place[:1].lower() in set("aeiou") else "a"
    scene = f"{article} {place} RGB image" if place else "an RGB image"
    labels = ", ".join(str(label) for label in range(1, min(K, 3) + 1)) + (", ..." if K > 3 else "")
    return joined(
        Slot(0),
        f"\nYou are given {scene}. {word(K).capitalize()} points are marked on the image with red circular labels "
        f"({labels}).\n\nYour task is to order the points from closest to farthest relative to the camera, judging the "
        "distance based on the center of the red circular marker.\n\n"
        "Answer with the ordered sequence of point numbers, separated by commas.\n",
        example_lines("none" if example == "paper" else example, "point", K, key),
        form(rule),
    )


def motion_prompt(sentences: list[str], rule: AnswerRule, example: Example, key: Key) -> tuple[Part, ...]:
    """One anchor view, shuffled views, and for each a motion. The paper has this task and prints no prompt; ours."""
    K = len(sentences)
    moves = "".join(f"Motion {number + 1}: {sentence}\n" for number, sentence in enumerate(sentences))
    return joined(
        "You are given one anchor view of a scene and "
        f"{word(K)} other views of it, taken after the camera moved from the anchor view.\n\nAnchor view: ",
        Slot(0),
        "\n\nHere are the other views, each tagged with an index reflecting the current (shuffled) order in which they "
        "are shown:\n\n",
        *(Slot(part.number + 1) if isinstance(part, Slot) else part for part in listed("View", K, "image")),
        f"\nHere are the camera motions, each from the anchor view:\n\n{moves}"
        "\nTask:\nFind the view that each motion leads to and provide the view indices in the order of the motions, "
        "separated by commas.\n",
        example_lines("none" if example == "paper" else example, "view", K, key),
        form(rule),
    )


def pose_prompt(K: int, rule: AnswerRule, example: Example, key: Key) -> tuple[Part, ...]:
    """A bird's-eye view with numbered cameras, and shuffled views. The paper prints no prompt; ours."""
    return joined(
        f"You are given a bird's-eye view of a scene in which {word(K)} camera poses are marked with numbered red "
        "circles. The line at each circle points where the camera looks.\n\nBird's-eye view: ",
        Slot(0),
        "\n\nHere are the views of these cameras, each tagged with an index reflecting the current (shuffled) order "
        "in which they are shown:\n\n",
        *(Slot(part.number + 1) if isinstance(part, Slot) else part for part in listed("View", K, "image")),
        "\nTask:\nFind the view that each camera sees and provide the view indices in the order of the camera numbers, "
        "separated by commas.\n",
        example_lines("none" if example == "paper" else example, "view", K, key),
        form(rule),
    )


def joined(*parts: Part) -> tuple[Part, ...]:
    """The parts with neighbouring texts as one."""
    whole: list[Part] = []
    for part in parts:
        if isinstance(part, str) and whole and isinstance(whole[-1], str):
            whole[-1] += part
        elif part != "":
            whole.append(part)
    return tuple(whole)
