"""Draws the plots of a page by matplotlib, once per width. A length is a CSS pixel here, which is a point there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pixelword.report.plots import BarPlot, CurvePlot, LegendEntry, Measured, Series, Stage, colour_of
from pixelword.report.svg import INK, inline_svg, page_style
from pixelword.report.words import one_line

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

WIDE, NARROW = 760, 360
LETTER = 6.6  # average width of a letter of 12 px, on the generous side
SLICES = 120  # a longer curve is drawn as the means of so many slices
BANDS = f"Line: mean of each of {SLICES} slices. Band: from the least to the greatest value of the slice."
LARGEST = 1e100  # beyond it, and below its inverse, the arithmetic of axes overflows
SHORT = 300  # a logarithmic axis up to this ratio gets ticks at 2 and 5 as well
MARKER = {"circle": "o", "square": "s", "diamond": "D", "triangle": "^", "down": "v", "plus": "P"}


@dataclass(frozen=True)
class Drawing:
    """One plot at one width.

    Args:
        svg: the element.
        key: names of the stages where they are numbered because they do not fit.
        notes: what a reader must know, such as points left out.
    """

    svg: str
    key: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def draw(plot: CurvePlot | BarPlot, width: int, prefix: str) -> Drawing:
    """Draws a plot for a page that gives it `width` CSS pixels; ids in it start with `prefix`."""
    with page_style():
        return draw_curves(plot, width, prefix) if isinstance(plot, CurvePlot) else draw_bars(plot, width, prefix)


def empty_figure(width: float, height: float, margins: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, inside margins (left, top, right, bottom), with no frame but its grid."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    axes = figure.add_axes(inside(width, height, margins))
    axes.tick_params(length=0, pad=6)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def inside(
    width: float, height: float, margins: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """What margins (left, top, right, bottom) leave of a figure, as matplotlib places axes: shares of its size."""
    left, top, right, bottom = margins
    return left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height


def tick_text(value: float, _place: int | None = None) -> str:
    """12000 reads `12 000`, 0.50 reads `0.5`."""
    text = f"{value:,.0f}".replace(",", "\u202f") if abs(value) >= 1000 and abs(value) < 1e9 else f"{value:g}"
    return text.replace("-", "\u2212")


def draw_curves(plot: CurvePlot, width: int, prefix: str) -> Drawing:
    height = plot.height if width == WIDE else min(plot.height, 280)
    top, right, bottom = 54 if plot.stages else 36, 12, 44
    figure, axes = empty_figure(width, height, (0, top, right, bottom))
    axes.set_xscale("log" if plot.log_x else "linear")
    axes.set_yscale("log" if plot.log_y else "linear")
    left_out, sliced = 0, False
    for number, series in enumerate(plot.series):
        x, y = drawable(series, plot.log_x, plot.log_y)
        left_out += len(series.x) - len(x)
        sliced |= len(x) > SLICES
        draw_one_curve(axes, x, y, INK[colour_of(number, series.colour)], "--" if series.dashed else "-")
    plain_ticks(axes.xaxis, plot.log_x, most=8 if width == WIDE else 5)
    plain_ticks(axes.yaxis, plot.log_y, most=6)
    axes.margins(x=0.01)
    left = 14 + LETTER * max((len(label.get_text()) for label in axes.get_yticklabels()), default=0)
    axes.set_position(inside(width, height, (left, top, right, bottom)))
    axes.grid(axis="y")
    axes.spines["bottom"].set_visible(True)
    axes.set_xlabel(one_line(plot.x_label), color=INK["muted"], labelpad=8)
    figure.text(0, 1 - 12 / height, one_line(plot.y_label), color=INK["muted"], va="center")
    key = draw_stages(axes, plot.stages, width - left - right)
    notes = [BANDS] * sliced
    if left_out:
        notes.append(f"Left out: {left_out} points without a finite value that this axis can show.")
    return Drawing(inline_svg(figure, prefix), key, tuple(notes))


def drawable(series: Series, log_x: bool, log_y: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points that an axis can show: not a number, infinite and, on a logarithmic axis, not above zero are out."""
    import numpy as np

    x, y = (np.asarray(values, dtype=np.float64) for values in (series.x, series.y))
    x, y = (np.where(np.abs(values) < 1 / LARGEST, 0.0, values) for values in (x, y))
    kept = (np.abs(x) < LARGEST) & (np.abs(y) < LARGEST)  # false for what is not a number
    kept &= ((x > 0) | (not log_x)) & ((y > 0) | (not log_y))
    return x[kept], y[kept]


def draw_one_curve(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], colour: str, style: str) -> None:
    """A line; a long curve as the mean of each slice over the band from its least to its greatest value."""
    import numpy as np

    if len(x) > SLICES:
        starts = np.linspace(0, len(x), SLICES, endpoint=False).astype(int)
        sizes = np.diff(np.append(starts, len(x)))
        middle = np.add.reduceat(x, starts) / sizes
        low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
        axes.fill_between(middle, low, high, color=colour, alpha=0.18, linewidth=0)
        x, y = middle, np.add.reduceat(y, starts) / sizes
    axes.plot(x, y, color=colour, linewidth=2, linestyle=style, solid_capstyle="round", solid_joinstyle="round")
    if len(x) == 1:
        axes.plot(x, y, color=colour, marker="o", markersize=5)


