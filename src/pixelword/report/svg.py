"""From a matplotlib figure to SVG that lives inside a page: its colours, its font, its own ids, no foreign address."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Drawn in these colours, then each is replaced by the page's variable of that name, which knows light and dark.
INK = {
    "blue": "#0067a5",
    "orange": "#c8500a",
    "green": "#008060",
    "purple": "#8d4a9e",
    "amber": "#b07a00",
    "grey": "#6c7680",
    "ink": "#1d2125",
    "muted": "#5c656e",
    "rule": "#dfe1dc",
    "paper": "#fcfcfa",
}
VARIABLE = {colour: f"var(--{name})" for name, colour in INK.items()}
SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "pixelword",  # the same figure gives the same bytes
    "text.parse_math": False,  # a dollar sign is a dollar sign
    "font.size": 12,
    "text.color": INK["ink"],
    "xtick.color": INK["muted"],
    "ytick.color": INK["muted"],
    "axes.edgecolor": INK["rule"],
    "axes.linewidth": 1,
    "grid.color": INK["rule"],
    "grid.linewidth": 1,
}


@contextmanager
def page_style() -> Iterator[None]:
    """Draws as a page does, whatever the user's matplotlib is set to, and leaves those settings alone."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's fonts have it
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def inline_svg(figure: Figure, prefix: str) -> str:
    """The figure as an `svg` element for an HTML page; every id in it starts with `prefix`."""
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(stream.getvalue())
    drop_metadata(root)
    values = [value for element in root.iter() for value in element.attrib.values()]
    used = {name for value in values for name in re.findall(r"#([\w-]+)", value)}
    for element in root.iter():
        element.tag, element.tail = local(element.tag), None
        if element.tag not in {"text", "tspan"}:
            element.text = None
        attributes = {local(name): value for name, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update(adopt(attributes, used, prefix))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    return ElementTree.tostring(root, encoding="unicode")


def local(name: str) -> str:
    """A name without its XML namespace, as HTML writes it."""
    return name.rpartition("}")[2]


def drop_metadata(root: ElementTree.Element) -> None:
    """Removes what matplotlib says about itself, and its style sheet, which would rule the whole page."""
    for parent in root.iter():
        for child in list(parent):
            if local(child.tag) in {"metadata", "style"}:
                parent.remove(child)


def adopt(attributes: dict[str, str], used: set[str], prefix: str) -> dict[str, str]:
    """Attributes with the page's colours and font, and with ids that no other plot has."""
    adopted = {}
    for name, value in attributes.items():
        if name == "id":
            if value in used:
                adopted[name] = prefix + value
        elif name in {"href", "clip-path"}:
            adopted[name] = value.replace("#", f"#{prefix}")
        elif name == "style":
            adopted[name] = page_style_of(value)
        else:
            adopted[name] = value
    return adopted


def page_style_of(style: str) -> str:
    """A style with the page's colour variables; the font is left to the page, its size and weight are kept."""
    kept = []
    for declaration in style.split("; "):
        name, _, value = declaration.partition(": ")
        if name == "font":  # how matplotlib before 3.11 writes size, weight and family
            kept += [f"font-size: {size}" for size in re.findall(r"\b[\d.]+px", value)]
            kept += [f"font-weight: {weight}" for weight in re.findall(r"\b(?:bold|\d{3})\b(?!px)", value)]
        elif name != "font-family":
            kept.append(re.sub(r"#[0-9a-f]{6}", lambda found: VARIABLE.get(found.group(), found.group()), declaration))
    return "; ".join(kept)
