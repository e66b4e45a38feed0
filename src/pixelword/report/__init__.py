"""Pages that show what was measured: one offline HTML file each, with plots, pictures and honest intervals.

A page is built from pieces, which are frozen values, and written at the end:

    from pixelword.report import *

    seen, blind = Proportion(187, 205), Proportion(52, 205)
    page = Page("A tiny model learns to see", "Drawn pictures, two CPU cores, no download.")
    page.add(Tiles([Tile(seen, "right on held-out pictures"), Tile(blind, "with a blank picture")]))
    told = sentence("Asked {form}, it was right in {seen}.", form=Code("what color ?"), seen=seen)
    page.section("What happened", Paragraph(told))
    page.section("Three stages").add(
        CurvePlot([Series("loss", steps, losses)], log_y=True, stages=[Stage("captions", 0), Stage("questions", 400)]),
        Table(["stage", "steps", "loss"], [["captions", 400, 0.91], ["questions", 600, 0.12]], caption="The stages."),
    )
    groups = [BarGroup("sighted", [seen, seen]), BarGroup("blind", [blind, blind])]
    page.section("What it sees").add(
        BarPlot(["color", "shape"], groups, chance=[1 / 6, 1 / 4], caption="Right answers with 95 % intervals."),
        Gallery([Card(Picture(image), [Answer("what color?", "red", truth="blue", right=False)], tags=["color"])]),
    )
    page.write("runs/demo/report.html")

Text is always text: whatever stands in a field is escaped. Importing this package loads neither torch nor matplotlib.
"""

from pixelword.report.page import Page, Section
from pixelword.report.pictures import Answer, Card, Gallery, Picture
from pixelword.report.pieces import (
    Fold,
    Heading,
    Listing,
    Paragraph,
    Piece,
    SideBySide,
    Table,
    Tile,
    Tiles,
)
from pixelword.report.plots import ArrowPlot, BarGroup, BarPlot, CurvePlot, Series, Stage
from pixelword.report.stacks import StackedBars
from pixelword.report.statistics import Estimate, Proportion, disjoint, format_count, format_percent, wilson_interval
from pixelword.report.tokens import MaskPicture, Segment, Token, TokenGrid, TokenStrip
from pixelword.report.words import Code, Emphasis, Link, Strong, Words, sentence

__all__ = [
    "Answer",
    "ArrowPlot",
    "BarGroup",
    "BarPlot",
    "Card",
    "Code",
    "CurvePlot",
    "Emphasis",
    "Estimate",
    "Fold",
    "Gallery",
    "Heading",
    "Link",
    "Listing",
    "MaskPicture",
    "Page",
    "Paragraph",
    "Picture",
    "Piece",
    "Proportion",
    "Section",
    "Segment",
    "Series",
    "SideBySide",
    "StackedBars",
    "Stage",
    "Strong",
    "Table",
    "Tile",
    "Tiles",
    "Token",
    "TokenGrid",
    "TokenStrip",
    "Words",
    "disjoint",
    "format_count",
    "format_percent",
    "sentence",
    "wilson_interval",
]
