"""One page in one file: sections of pieces, rendered with everything they need inside and nothing from outside."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelword.errors import InputError, nearest
from pixelword.report.arrows import draw_arrows
from pixelword.report.drawing import NARROW, WIDE, Drawing, draw
from pixelword.report.pieces import Piece
from pixelword.report.plots import ArrowPlot, BarPlot, CurvePlot
from pixelword.report.statistics import Estimate, Proportion
from pixelword.report.words import Code, Emphasis, Link, Strong, anchor_of, inlines, plain, printable

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


BETWEEN_BLOCKS = re.compile(
    r">\n+(?=</?(?:article|div|dd|dl|dt|details|figcaption|figure|h[1-6]|li|main|ol|p|pre|section|summary|t[dhr]|tbody|"
    r"thead|table|ul)\b)"
)
"""Line breaks beside blocks show nothing, but each is a node for the browser: a third of a page of 1,000 items."""


class Section:
    """A part of a page, with a line in its table of contents. Made by `Page.section`."""

    def __init__(self, title: str, anchor: str, pieces: Sequence[Piece]) -> None:
        self.title, self.anchor, self.pieces = title, anchor, list(pieces)

    def add(self, *pieces: Piece) -> Section:
        """Appends pieces; returns the section."""
        self.pieces += pieces
        return self


class Page:
    """Builds one offline HTML file.

    The file asks for nothing outside itself (a content policy in it forbids that to the browser, and every script),
    follows the reader's light or dark setting, and holds at 390 CSS pixels. The same content gives the same bytes.

    Args:
        title: the heading, and the title of the window.
        subtitle: one sentence under it.
        footer: one line at the end, such as versions and hardware.
    """

    def __init__(self, title: str, subtitle: str = "", footer: str = "") -> None:
        self.title, self.subtitle, self.footer = title, subtitle, footer
        self.opening: list[Piece] = []
        self.sections: list[Section] = []

    def add(self, *pieces: Piece) -> Page:
        """Appends pieces above the first section, such as key figures; returns the page."""
        self.opening += pieces
        return self

    def section(self, title: str, *pieces: Piece, anchor: str = "") -> Section:
        """Appends a section. Its anchor is made from the title unless given; a second one of a name gets a number.

        Raises:
            InputError: an anchor that is taken or has other characters than a-z, 0-9 and the hyphen.
        """
        taken = {section.anchor for section in self.sections} | {"top"}
        if anchor and (anchor in taken or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", anchor)):
            raise InputError(
                "an anchor is free and made of a-z, 0-9 and hyphens",
                got=anchor,
                fix="leave it out to have one made from the title",
            )
        name = anchor or anchor_of(title)
        number = 2
        while not anchor and name in taken:
            name = f"{anchor_of(title)}-{number}"
            number += 1
        section = Section(title, name, pieces)
        self.sections.append(section)
        return section

    def html(self) -> str:
        """The whole page as text.

        Raises:
            InputError: a link to a section that the page does not have.
            ImageError: a picture that cannot be decoded.
        """
        renderer = Renderer()
        page = BETWEEN_BLOCKS.sub(">", renderer.template("page.html", content=self))
        anchors = {section.anchor for section in self.sections} | {"top"}
        for anchor in sorted(renderer.linked - anchors):
            raise InputError("a link leads to a section of its page", got=f"#{anchor}", fix=nearest(anchor, anchors))
        return page

    def write(self, path: str | Path) -> Path:
        """Writes the page and returns its path. The file appears whole or not at all; its folder is made.

        Raises:
            InputError: the place cannot be written, besides what `html` raises.
        """
        path = Path(path)
        data = self.html().encode()
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            part.replace(path)
        except OSError as error:
            raise InputError(
                "the page cannot be written here", got=f"{path}: {error.strerror}", fix="choose another folder"
            ) from error
        finally:
            with suppress(OSError):
                part.unlink()
        return path


class Renderer:
    """What the templates of one page share: numbers for their ids, and the anchors they link to."""

    def __init__(self) -> None:
        self.linked: set[str] = set()
        self.ids = 0

    def template(self, name: str, **values: Any) -> Markup:
        from markupsafe import Markup

        return Markup(environment().get_template(name).render(render=self, **values))

    def piece(self, piece: Piece) -> Markup:
        """The HTML of one piece."""
        return self.template(piece.template, piece=piece)

    def unique(self) -> str:
        """A start for ids that nothing else on the page has; anchors hold no underscore."""
        self.ids += 1
        return f"_{self.ids}_"

    def drawings(self, plot: CurvePlot | BarPlot | ArrowPlot) -> list[tuple[str, Drawing]]:
        """The plot for a wide and for a narrow place; the style sheet shows the one that fits."""
        return [
            (name, draw_arrows(plot, width, id_) if isinstance(plot, ArrowPlot) else draw(plot, width, id_))
            for name, width, id_ in (("wide", WIDE, self.unique()), ("narrow", NARROW, self.unique()))
        ]

    def link(self, anchor: str) -> str:
        self.linked.add(anchor)
        return anchor


@cache
def environment() -> Environment:
    """Templates of this package; everything put into them is escaped."""
    import jinja2
    from markupsafe import Markup

    loader = jinja2.PackageLoader("pixelword.report", "templates")
    templates = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    templates.globals.update(style=Markup(loader.get_source(templates, "page.css")[0]))
    templates.filters.update(inlines=inlines, plain=plain, drawn=lambda drawing: Markup(drawing.svg))
    templates.tests.update(
        tagged=lambda part: isinstance(part, Code | Strong | Emphasis),
        link=lambda part: isinstance(part, Link),
        measured=lambda part: isinstance(part, Estimate | Proportion),
    )
    return templates
