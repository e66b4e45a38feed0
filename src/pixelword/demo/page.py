"""The page of a run, written from the files in its folder alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixelword.demo.exam import CAPTION, Reply
from pixelword.demo.mini import Choice
from pixelword.demo.page_jigsaw import write_jigsaw
from pixelword.demo.page_mini import write_mini
from pixelword.report import (
    Answer,
    BarGroup,
    BarPlot,
    Card,
    Code,
    CurvePlot,
    Fold,
    Gallery,
    Listing,
    Page,
    Paragraph,
    Picture,
    Proportion,
    Series,
    Stage,
    Table,
    Tile,
    Tiles,
    TokenGrid,
    disjoint,
    sentence,
)
from pixelword.world import ANSWERS, KINDS, NEW_PAIRS, Example, blank_picture, examples

FOLDERS = {
    "1-words": "learn words",
    "2-see": "stage 1: see",
    "3-join": "stage 2: join",
    "4-answer": "stage 3: answer",
    "5-mini": "stage 4: choices",
}
"""Folders of the stages, with the names of the parts that ran them."""

CARDS = 36
"""Pictures in the gallery."""


class Results:
    """What the folder of a run holds."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.run: dict[str, Any] = read(out / "run.json")
        self.seconds: dict[str, dict[str, float]] = read(out / "seconds.json")
        self.exam, self.blind, self.new = (
            [Reply(**reply) for reply in read(out / name)] for name in ("exam.json", "blind.json", "new-pairs.json")
        )
        self.jigsaw: dict[str, Any] = read(out / "jigsaw.json")
        self.mini = [Choice(**reply) for reply in read(out / "mini.json")]
        self.logs = {folder: read(out / folder / "log.json") for folder in FOLDERS}
        self.learns = {folder: (out / folder / "learns.txt").read_text(encoding="utf-8") for folder in FOLDERS}
        self.photos: list[dict[str, Any]] = read(out / "photos.json")

    @property
    def stages(self) -> list[dict[str, Any]]:
        return [self.run["plan"][name] for name in ("words", "see", "join", "answer", "mini")]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_page(out: Path) -> None:
    """Write `report.html` into the folder of a run."""
    results = Results(out)
    run = results.run
    page = Page(
        "A tiny model learns to see",
        "A language model that knows words gets eyes, and answers questions about pictures it has never seen.",
        footer=", ".join(
            (
                f"seed {run['seed']}",
                *(f"{name} {version}" for name, version in run["versions"].items()),
                run["machine"],
                run["processor"],
            )
        ),
    )
    opening(page, results)
    what_happened(page, results)
    accuracy(page, results)
    curves(page, results)
    gallery(page, results)
    write_jigsaw(page, results.jigsaw, out / "jigsaw" / "shown")
    write_mini(page, results.mini, run["seed"])
    photographs(page, results)
    page.write(out / "report.html")


def share(replies: Sequence[Reply], kind: str = "") -> Proportion:
    """Right answers of one kind; of all kinds of questions, captions apart, when none is named."""
    counted = [reply.right for reply in replies if reply.kind == kind or (not kind and reply.kind != CAPTION)]
    return Proportion(sum(counted), len(counted))


def chance(replies: Sequence[Reply], kind: str) -> float:
    """What guessing evenly among the possible answers gives."""
    guesses = [1 / len(ANSWERS[reply.kind, reply.form]) for reply in replies if reply.kind == kind]
    return sum(guesses) / len(guesses) if guesses else 0.0


def opening(page: Page, results: Results) -> None:
    exam, blind, new = share(results.exam), share(results.blind), share(results.new)
    if results.run["fast"]:
        page.add(
            Paragraph(
                "This was the fast form: a tenth of the training, so that every part is shown in a minute or two. "
                "It promises no accuracy. Run without --fast for a model that sees.",
                tone="warning",
            )
        )
    wall = sum(part["wall"] for part in results.seconds.values())
    page.add(
        Tiles(
            [
                Tile(exam, "right about pictures never seen"),
                Tile(blind, "with a blank picture instead", note="what the words alone give away"),
                Tile(new, "about pairs never trained", note=", ".join(" ".join(pair) for pair in sorted(NEW_PAIRS))),
                Tile(f"{wall / 60:.1f} min", "from nothing to this page"),
            ]
        )
    )


def what_happened(page: Page, results: Results) -> None:
    trained = sum(lesson["stage"]["steps"] * lesson["stage"]["rows"] for lesson in results.stages[1:-1])
    section = page.section("What happened")
    section.add(
        Paragraph(
            "First a small Qwen3 learnt the words of a drawn world from text alone: one to four coloured shapes, "
            "described, and questions about the description. Then surgery gave it a patch embedding, a pre-Buffer of "
            "new layers, and channels for height and width, after which pictures and words go through one decoder.",
            tone="lead",
        ),
        Paragraph(
            "Three stages taught it to see. In the first only the new parts trained; the language model stayed as it "
            f"was. {trained} drawn pictures were shown, each once. The questions below are about other pictures. A "
            "fourth stage, after the exam, taught it the choices of RealUnify-mini."
        ),
    )
    rows: list[list[str | int]] = []
    for lesson, part in zip(results.stages, FOLDERS.values(), strict=True):
        stage, seconds = lesson["stage"], results.seconds.get(part, {"wall": 0.0, "cpu": 0.0})
        rows.append(
            [
                part,
                stage["steps"],
                stage["steps"] * stage["rows"],
                lesson["captions"],
                lesson["questions"],
                f"{stage['rate']:g}, {stage['schedule']}",
                round(seconds["wall"]),
                round(seconds["cpu"]),
            ]
        )
    headings = ["stage", "steps", "scenes", "captions each", "questions each", "rate", "wall s", "CPU s"]
    section.add(Table(headings, rows, caption="The stages."))
    listings = [
        Listing(text, caption=part) for text, part in zip(results.learns.values(), FOLDERS.values(), strict=True)
    ]
    section.add(Fold("What trained and what was frozen in each stage", listings))