def plain_ticks(axis: Axis, logarithmic: bool, most: int) -> None:
    """Round ticks in plain numbers, also on a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if logarithmic:
        low, high = axis.get_data_interval()
        short = not 0 < low * SHORT < high  # too few powers of ten to read the axis by
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if short else (1.0,), numticks=most + 6))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(tick_text))


def draw_stages(axes: Axes, stages: Sequence[Stage], width: float) -> tuple[str, ...]:
    """A line and a name where each stage starts; numbers in place of names that do not fit, whose key is returned."""
    from matplotlib.transforms import offset_copy

    low, high = axes.get_xlim()
    starts = [max(low, stage.start) for stage in stages]
    to_width = axes.transData + axes.transAxes.inverted()
    places = [float(to_width.transform((start, 1.0))[0]) for start in starts]
    ends = [*places, 1.0][1:]
    fit = all(
        (end - place) * width > LETTER * len(stage.name) + 10
        for stage, place, end in zip(stages, places, ends, strict=True)
    )
    above = offset_copy(axes.get_xaxis_transform(), axes.get_figure(root=True), x=4, y=4, units="dots")
    for number, (stage, start) in enumerate(zip(stages, starts, strict=True), 1):
        axes.axvline(start, color=INK["muted"], linewidth=1, linestyle=(0, (2, 3)))
        name = one_line(stage.name) if fit else str(number)
        axes.text(start, 1, name, transform=above, color=INK["ink"], va="bottom", ha="left")
    axes.set_xlim(low, high)
    return () if fit else tuple(stage.name.removeprefix(f"{number} ") for number, stage in enumerate(stages, 1))


BAR, BETWEEN = 15, 18  # height of a bar; space between categories


def draw_bars(plot: BarPlot, width: int, prefix: str) -> Drawing:
    beside = width == WIDE  # names of the categories stand left of the bars, or above them
    name_room = min(230.0, 20 + LETTER * max((len(name) for name in plot.categories), default=0)) if beside else 8.0
    row = BAR * max(1, len(plot.groups)) + BETWEEN + (0 if beside else 18)
    height = row * max(1, len(plot.categories)) + 60
    figure, axes = empty_figure(width, height, (name_room, 8, 62, 52))
    axes.set_ylim(height - 60, 0)
    axes.set_xlim(*plot.limits)
    for place, name in enumerate(plot.categories):
        draw_category(axes, plot, place, place * row + (0 if beside else 18), row - (0 if beside else 18))
        if beside:
            draw_name(axes, name, (-12, place * row + row / 2), name_room, "right")
        else:
            draw_name(axes, name, (0, place * row + 12), width - 20, "left")
    plain_ticks(axes.xaxis, False, most=10 if beside else 5)
    if plot.percent:
        axes.xaxis.set_major_formatter(lambda value, _place: f"{100 * value:g} %")
    axes.set_yticks([])
    axes.grid(axis="x")
    axes.set_xlabel(one_line(plot.x_label), color=INK["muted"], labelpad=8)
    return Drawing(inline_svg(figure, prefix))


def draw_name(axes: Axes, name: str, place: tuple[float, float], room: float, align: str) -> None:
    """The name of a category, shortened to its room, so far right of the axis and so far down."""
    from matplotlib.transforms import offset_copy

    letters, name = max(4, int(room / LETTER) - 2), one_line(name)
    shown = name if len(name) <= letters else name[: letters - 1] + "\u2026"
    right, down = place
    transform = offset_copy(axes.get_yaxis_transform(), axes.get_figure(root=True), x=right, units="dots")
    axes.text(0, down, shown, transform=transform, va="center", ha=align, color=INK["ink"])


def draw_category(axes: Axes, plot: BarPlot, place: int, top: float, row: float) -> None:
    """One category: a bar or dot per group, and the line of chance across them."""
    first = top + (row - BAR * len(plot.groups)) / 2
    chance = plot.chances[place]
    if chance is not None:
        end = first + BAR * len(plot.groups)
        axes.plot(
            [chance, chance], [first - 3, end + 3], color=INK["ink"], linewidth=1.5, linestyle=(0, (2, 2)), zorder=4
        )
    for number, group in enumerate(plot.groups):
        draw_measured(axes, plot, group.values[place], first + BAR * (number + 0.5), plot.legend[number])


def draw_measured(axes: Axes, plot: BarPlot, measured: Measured, y: float, look: LegendEntry) -> None:
    """One share with its interval; its number stands right of the axis."""
    from matplotlib.transforms import offset_copy

    beside = offset_copy(axes.get_yaxis_transform(), axes.get_figure(root=True), x=8, units="dots")
    known = measured is not None and measured.value == measured.value
    number = measured.number if measured is not None and known else "\u2013"
    axes.text(1, y, number, transform=beside, va="center", ha="left", color=INK["muted"], fontsize=11)
    if measured is None or not known:
        return
    low, colour, mark = plot.limits[0], INK[look.colour], MARKER[look.sign]
    if plot.marks == "bars":
        axes.barh(y, measured.value - low, height=BAR - 4, left=low, color=colour, alpha=0.25, linewidth=0)
    axes.plot([measured.low, measured.high], [y, y], color=colour, linewidth=2.5, solid_capstyle="butt", zorder=5)
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
