"""What a run says, in words: does drawing help seeing, does knowing help drawing, and where is the bottleneck."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from pixelword.errors import InputError
from pixelword.realunify.bottleneck import Bottleneck, find_bottleneck
from pixelword.realunify.differences import Difference, above_chance, compare_all, holm, paired
from pixelword.realunify.page.arms import Arm, EvaluatedRun
from pixelword.realunify.page.half_lines import told_of
from pixelword.realunify.page.numbers import TIE, average, change, differs, listed, p_text, within
from pixelword.realunify.taxonomy import CATEGORIES, CHANCE, Protocol, Status, Track
from pixelword.report import Code, Heading, Paragraph, Piece, Strong, sentence

READINGS = {
    (Track.UEG, True): "The model knows more than it uses when it draws in one go.",
    (Track.UEG, False): "Rewriting the prompt first loses something that the model draws right in one go.",
    (Track.GEU, True): "Its own pictures help it to see.",
    (Track.GEU, False): "Its own pictures mislead it.",
}


def verdict(runs: Sequence[EvaluatedRun]) -> list[Piece]:
    """The sentences of the first section."""
    pieces: list[Piece] = []
    for run in runs:
        said = cautions(run)
        for track in Track:
            said += protocols(run, track)
        pieces += [Heading(run.name), *said] if said and len(runs) > 1 else said
    compared = [piece for one, other in combinations(runs, 2) for piece in between(one, other)]
    pieces += [Heading("Between the runs"), *compared] if compared else []
    return pieces or [Paragraph("There is nothing to compare: one protocol of one run was made.", tone="note")]


def cautions(run: EvaluatedRun) -> list[Piece]:
    """What a reader must know before any number."""
    pieces: list[Piece] = []
    waiting = sum(cell.open for arm in run.arms.values() for cell in arm.table.categories.values())
    if waiting:
        allowed = any(arm.allow_incomplete for arm in run.arms.values())
        averages = "they count as wrong in its averages" if allowed else "so its averages are not shown"
        text = f"{waiting} {'item waits' if waiting == 1 else 'items wait'} for the judge, {averages}. "
        again = "Judge again, and the stored pictures are used."
        pieces.append(Paragraph(Strong("The run is incomplete. "), text, again, tone="warning"))
    missing = sum(cell.missing for arm in run.arms.values() for cell in arm.table.categories.values())
    if missing:
        expected = sum(len(arm.expected) for arm in run.arms.values())
        text = f"{missing} of {expected} expected items have no result yet; they count as wrong."
        pieces.append(Paragraph(text, tone="warning"))
    pieces += [Paragraph(told_of(name), tone="warning") for name in run.half_written]
    calls = [call for record in run.records for call in record.calls]
    calls += [vote.call for record in run.records for polled in record.polled for vote in polled.votes]
    rerouted = sorted({f"{call.model} was answered by {call.reported}" for call in calls if call.rerouted})
    if rerouted:
        text = f"Another model answered than was asked: {listed(rerouted)}."
        pieces.append(Paragraph(text, tone="warning"))
    generator = run.model("generator")
    if generator and any(judge.partition(" (")[0] == generator for judge in run.judges):
        text = "The model judged its own pictures, which favours it."
        pieces.append(Paragraph(text, tone="warning"))
    return pieces


def protocols(run: EvaluatedRun, track: Track) -> list[Piece]:
    """What one run says about one track: direct against stepwise, chance, and the bottleneck."""
    direct, stepwise = run.arms.get(Protocol.DIRECT), run.arms.get(Protocol.STEPWISE)
    oracle = run.arms.get(Protocol.ORACLE_INTERMEDIATE)
    pieces: list[Piece] = []
    if direct is not None and stepwise is not None and (told := steps(track, direct, stepwise)):
        pieces.append(told)
        if oracle is not None:
            pieces.append(bottleneck_words(track, direct, stepwise, oracle))
        else:
            text = "Which skill is the bottleneck is not decided: that needs the run with true intermediates."
            pieces.append(Paragraph(f"{track}. {text}", tone="note"))
    if direct is not None and CHANCE[track] and (guessing := at_chance(direct, track)):
        names = listed([CATEGORIES[name].short for name in guessing])
        text = f"{names} cannot be told from guessing (one in four) when asked directly."
        pieces.append(Paragraph(text))
    return pieces


def difference_of(first: Arm, second: Arm, track: Track) -> Difference | None:
    """Second less first over the categories of a track that both answered; None where there are none."""
    one, other = first.of(track), second.of(track)
    names = [name for name in paired(one, other) if CATEGORIES[name].track == track]
    return compare_all(one, other, names) if names else None


def steps(track: Track, direct: Arm, stepwise: Arm) -> Piece | None:
    """Stepwise against direct, in a sentence."""
    one, other = direct.of(track), stepwise.of(track)
    if any(result.status == Status.NOT_SUPPORTED for result in other):
        if not one:
            return None
        text = f"{track}. The model cannot take the steps of the stepwise protocol (not supported)."
        return Paragraph(text, tone="note")
    found = difference_of(direct, stepwise, track)
    if found is None:
        return None
    lead = "Knowing and drawing" if track == Track.UEG else "Drawing and seeing"
    counted = f"{found.pairs.asked} items, p {p_text(found.p)}"
    if not differs(found):
        form = "{track}. {lead}: no difference can be told between step by step and one go: {change} points ({n})."
        return Paragraph(sentence(form, track=track.value, lead=lead, change=change(found), n=counted))
    better = found.change.value > 0
    form = "{track}. {lead}: step by step is {word} than in one go: {change} points ({n}). {reading}"
    return Paragraph(
        sentence(
            form,
            track=track.value,
            lead=lead,
            word=Strong("better" if better else "worse"),
            change=change(found),
            n=counted,
            reading=READINGS[track, better],
        ),
        tone="lead",
    )


def bottleneck_of(track: Track, direct: Arm, stepwise: Arm, oracle: Arm) -> Bottleneck | None:
    """The verdict of `find_bottleneck`; None where no item has all it needs."""
    try:
        return find_bottleneck(track, direct.of(track), stepwise.of(track), oracle.of(track))
    except InputError:
        return None


def bottleneck_words(track: Track, direct: Arm, stepwise: Arm, oracle: Arm) -> Piece:
    """Where the bottleneck is, with the three skills."""
    found = bottleneck_of(track, direct, stepwise, oracle)
    if found is None:
        text = "Which skill is the bottleneck is not decided: no item has a checked stage one and all three runs."
        if track == Track.GEU:
            return Paragraph(f"{track}. {text}", tone="note")
        command = Code("pixelword realunify check")
        return Paragraph(f"{track}. {text} A text judge checks the rewritten prompts: ", command, ".", tone="note")
    skills = listed([f"{skill} {100 * within(skill_.value):.0f} %" for skill, skill_ in found.skills.items()])
    if found.named is None:
        text = f"Which skill is the bottleneck is not decided: {skills}, too close for so many items."
        return Paragraph(f"{track}. {text}")
    return Paragraph(f"{track}. The bottleneck is ", Strong(found.named.value), f": {skills}.", tone="lead")


def at_chance(arm: Arm, track: Track) -> list[str]:
    """Categories whose score guessing reaches as well, after Holm's correction."""
    cells = {name: arm.table.categories[name] for name in arm.categories(track)}
    known = {
        name: above_chance(cell.right, cell.expected, CHANCE[track]) for name, cell in cells.items() if cell.supported
    }
    return [name for name, p in holm(known).items() if p >= TIE]


