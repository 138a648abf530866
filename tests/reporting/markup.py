"""A page read back by the standard library's parser: tags, attributes, visible text, tables."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Markup(HTMLParser):
    """All tags in order with their attributes, and the text that stands outside ``<style>`` and ``<title>``."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self._cell = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag; a row starts a list of cells, a cell starts a text."""
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
            self._cell = True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """Check that the innermost open element is closed."""
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        if tag in {"td", "th"}:
            self._cell = False

    def handle_data(self, data: str) -> None:
        """Keep what a reader sees."""
        if self.open and self.open[-1] not in {"style", "title"}:
            self.texts.append(data)
            if self._cell:
                self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        """The visible text, white space collapsed."""
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of every element of one kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def row(self, *starts: str) -> list[str]:
        """Cells of the first table row whose first cell begins with one of these words."""
        return next(
            [" ".join(c.split()) for c in row] for row in self.rows if row and row[0].strip().startswith(starts)
        )


def parsed(path: Path) -> Markup:
    """Read a page and check that every element is closed where it should be."""
    markup = Markup(path.read_text(encoding="utf-8"))
    assert markup.open == []
    return markup
