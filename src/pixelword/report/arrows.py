"""Draws what moves: an arrow per category from a first measurement to a second, each with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelword.report.drawing import LETTER, WIDE, Drawing, draw_name, empty_figure, plain_ticks
from pixelword.report.plots import ArrowPlot, Measured
from pixelword.report.svg import INK, inline_svg, page_style
from pixelword.report.words import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 40


def draw_arrows(plot: ArrowPlot, width: int, prefix: str) -> Drawing:
    """The plot for a page that gives it `width` CSS pixels; ids in it start with `prefix`."""
    with page_style():
        beside = width == WIDE
        name_room = min(230.0, 20 + LETTER * max((len(name) for name in plot.categories), default=0)) if beside else 8.0
        row, above = (ROW, 0) if beside else (ROW + 16, 18)
        height = row * max(1, len(plot.categories)) + 60
        figure, axes = empty_figure(width, height, (name_room, 8, 62, 52))
        axes.set_ylim(height - 60, 0)
        axes.set_xlim(*plot.limits)
        for place, name in enumerate(plot.categories):
            middle = place * row + above + (row - above) / 2
            draw_arrow(axes, plot, place, middle)
            if beside:
                draw_name(axes, name, (-12, middle), name_room, "right")
            else:
                draw_name(axes, name, (0, place * row + 12), width - 20, "left")
        plain_ticks(axes.xaxis, False, most=10 if beside else 5)
        axes.xaxis.set_major_formatter(lambda value, _place: f"{100 * value:g} %")
        axes.set_yticks([])
        axes.grid(axis="x")
        axes.set_xlabel(one_line(plot.x_label), color=INK["muted"], labelpad=8)
        return Drawing(inline_svg(figure, prefix))


def draw_arrow(axes: Axes, plot: ArrowPlot, place: int, y: float) -> None:
    """One category: two intervals, the arrow between their numbers, and the change in points at the right."""
    from matplotlib.transforms import offset_copy

    chance, first, second = plot.chances[place], plot.first[place], plot.second[place]
    if chance is not None:
        axes.plot([chance, chance], [y - 15, y + 15], color=INK["ink"], linewidth=1.5, linestyle=(0, (2, 2)), zorder=4)
    for measured, offset, colour, mark in ((first, -6, "grey", "o"), (second, 6, "blue", "D")):
        draw_end(axes, measured, y + offset, INK[colour], mark)
    beside = offset_copy(axes.get_yaxis_transform(), axes.get_figure(root=True), x=8, units="dots")
    change = plot.change(place)
    text = "\u2013" if change is None else f"{100 * change:+.1f}".replace("-", "\u2212")
    axes.text(1, y, text, transform=beside, va="center", ha="left", color=INK["muted"], fontsize=11)
    if first is None or second is None or change is None:
        return
    style = {"arrowstyle": "-|>", "color": INK["ink"], "linewidth": 1.25, "shrinkA": 4, "shrinkB": 5}
    axes.annotate("", (second.value, y + 6), (first.value, y - 6), arrowprops=style, zorder=7)


def draw_end(axes: Axes, measured: Measured, y: float, colour: str, mark: str) -> None:
    if measured is None or measured.value != measured.value:
        return
    axes.plot([measured.low, measured.high], [y, y], color=colour, linewidth=2.5, alpha=0.6, solid_capstyle="butt")
    axes.plot(
        [measured.value],
        [y],
        color=colour,
        marker=mark,
        markersize=6.5,
        markeredgecolor=INK["paper"],
        zorder=6,
        clip_on=False,
    )
