"""The page of a run, written from the files in its folder alone."""

from __future__ import annotations

from pathlib import Path

from pixelword.demo.mini import PROTOCOLS, of
from pixelword.demo.page_exam import write_answers, write_exam
from pixelword.demo.page_jigsaw import exact_shares, what_came, write_jigsaw
from pixelword.demo.page_learning import write_stages, write_words
from pixelword.demo.page_mini import CHANCE, counted, judged_chance, write_mini
from pixelword.demo.results import Results, share
from pixelword.report import (
    Code,
    Link,
    Page,
    Paragraph,
    Picture,
    Proportion,
    Tile,
    Tiles,
    TokenGrid,
    disjoint,
    sentence,
)
from pixelword.world import NEW_PAIRS


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
    write_words(page, results)
    write_stages(page, results)
    write_exam(page, results)
    write_answers(page, results)
    write_jigsaw(page, results.jigsaw, out / "jigsaw" / "shown")
    write_mini(page, results)
    photographs(page, results)
    page.write(out / "report.html")


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
    solved, chosen = exact_shares(results.jigsaw)["after"], counted(of(results.mini, PROTOCOLS[0]))
    page.add(
        Tiles(
            [
                Tile(exam, "right about pictures never seen"),
                Tile(blind, "with a blank picture instead", note="what the words alone give away"),
                Tile(new, "about pairs never trained", note=", ".join(" ".join(pair) for pair in sorted(NEW_PAIRS))),
                Tile(
                    solved, "of the jigsaws solved", note=f"guessing: {100 * results.jigsaw['after']['chance']:.1f} %"
                ),
                Tile(chosen, "of RealUnify-mini's choices", note=f"guessing: {100 * CHANCE:.0f} %"),
                Tile(f"{wall / 60:.1f} min", "from nothing to this page"),
            ]
        ),
        Paragraph(
            "This is the life of one tiny model, start to end: ",
            Link("it reads words", "words"),
            ", ",
            Link("gets eyes and is trained in three stages", "eyes"),
            ", ",
            Link("sits an exam", "exam"),
            ", ",
            Link("learns from jigsaws", "jigsaws"),
            ", and ",
            Link("meets RealUnify-mini", "realunify-mini"),
            ". Every sentence with a number in it was written from what this run measured.",
            tone="lead",
        ),
        Paragraph(
            sentence("The exam: {exam} right with the picture and {blind} without. ", exam=exam, blind=blind),
            looks(exam, blind),
        ),
        Paragraph("Jigsaws: ", *what_came(results.jigsaw)),
        Paragraph(sentence("RealUnify-mini: {chosen} of its choices. ", chosen=chosen), judged_chance(chosen)),
    )


def looks(exam: Proportion, blind: Proportion) -> str:
    """Whether the picture helps, in words."""
    if not disjoint(exam, blind):
        return "The two intervals touch: it cannot be told that it looks. "
    return "The two intervals do not touch: it looks. " if exam.value > blind.value else "It is better without. "


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