def accuracy(page: Page, results: Results) -> None:
    groups = {"held-out pictures": results.exam, "pairs never trained": results.new, "blank picture": results.blind}
    section = page.section("What it sees")
    apart = disjoint(share(results.exam), share(results.blind))
    captions = share(results.exam, CAPTION)
    section.add(
        Paragraph(
            sentence(
                "On held-out pictures it answered {exam} of the questions; with a blank picture {blind}. ",
                exam=share(results.exam),
                blind=share(results.blind),
            ),
            "The two intervals do not touch: it looks. " if apart else "The two intervals touch: it may not look. ",
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
            "The answers to each kind are balanced, so the blank picture stays near chance. A pair never trained is a "
            "colour and a shape that were each trained with others, but never with one another.",
            tone="note",
        ),
    )
    samples = {reply.kind: reply for reply in results.exam}
    rows: list[list[str | Code]] = [
        [kind, Code(samples[kind].question), samples[kind].truth] for kind in KINDS if kind in samples
    ]
    section.add(Fold("An example of each kind", [Table(["kind", "question", "answer"], rows)]))


def curves(page: Page, results: Results) -> None:
    section = page.section("How it learnt")
    steps, losses, marks, before = [], [], [], 0
    looked: dict[str, tuple[list[float], list[float]]] = {}
    for (folder, part), lesson in zip(FOLDERS.items(), results.stages, strict=True):
        marks.append(Stage(part, before))
        for entry in results.logs[folder]:
            if "loss" in entry:
                steps.append(before + entry["step"])
                losses.append(entry["loss"])
            for kind, right in entry.get("right", {}).items():
                at, value = looked.setdefault(kind, ([], []))
                at.append(before + entry["step"])
                value.append(right)
        before += lesson["stage"]["steps"]
    section.add(
        CurvePlot(
            [Series("loss", steps, losses)],
            log_y=True,
            stages=marks,
            caption="Loss per supervised token. Each stage has other data, so the jumps between them mean nothing.",
        )
    )
    everything = looked.pop("all", ([], []))
    for kinds in (KINDS[:4], KINDS[4:]):
        series = [Series(kind, *looked[kind]) for kind in kinds if kind in looked]
        series.append(Series("all kinds", *everything, colour="grey", dashed=True))
        section.add(
            CurvePlot(
                series,
                y_label="right answers",
                caption="Accuracy while training, on a few held-out scenes: noisy, for the shape of the curves.",
            )
        )


def gallery(page: Page, results: Results) -> None:
    section = page.section("Its answers, mistakes first")
    by_scene: dict[int, list[Reply]] = {}
    for reply in results.exam:
        by_scene.setdefault(reply.scene, []).append(reply)
    wrong = [scene for scene, replies in by_scene.items() if not all(reply.right for reply in replies)]
    right = [scene for scene in by_scene if scene not in set(wrong)]
    number = min(len(wrong), CARDS * 2 // 3)
    chosen = wrong[:number] + right[: CARDS - number]
    scenes = first_scenes(results, max(chosen, default=0) + 1)
    cards = [card(scenes[scene], by_scene[scene], f"picture {scene}") for scene in chosen]
    section.add(
        Paragraph(
            f"Of {len(by_scene)} held-out pictures, {len(wrong)} drew at least one mistake. "
            f"The first {number} of these, then {len(chosen) - number} without one."
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


def photographs(page: Page, results: Results) -> None:
    section = page.section("Real pictures at their own resolutions")
    section.add(
        Paragraph(
            "The same model and processor, with wider bounds on the pixels. Every picture keeps its shape and becomes "
            "a grid of tokens, each a square of 8 x 8 pixels. What it says of them means nothing: it has only ever "
            "seen drawn shapes, and names what it knows."
        )
    )
    for photo in results.photos:
        if photo["refused"]:
            section.add(Paragraph(Code(photo["name"]), f" could not be read: {photo['refused']}", tone="warning"))
            continue
        (width, height), (new_width, new_height) = photo["size"], photo["resized"]
        section.add(
            TokenGrid(
                Picture(results.out / photo["file"], alt=photo["name"]),
                photo["rows"],
                photo["columns"],
                caption=sentence(
                    "{name}: "
                    f"{width} x {height} pixels, read as {new_width} x {new_height}, {photo['rows']} x "
                    f"{photo['columns']} = {photo['rows'] * photo['columns']} tokens in {photo['seconds']} s. "
                    "It says: {said}",
                    name=Code(photo["name"]),
                    said=Code(photo["said"] or "(nothing)"),
                ),
            )
        )
