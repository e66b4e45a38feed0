"""Reads a page back with the standard library's parser, which knows nothing of how the page was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br", "hr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None = field(default=None, repr=False)
    content: list[Element | str] = field(default_factory=list)

    @property
    def children(self) -> list[Element]:
        return [part for part in self.content if isinstance(part, Element)]

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Every element below with this tag, and these attributes (`class_` is one class of several)."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [element for element in self.walk() if element.tag == tag and element.fits(wanted)]

    def fits(self, wanted: dict[str, str]) -> bool:
        return all(value in self.attributes.get(name, "").split() for name, value in wanted.items())

    def one(self, tag: str, **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found

    def walk(self) -> list[Element]:
        return [self, *(below for child in self.children for below in child.walk())]

    @property
    def raw(self) -> str:
        """All text below, as it stands."""
        return "".join(part if isinstance(part, str) else part.raw for part in self.content)

    @property
    def text(self) -> str:
        """All text below, as a browser shows it: with single spaces."""
        return " ".join(self.raw.split())


class Reader(HTMLParser):
    """Builds the tree, and complains where a tag closes what is not open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self.open = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs}, self.open)
        self.open.content.append(element)
        if tag not in VOID:
            self.open = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.tag == tag, f"</{tag}> closes <{self.open.tag}>"
        assert self.open.parent is not None
        self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        self.open.content.append(data)


def read(html: str) -> Element:
    """The tree of a page; every tag in it is closed in order."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open is reader.root, f"<{reader.open.tag}> is never closed"
    return reader.root
