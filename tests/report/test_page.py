"""A page as a whole: one file, nothing from outside, sections that can be reached, written whole or not at all."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from textwrap import dedent

import numpy as np
import pytest
from PIL import Image

from pixelword import report
from pixelword.errors import ImageError, InputError
from pixelword.report import (
    Answer,
    ArrowPlot,
    Card,
    Code,
    Emphasis,
    Fold,
    Gallery,
    Heading,
    Link,
    Listing,
    MaskPicture,
    Page,
    Paragraph,
    Picture,
    Proportion,
    Segment,
    SideBySide,
    StackedBars,
    Strong,
    Table,
    Tile,
    Tiles,
    Token,
    TokenGrid,
    TokenStrip,
)
from tests.report.reading import Element, read

PICTURE = Picture(Image.new("RGB", (8, 8), "red"), "a red square")


def rendered(*pieces) -> Element:
    page = Page("title")
    page.section("section", *pieces)
    return read(page.html()).one("section")


def test_the_frame_of_a_page():
    page = Page("A title", "A subtitle", "A footer")
    page.add(Paragraph("opening"))
    page.section("First", Paragraph("one"))
    page.section("Second").add(Paragraph("two")).add(Paragraph("three"))
    root = read(page.html())
    assert root.one("title").text == root.one("h1").text == "A title"
    assert [p.text for p in root.all("p")] == ["A subtitle", "opening", "one", "two", "three"]
    assert root.one("footer").text == "A footer"
    assert [h.text for h in root.all("h2")] == ["First", "Second"]
    assert root.one("html").attributes["lang"] == "en"
    assert root.all("meta", name="viewport")


def test_the_contents_lead_to_the_sections():
    page = Page("p")
    for title in ("What it sees", "眼", "What it sees", "眼", "Top"):
        page.section(title)
    page.section("Named", anchor="my-place")
    root = read(page.html())
    ids = [section.attributes["id"] for section in root.all("section")]
    assert ids == ["what-it-sees", "section", "what-it-sees-2", "section-2", "top-2", "my-place"]
    assert [a.attributes["href"] for a in root.one("nav").all("a")] == [f"#{name}" for name in ids]


def test_a_page_of_one_section_has_no_contents():
    assert not read(Page("p").html()).all("nav")


@pytest.mark.parametrize("anchor", ["taken", "top", "Upper", "a b", '"><script>', "_1_", "-", "a--b"])
def test_anchors_are_plain_and_free(anchor):
    page = Page("p")
    page.section("Taken")
    with pytest.raises(InputError, match="anchor"):
        page.section("x", anchor=anchor)


def test_a_link_to_nowhere_is_named():
    page = Page("p")
    page.section("What it sees", Paragraph(Link("see", "what-it-see")))
    with pytest.raises(InputError, match="what-it-sees"):
        page.html()


def test_the_browser_is_told_to_fetch_and_run_nothing():
    root = read(Page("p").html())
    policy = root.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "script-src" not in rules, "so that the default holds for scripts"


# Inline parts


def test_inline_parts():
    parts = Paragraph(
        "a ", Code("b"), " ", Strong("c"), " ", Emphasis("d"), " ", Link("e", "section"), Proportion(1, 2)
    )
    (p,) = rendered(parts).all("p")
    assert p.one("code").text == "b"
    assert p.one("strong").text == "c"
    assert p.one("em").text == "d"
    assert p.one("a").attributes["href"] == "#section"
    assert p.one("span", class_="measured").attributes["title"] == "1 of 2; 95 % interval"
    assert p.one("span", class_="measured").text == "50.0 % [9.5, 90.5]"


def test_spaces_around_parts_are_the_writers():
    page = Page("p")
    page.section("s", Paragraph("it said ", Code("red"), ", twice (", Strong("not"), ")."))
    assert "it said <code>red</code>, twice (<strong>not</strong>)." in page.html()


# Pieces


def test_tiles():
    tiles = rendered(Tiles([Tile(Proportion(9, 10), "right", "of ten"), Tile("9 min", "time")])).one("dl")
    assert [d.text for d in tiles.all("dd")] == ["90.0 %", "[59.6, 98.2]", "of ten", "9 min"]
    assert [d.text for d in tiles.all("dt")] == ["right", "time"]


def test_a_table_scrolls_inside_itself_and_aligns_numbers():
    section = rendered(Table(["name", "n"], [["a", 1000], ["all", 2]], "A caption.", emphasize=[1]))
    scroll = section.one("div", class_="scroll")
    assert scroll.attributes["tabindex"] == "0", "a keyboard can scroll it"
    assert [cell.text for cell in scroll.all("th", scope="row")] == ["a", "all"]
    assert [cell.text for cell in scroll.all("td", class_="number")] == ["1\u202f000".replace("\u202f", " "), "2"]
    assert scroll.all("tr", class_="emphasized")[0].one("th").text == "all"
    assert section.one("figcaption").text == "A caption."


def test_listing_fold_heading_and_side_by_side():
    section = rendered(
        Heading("below"), Fold("more", [Listing("a\n  b")], opened=True), SideBySide([PICTURE, PICTURE], narrowest=100)
    )
    assert section.one("h3").text == "below"
    assert section.one("pre").raw == "a\n  b"
    assert "open" in section.one("details").attributes
    assert len(section.one("div", class_="side-by-side").all("img")) == 2


def test_a_picture_has_a_text_for_those_who_do_not_see_it():
    section = rendered(PICTURE, Picture(PICTURE.source, "caption", alt="other"))
    assert [img.attributes["alt"] for img in section.all("img")] == ["a red square", "other"]
    assert all(img.attributes["src"].startswith("data:image/png;base64,") for img in section.all("img"))


def test_a_gallery_shows_mistakes_first_and_filters_by_class():
    cards = [
        Card(PICTURE, [Answer("color ?", "red", "red", True)], "first", ["color"]),
        Card(PICTURE, [Answer("shape ?", "cross", "circle", False)], "second", ["shape"], [Paragraph("more")]),
        Card(PICTURE, [Answer("both ?", "no", right=None)], "third", ["color", "shape"]),
    ]
    gallery = rendered(Gallery(cards)).one("figure", class_="gallery")
    assert [h.text for h in gallery.all("h4")] == ["second", "third", "first"]
    assert [p.text for p in gallery.all("p", class_="reply")] == ["cross circle", "no", "red"]
    labels = [label.text for label in gallery.all("label")]
    assert labels == ["all 3", "mistakes 1", "not judged 1", "right 1", "any", "color 2", "shape 2"]
    rules = gallery.one("style").text
    for verdict, number in (("wrong", 1), ("open", 2), ("right", 3)):
        assert re.search(rf"_v{number}:checked\) \.card:not\(\.{verdict}\)", rules)
    (tag,) = re.findall(r"_t2:checked\) \.card:not\(\.(\w+)\)", rules)
    assert [h.text for card in gallery.all("article", class_=tag) for h in card.all("h4")] == ["second", "third"]


def test_a_gallery_filters_by_facets_too():
    cards = [
        Card(PICTURE, title="first", facets={"box": "solved", "run": "one"}),
        Card(PICTURE, title="second", facets={"box": "harm", "run": "one"}, beside=[Picture(PICTURE.source, "edited")]),
        Card(None, title="third"),
    ]
    gallery = rendered(Gallery(cards)).one("figure", class_="gallery")
    assert [legend.text for legend in gallery.all("legend")] == ["box"], "a facet of one value needs no filter"
    assert [label.text for label in gallery.all("label")] == ["any", "solved 1", "harm 1"]
    hidden = {}
    for row in re.findall(r"#(\w+):checked\) \.card:not\(\.(\w+)\)", gallery.one("style").text):
        hidden[row[0]] = {h.text for card in gallery.all("article", class_=row[1]) for h in card.all("h4")}
    ids = [box.attributes["id"] for box in gallery.all("input") if "id" in box.attributes]
    assert [hidden[name] for name in ids] == [{"first"}, {"second"}]
    first, second, third = (gallery.all("article")[place] for place in range(3))
    assert [len(card.all("img")) for card in (first, second, third)] == [1, 2, 0]
    assert second.all("figcaption")[-1].text == "edited"


def test_stacked_bars_show_every_count_that_is_there():
    bars = rendered(
        StackedBars(["solved", "never", "lost"], [("WK", [60, 0, 40]), ("CR", [0, 0, 0]), ("LR", [99, 0, 1])])
    )
    assert [entry.text for entry in bars.all("li")] == ["solved", "lost"]
    widths = [float(span.attributes["style"].strip("width: %")) for span in bars.all("span", title="of")]
    assert widths == [60, 40, 99, 1]
    assert [b.text for b in bars.all("b")] == ["60", "40", "99", ""], "a narrow part has its number in the table"
    rows = [[cell.text for cell in row.all("td")] for row in bars.one("tbody").all("tr")]
    assert rows == [["60", "40", "100"], ["0", "0", "0"], ["99", "1", "100"]]
    with pytest.raises(InputError, match="one count"):
        StackedBars(["a"], [("x", [1, 2])])


def test_an_arrow_plot_has_its_numbers_and_its_change():
    plot = ArrowPlot(
        ["MT", "CN"], ("direct", "stepwise"), [Proportion(30, 100), None], [Proportion(44, 100), Proportion(1, 2)], 0.25
    )
    assert [plot.change(0), plot.change(1)] == [pytest.approx(0.14), None]
    section = rendered(plot)
    assert [entry.text for entry in section.all("li")] == ["direct", "stepwise", "chance"]
    assert "+14.0" in section.text
    assert "14.0" in section.one("tbody").text
    with pytest.raises(InputError, match="two values"):
        ArrowPlot(["MT"], ("a", "b"), [None], [None, None])


def test_a_gallery_of_one_kind_needs_no_filter():
    assert not rendered(Gallery([Card(PICTURE)])).all("fieldset")
    assert rendered(Gallery([])).all("figure", class_="gallery")


def test_a_token_grid_draws_its_lines_and_shades():
    grid = rendered(TokenGrid(PICTURE, 2, 3, weights=[[0, 0.5, 1], [0, 0, 2]], numbered=True))
    assert grid.one("path", class_="over").attributes["d"] == "M1 0V2M2 0V2M0 1H3"
    shades = [(r.attributes["x"], r.attributes["y"], r.attributes["fill-opacity"]) for r in grid.all("rect")]
    assert shades == [("1", "0", "0.500"), ("2", "0", "1.000"), ("2", "1", "1.000")]
    assert [span.text for span in grid.one("div", class_="top").all("span")] == ["0", "1", "2"]


def test_a_token_strip_shows_text_kind_and_indices():
    strip = rendered(TokenStrip([Token("<img>", "special", (3, 0, 0), "begin")])).all("div", class_="token")
    assert [span.text for span in strip[1].all("span")] == ["<img>", "3", "0", "0"]
    assert strip[1].attributes == {"class": "token special", "title": "begin"}


def test_a_mask_names_its_segments():
    segments = [Segment("words", 0, 2), Segment("picture", 2, 4, "image")]
    mask = rendered(MaskPicture(np.tril(np.ones((4, 4))), segments, "Looks back."))
    assert [entry.text for entry in mask.one("ul").all("li")][:2] == ["words 0–1", "picture 2–3"]
    assert [layer.attributes["class"] for layer in mask.all("i")] == ["text", "image"]


# Writing


def test_the_example_of_the_package_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = dedent("\n".join(line for line in (report.__doc__ or "").splitlines() if line.startswith("    ")))
    exec(code, {"steps": range(1000), "losses": np.geomspace(3, 0.1, 1000), "image": PICTURE.source})
    assert len(read((tmp_path / "runs/demo/report.html").read_text("utf-8")).all("section")) == 3


def test_the_same_content_gives_the_same_bytes(tmp_path):
    def write(name: str) -> bytes:
        page = Page("p")
        page.section("s", PICTURE, Gallery([Card(PICTURE, tags=["a"]), Card(PICTURE, tags=["b"])]))
        return page.write(tmp_path / name).read_bytes()

    assert write("a.html") == write("b.html")


def test_writing_makes_the_folder_and_returns_the_path(tmp_path):
    path = Page("p").write(str(tmp_path / "new" / "deep" / "report.html"))
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"], "nothing half-written is left"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, "others may read it as any other file"


def test_a_page_that_cannot_be_made_leaves_the_old_one(tmp_path):
    old = Page("old").write(tmp_path / "report.html").read_bytes()
    page = Page("new")
    page.section("s", Picture(b"no picture"))
    with pytest.raises(ImageError):
        page.write(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_leaves_the_old_page(tmp_path, monkeypatch):
    old = Page("old").write(tmp_path / "report.html").read_bytes()

    def full(self, data):
        with open(self, "wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        Page("new").write(tmp_path / "report.html")
    monkeypatch.undo()
    assert (tmp_path / "report.html").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    for path in (tmp_path / "file" / "report.html", tmp_path / "folder.html"):
        with pytest.raises(InputError, match="cannot be written here"):
            Page("p").write(path)


# Size and speed


def test_many_cards_stay_small_and_quick():
    # A page of 1,000 pictures has to stay under 30 MB and 20 s; a quarter of it is measured here.
    pixels = np.random.default_rng(0).integers(0, 256, (6, 300, 400, 3), dtype=np.uint8)
    cards = [Card(Picture(pixels[n % 6], max_side=160), [Answer("q", str(n), "t", n % 3 == 0)]) for n in range(250)]
    page = Page("p")
    page.section("s", Gallery(cards))
    start = time.process_time()
    size = len(page.html())
    assert size < 30e6 / 4
    assert time.process_time() - start < 20 / 4


def test_importing_loads_neither_torch_nor_what_draws():
    code = "import sys, pixelword.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "matplotlib", "numpy", "jinja2", "PIL", "scipy"} & set(done.stdout.split()) == set()
