"""A sample as text for a terminal, long runs folded."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from pixelword.explain.looking import Look
from pixelword.explain.sample import Relation, Sample, visible

SIGNS: dict[Relation, str] = {"all": "\u2588", "up to itself": "\u25e3", "some": "\u2592", "none": "\u00b7"}
KEEP = {"image": 3, "text": 12}
"""Of a longer run, so many tokens at each end are shown."""


class SampleText:
    """A rich renderable: `Console().print(SampleText(sample))`.

    Args:
        sample: what to show.
        look: where a model looks, if there is one.
    """

    def __init__(self, sample: Sample, look: Look | None = None) -> None:
        self.sample, self.look = sample, look

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._summary()
        yield title("Tokens: where they stand and what they see")
        yield self._tokens()
        yield title("Who attends to whom: a row sees the columns")
        yield self._relations()
        yield Text("  ".join(f"{sign} {relation}" for relation, sign in SIGNS.items()), style="dim")
        if self.look is not None:
            yield title("Where the model looks as it starts to answer: shares of attention")
            yield self._shares(self.look)
            yield title("Likeliest first tokens of the answer")
            yield likeliest(self.look)

    def _summary(self) -> Text:
        sample = self.sample
        lines = [f"{len(sample.tokens)} tokens; position scheme {sample.scheme}, attention {sample.pattern}"]
        for picture in sample.pictures:
            width, height = picture.image.size
            lines.append(
                f"{picture.name}: {width} x {height} pixels, {picture.rows} x {picture.columns} tokens"
                f" = {picture.rows * picture.columns}"
            )
        lines.append(f"the first token of the answer stands at T = {sample.next_time}")
        return Text("\n".join(lines))

    def _tokens(self) -> Table:
        table = Table(box=None)
        for name in ("#", "T", "H", "W"):
            table.add_column(name, justify="right")
        table.add_column("token", overflow="fold", max_width=32)
        table.add_column("sees")
        for number in folded(self.sample):
            if number is None:
                table.add_row(*[Text("\u22ee", style="dim")] * 6)
                continue
            token = self.sample.tokens[number]
            style = {"image": "cyan", "special": "dim", "text": ""}[token.kind]
            places = [str(index) for index in (number, *token.indices)]
            table.add_row(*places, Text(visible(token.text), style=style), f"{token.first} to {token.last}")
        return table

    def _relations(self) -> Table:
        table = Table(box=None)
        table.add_column("")
        for part in self.sample.parts:
            table.add_column(part.name, justify="center")
        for part, relations in zip(self.sample.parts, self.sample.relations, strict=True):
            name = f"{part.name} ({part.start} to {part.stop - 1})"
            table.add_row(name, *(SIGNS[relation] for relation in relations))
        return table

    def _shares(self, look: Look) -> Table:
        table = Table(box=None)
        table.add_column("")
        for part in self.sample.parts:
            table.add_column(part.name, justify="right")
        for name, attention in look.stages:
            shares = (float(attention[part.start : part.stop].sum()) for part in self.sample.parts)
            table.add_row(name, *(f"{share:.0%}" for share in shares))
        return table


def title(words: str) -> Text:
    return Text(f"\n{words}", style="bold")


def likeliest(look: Look) -> Table:
    table = Table(box=None, show_header=False)
    for text, share in look.likely:
        table.add_row(Text(visible(text)), f"{share:.1%}")
    return table


def folded(sample: Sample) -> Iterator[int | None]:
    """Numbers of the tokens to show, and None where tokens are left out."""
    for part in sample.parts:
        keep = KEEP[part.kind]
        if part.stop - part.start <= 2 * keep + 1:
            yield from range(part.start, part.stop)
        else:
            yield from range(part.start, part.start + keep)
            yield None
            yield from range(part.stop - keep, part.stop)
