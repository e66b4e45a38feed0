"""The chapter on the exam: what the model sees, beside a blank picture and pairs never trained, and its answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pixelword.demo.exam import CAPTION, Reply
from pixelword.demo.results import Results, share
from pixelword.report import (
    Answer,
    BarGroup,
    BarPlot,
    Card,
    Code,
    Fold,
    Gallery,
    Page,
    Paragraph,
    Picture,
    Table,
    sentence,
)
from pixelword.world import ANSWERS, KINDS, Example, blank_picture, examples

CARDS = 36
"""Pictures in the gallery."""


def chance(replies: Sequence[Reply], kind: str) -> float:
    """What guessing evenly among the possible answers gives."""
    guesses = [1 / len(ANSWERS[reply.kind, reply.form]) for reply in replies if reply.kind == kind]
    return sum(guesses) / len(guesses) if guesses else 0.0


def write_exam(page: Page, results: Results) -> None:
    """Numbers by kind of question."""
    groups = {"held-out pictures": results.exam, "pairs never trained": results.new, "blank picture": results.blind}
    section = page.section("What it sees", anchor="exam")
    captions = share(results.exam, CAPTION)
    section.add(
        Paragraph(
            sentence(
                "On held-out pictures it answered {exam} of the questions, about pairs never trained {new}, and with a "
                "blank picture {blind}. ",
                exam=share(results.exam),
                new=share(results.new),
                blind=share(results.blind),
            ),
            sentence(
                "Whole captions, every object with colour, shape and place: {captions} right. "
                if results.run["plan"]["answer"]["captions"]
                else "The last stage asks questions only, and captions are forgotten: {captions} whole ones right.",
                captions=captions,
            ),
        ),
        BarPlot(
            list(KINDS),
            [BarGroup(name, [share(replies, kind) for kind in KINDS]) for name, replies in groups.items()],
            chance=[chance(results.exam, kind) for kind in KINDS],
            caption="Right answers by kind of question, greedy decoding, 95 % Wilson intervals.",
        ),
        Paragraph(
            "The answers to each kind are balanced, so that words alone give little away. ",
            blank_words(results.blind),
            " A pair never trained is a colour and a shape that were each trained with others, but never with one "
            "another.",
            tone="note",
        ),
    )
    samples = {reply.kind: reply for reply in results.exam}
    rows: list[list[str | Code]] = [
        [kind, Code(samples[kind].question), samples[kind].truth] for kind in KINDS if kind in samples
    ]
    section.add(Fold("An example of each kind", [Table(["kind", "question", "answer"], rows)]))


def blank_words(replies: Sequence[Reply]) -> str:
    """What the model says to a blank picture, from the replies."""
    above = [kind for kind in KINDS if share(replies, kind).low > chance(replies, kind)]
    word, times = Counter(reply.said or "(nothing)" for reply in replies).most_common(1)[0]
    often = f"With a blank picture its most frequent answer is \u201c{word}\u201d ({times} of {len(replies)})"
    if above:
        return f"{often}; it is nevertheless better than chance in {', '.join(above)}."
    return f"{often}, and no kind of question is answered better than by chance."


def write_answers(page: Page, results: Results) -> None:
    """Pictures with every answer: those with a wrong answer to a question first, then wrong captions, then none."""
    section = page.section("Its answers, mistakes first")
    by_scene: dict[int, list[Reply]] = {}
    for reply in results.exam:
        by_scene.setdefault(reply.scene, []).append(reply)
    wrong = {scene: {reply.kind for reply in replies if not reply.right} for scene, replies in by_scene.items()}
    questions = [scene for scene, kinds in wrong.items() if kinds - {CAPTION}]
    captions = [scene for scene, kinds in wrong.items() if kinds == {CAPTION}]
    right = [scene for scene, kinds in wrong.items() if not kinds]
    mistaken = questions[: CARDS // 2] + captions[: CARDS // 6]
    chosen = mistaken + right[: CARDS - len(mistaken)]
    scenes = first_scenes(results, max(chosen, default=0) + 1)
    cards = [card(scenes[scene], by_scene[scene], f"picture {scene}") for scene in chosen]
    section.add(
        Paragraph(
            f"Of {len(by_scene)} held-out pictures, {len(questions)} drew a wrong answer to a question, and "
            f"{len(captions)} others a wrong caption alone. Shown are the first {len(questions[: CARDS // 2])} and "
            f"{len(captions[: CARDS // 6])} of these, then {len(chosen) - len(mistaken)} without a mistake. "
            "The words are those the model knows: \u201clist\u201d asks for a caption."
        ),
        Gallery(cards),
    )
    blind = [reply for reply in results.blind if reply.scene < 2]
    section.add(
        Fold(
            "The same questions with a blank picture",
            [Gallery([Card(Picture(blank_picture(), alt="blank picture"), answers(blind), title="blank picture")])],
        )
    )


def first_scenes(results: Results, number: int) -> list[Example]:
    drawn = examples("test", results.run["seed"])
    return [next(drawn) for _ in range(number)]


def card(example: Example, replies: Sequence[Reply], title: str) -> Card:
    kinds = [reply.kind for reply in replies if not reply.right]
    return Card(Picture(example.picture, alt=example.caption), answers(replies), title=title, tags=kinds)


def answers(replies: Sequence[Reply]) -> list[Answer]:
    ordered = sorted(replies, key=lambda reply: reply.right)
    return [Answer(reply.question, reply.said or "(nothing)", reply.truth, reply.right) for reply in ordered]