def between(one: EvaluatedRun, other: EvaluatedRun) -> list[Piece]:
    """Two runs under each protocol that both have."""
    pieces: list[Piece] = []
    for protocol in one.arms:
        if protocol not in other.arms:
            continue
        for track in Track:
            first, second = one.arms[protocol], other.arms[protocol]
            found = difference_of(first, second, track)
            if found is None or average(first, track) is None or average(second, track) is None:
                continue
            tie = "{other} and {one} are not told apart on {track}, {protocol}: {change} points ({n})."
            gap = "{other} is {word} than {one} on {track}, {protocol}: {change} points ({n})."
            values = {
                "one": one.name,
                "other": other.name,
                "track": track.value,
                "protocol": protocol.value.replace("_", " "),
                "change": change(found),
                "n": f"{found.pairs.asked} items, p {p_text(found.p)}",
            }
            if differs(found):
                word = Strong("better" if found.change.value > 0 else "worse")
                pieces.append(Paragraph(sentence(gap, word=word, **values)))
            else:
                pieces.append(Paragraph(sentence(tie, **values)))
    if one.judges and other.judges and one.judges != other.judges:
        text = (
            f"{one.name} was judged by {listed(one.judges)}, {other.name} by {listed(other.judges)}. "
            "Scores of different judges are not one ranking."
        )
        pieces.append(Paragraph(text, tone="warning"))
    return pieces
