"""What `pixelword realunify run` and `score` say at their end: scores, what is open, how far judges agree, the bill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelword.realunify.records import Call, ItemRecord
    from pixelword.realunify.store import Store


def summary(out: Path, scoring: str = "default") -> list[str]:
    """The lines for a folder and one of its scorings."""
    from pixelword.realunify.store import Store

    store = Store(out)
    records = list(store.items(scoring).values())
    calls = list(store.calls())
    found = [f"data: {finding}" for start in store.runs()[-1:] for finding in start.data.findings]
    found += scores(store, records)
    found += agreed(store, records, scoring)
    found += rerouted(calls)
    found += bill(calls)
    spent = sum(call.usage.cost for call in calls)
    return [*found, f"{len(calls)} stored replies{f', {spent:.2f} spent' if spent else ''}; folder: {out}"]


def scores(store: Store, records: Sequence[ItemRecord]) -> list[str]:
    """One line for each protocol and track."""
    from pixelword.realunify import CATEGORIES, Protocol, Status, Track, score_table
    from pixelword.realunify.store import results_of

    found = []
    for protocol in Protocol:
        expected = store.expected(protocol)
        if not expected:
            continue
        wanted = [result for result in results_of(records, protocol) if result.item in expected]
        table = score_table(wanted, expected, protocol)
        row = table.row()
        for track in Track:
            cells = {name: cell for name, cell in table.categories.items() if CATEGORIES[name].track == track}
            if not cells:
                continue
            shown = ", ".join(f"{CATEGORIES[name].short} {row[CATEGORIES[name].short] or '-'}" for name in cells)
            statuses = {status: sum(cell.statuses.get(status, 0) for cell in cells.values()) for status in Status}
            counted = [f"{number} {status}" for status, number in statuses.items() if number]
            if missing := sum(cell.missing for cell in cells.values()):
                counted.append(f"{missing} missing")
            line = f"{protocol} {track}: {table.headline(track) or 'no headline'} ({shown}); {', '.join(counted)}"
            if waiting := sum(cell.open for cell in cells.values()):
                line += (
                    f". Incomplete: {waiting} wait for a judge; the same command asks it again, or score with another"
                )
            found.append(line)
    return found


def agreed(store: Store, records: Sequence[ItemRecord], scoring: str) -> list[str]:
    """How far judges agree: those of a panel, or those of this scoring and of the run's own."""
    from pixelword.realunify.judge import agreements, beside

    if scoring != "default":
        mine = {record.key: record for record in records}
        records = beside(store.items(), mine) or records
    found = []
    for pair in agreements(records):
        beyond = "both always say the same"
        if pair.kappa is not None and pair.interval is not None:
            beyond = f"kappa {pair.kappa:.2f} [{pair.interval[0]:.2f}, {pair.interval[1]:.2f}]"
        share = 100 * pair.same / pair.questions
        found.append(f"{pair.first} and {pair.second} agree on {share:.1f} % of {pair.questions} questions; {beyond}")
    return found


def rerouted(calls: Iterable[Call]) -> list[str]:
    """Names that led to another model."""
    counts = Counter((call.model, call.reported) for call in calls if call.rerouted)
    return [
        f"asked for {asked}, the server reports {reported}: {number} replies"
        for (asked, reported), number in sorted(counts.items())
    ]


def bill(calls: Iterable[Call]) -> list[str]:
    """What the calls of each role and model took, where a server counts tokens or a price is known."""
    grouped: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        grouped.setdefault((call.role, call.model), []).append(call)
    found = []
    for (role, model), some in sorted(grouped.items()):
        tokens_in, tokens_out = (
            sum(tokens) for tokens in zip(*((c.usage.input_tokens, c.usage.output_tokens) for c in some), strict=True)
        )
        spent = sum(call.usage.cost for call in some)
        if tokens_in or tokens_out or spent:
            told = f"{role} {model}: {len(some)} calls, {tokens_in:,} tokens in, {tokens_out:,} out"
            found.append(f"{told}, {sum(call.seconds for call in some):.0f} s{f', {spent:.2f}' if spent else ''}")
    return found
