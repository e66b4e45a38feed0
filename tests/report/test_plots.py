"""Plots inside a page: text stays text, colours are the page's, nothing clashes, numbers are those given."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.report import ArrowPlot, BarGroup, BarPlot, CurvePlot, Estimate, Page, Proportion, Series, Stage
from pixelword.report.arrows import draw_arrows
from pixelword.report.drawing import BANDS, NARROW, SLICES, WIDE, draw, tick_text
from pixelword.report.svg import INK
from tests.report.reading import Element, read

WIDTHS = pytest.mark.parametrize("width", [WIDE, NARROW])


def texts(svg: str) -> list[str]:
    return [element.text for element in read(svg).all("text")]


def bars(**options) -> BarPlot:
    groups = [
        BarGroup("sighted", [Proportion(187, 205), Proportion(99, 100), None]),
        BarGroup("blind", [Proportion(52, 205), Proportion(0, 0), Estimate(0.5, 0.4, 0.6)]),
    ]
    return BarPlot(["color", "shape", "count"], groups, **options)


def curve(count: int, **options) -> CurvePlot:
    return CurvePlot([Series("loss", range(1, count + 1), [3 / step for step in range(1, count + 1)])], **options)


@WIDTHS
def test_text_stays_text_and_the_numbers_are_those_given(width):
    shown = texts(draw(bars(chance=0.25), width, "_").svg)
    for name in ("color", "shape", "count", "right answers", "91.2 %", "25.4 %", "99.0 %", "50.0 %"):
        assert name in shown
    assert shown.count("\u2013") == 2, "neither a missing measurement nor one without questions is a zero"


@WIDTHS
@pytest.mark.parametrize("plot", [bars(), curve(50), curve(500, log_y=True)], ids=["bars", "curve", "long"])
def test_only_colours_of_the_page_and_no_foreign_address(plot, width):
    svg = draw(plot, width, "_").svg
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b", svg) == []
    assert set(re.findall(r"var\(--(\w+)\)", svg)) <= set(INK)
    assert "http" not in svg
    assert "DejaVu" not in svg, "the page chooses the font"
    assert "<style" not in svg


CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)])) + "\u2028\u2029\ud800\uffff"


@WIDTHS
def test_control_characters_in_labels_neither_break_the_drawing_nor_the_line(width):
    """The drawing is XML that another parser reads, and every label is one line without a control character."""
    names, shares = [f"a{sign}b{sign}" for sign in CONTROLS], [Proportion(1, 2)] * len(CONTROLS)
    labels = {"x_label": f"x{CONTROLS}x", "caption": "c"}
    stages = [Stage(name, 50 * number) for number, name in enumerate(names)]
    bar_plot = BarPlot(names, [BarGroup(CONTROLS, shares)], 0.5, **labels)
    drawings = [
        draw(CurvePlot([Series(CONTROLS, [1, 9000], [1, 2])], y_label=CONTROLS, stages=stages, **labels), width, "_"),
        draw(CurvePlot([Series("s", [1, 2], [1, 2])], stages=[Stage(f"a{CONTROLS}", 1)], **labels), width, "_"),
        draw(bar_plot, width, "_"),
        draw_arrows(ArrowPlot(names, (CONTROLS, "b"), shares, shares, **labels), width, "_"),
    ]
    for drawing in drawings:
        text = "".join(ElementTree.fromstring(drawing.svg).itertext())
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800\uffff]", text)
    seen = texts(draw(bar_plot, width, "_").svg)
    assert seen.count("a b") == sum(sign.isspace() for sign in CONTROLS), "white space became a space"
    assert seen.count("a\ufffdb\ufffd") == sum(not sign.isspace() for sign in CONTROLS)


def test_ids_do_not_clash_and_references_are_found():
    page = Page("p")
    page.section("s", curve(50), curve(50), bars(), bars())
    root = read(page.html())
    ids = [element.attributes["id"] for element in root.walk() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    used = {name for element in root.all("svg") for below in element.walk() for name in references(below)}
    assert used, "matplotlib clips, so there is something to check"
    assert used <= set(ids)


def references(element: Element) -> list[str]:
    return [name for value in element.attributes.values() for name in re.findall(r"(?:url\(|^)#([\w-]+)", value)]


def test_the_same_bytes_in_another_process_and_under_other_settings():
    code = (
        "import matplotlib; matplotlib.rcParams.update({'font.size': 30, 'axes.grid': True, 'text.usetex': True})\n"
        "import sys; from tests.report.test_plots import bars, draw\n"
        "sys.stdout.buffer.write(draw(bars(chance=0.25), 360, '_7_').svg.encode())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == draw(bars(chance=0.25), 360, "_7_").svg


def test_drawing_leaves_the_user_settings_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw(curve(5), WIDE, "_")
    assert dict(matplotlib.rcParams) == before


@WIDTHS
@pytest.mark.parametrize(
    "text", ["$x_1^2$", "$\\frac{", "_hidden", "<script>", "眼", "😀", "\x00\x1b", "\ud800", "", "a" * 500]
)
def test_any_text_can_stand_in_a_plot(text, width):
    plot = BarPlot([text], [BarGroup(text, [Proportion(1, 2)])], x_label=text)
    lines = CurvePlot([Series(text, [0, 1], [1, 2])], text, text, stages=[Stage(text, 0), Stage(text, 0.5)])
    for one in (plot, lines):
        root = read(draw(one, width, "_").svg)
        assert {element.tag for element in root.walk()} <= {
            "document",
            "svg",
            "g",
            "path",
            "defs",
            "use",
            "text",
            "clippath",
            "rect",
        }
    if text.isalpha() and len(text) < 10:
        assert text in texts(draw(plot, width, "_").svg)


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=40)
@given(st.lists(NUMBERS, max_size=8), st.booleans(), st.booleans(), st.sampled_from([WIDE, NARROW]))
def test_any_numbers_can_be_drawn_and_those_left_out_are_counted(values, log_x, log_y, width):
    xs = list(range(len(values)))
    drawing = draw(CurvePlot([Series("s", xs, values)], log_x=log_x, log_y=log_y), width, "_")
    left_out = sum(
        not abs(y) < 1e100 or (log_y and y < 1e-100) or (log_x and x == 0) for x, y in zip(xs, values, strict=True)
    )
    note = f"Left out: {left_out} points without a finite value that this axis can show."
    assert drawing.notes == ((note,) if left_out else ())
    assert "nan" not in drawing.svg


@pytest.mark.parametrize(
    "plot",
    [CurvePlot([]), CurvePlot([Series("s", [], [])], stages=[Stage("a", 0)]), BarPlot([], []), BarPlot(["a"], [])],
)
def test_nothing_to_draw_is_drawn_as_nothing(plot):
    read(draw(plot, WIDE, "_").svg)


def test_a_long_curve_is_the_mean_of_each_slice_in_a_band():
    count = SLICES * 5
    values = np.random.default_rng(0).normal(size=count)
    drawing = draw(CurvePlot([Series("s", range(count), values)]), WIDE, "_")
    assert drawing.notes == (BANDS,), "the reader is told what the band is"
    points = line(drawing.svg)
    assert len(points) == SLICES
    means = values.reshape(SLICES, 5).mean(axis=1)
    assert np.corrcoef(points[:, 1], means)[0, 1] < -0.9999, "higher means stand higher, where y is smaller"
    assert np.allclose(np.diff(points[:, 0]), np.diff(points[:, 0])[0], atol=1e-3)


def line(svg: str) -> np.ndarray:
    """The points of the one thick line of a plot."""
    (path,) = [path for path in read(svg).all("path") if "stroke-width: 2;" in path.attributes.get("style", "")]
    return np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.attributes["d"]), dtype=float)


def test_stages_stand_where_they_start_or_are_numbered_with_a_key():
    stages = [Stage("1 captions", 0), Stage("2 captions and questions", 100), Stage("3 questions", 250)]
    wide, narrow = (draw(curve(400, stages=stages), width, "_") for width in (WIDE, NARROW))
    assert {stage.name for stage in stages} <= set(texts(wide.svg))
    assert wide.key == ()
    assert {"1", "2", "3"} <= set(texts(narrow.svg))
    assert narrow.key == ("captions", "captions and questions", "questions")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (-2, "\u22122"),
        (1000, "1\u202f000"),
        (12000, "12\u202f000"),
        (1e10, "1e+10"),
        (1e-5, "1e\u221205"),
    ],
)
def test_ticks_are_plain_numbers(value, text):
    assert tick_text(value) == text


def test_a_dot_plot_has_no_bars():
    def rectangles(plot: BarPlot) -> int:
        return draw(plot, WIDE, "_").svg.count("opacity: 0.25")

    assert rectangles(bars()) == 4
    assert rectangles(bars(marks="dots")) == 0


def test_the_numbers_under_the_bars():
    page = Page("p")
    page.section("s", bars(chance=[0.25, None, 0.5]))
    table = read(page.html()).one("table")
    rows = [[cell.text for cell in row.children] for row in table.all("tr")]
    assert rows == [
        ["", "sighted", "blind", "chance, %"],
        ["color", "91.2 % [86.5, 94.4]", "25.4 % [19.9, 31.7]", "25.0"],
        ["shape", "99.0 % [94.6, 99.8]", "none asked", ""],
        ["count", "", "50.0 % [40.0, 60.0]", "50.0"],
    ]
