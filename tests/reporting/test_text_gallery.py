"""Texts in the report: shown as they were written, whatever they hold, with a mark where they were cut."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from stillhouse.reporting.rows import MOST_CHARACTERS
from tests.reporting.browser import Page
from tests.reporting.markup import parsed
from tests.reporting.runs import write

TEXTS = [
    "a plain text",
    "<script>document.title = 'owned'</script> </blockquote></section>",
    "{{ 7 * 7 }} {% raw %}",
    "two lines\nand a tab\there",
    "\u202eright to left\u202c and a bell \x07",
    "日本語のテキスト",
    "word " * 2000,
    "x" * 5000,
    "",
]


@pytest.fixture(scope="module")
def folder(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run on digits with texts where its images were."""
    copy = Path(shutil.copytree(digits, tmp_path_factory.mktemp("texts") / "run"))
    with np.load(copy / "gallery.npz") as file:
        rows = file["rows"][: len(TEXTS)]
    np.savez(copy / "gallery.npz", rows=rows, inputs=np.array(TEXTS))
    return copy


def test_every_text_is_on_the_page_as_text(folder: Path) -> None:
    page = parsed(write(folder))
    shown = " ".join(page.text.split())
    for text in TEXTS[:4] + TEXTS[5:6]:
        assert " ".join(text.split()) in shown
    assert "\\u202eright to left\\u202c and a bell \\u0007" in shown


def test_a_long_text_is_cut_and_marked(folder: Path) -> None:
    page = parsed(write(folder))
    assert "x" * MOST_CHARACTERS + " …" in page.text
    assert "x" * (MOST_CHARACTERS + 1) not in page.text
    assert "a plain text …" not in page.text


def test_long_texts_scroll_inside_their_cards_and_can_be_reached_by_keyboard(folder: Path, tmp_path: Path) -> None:
    with Page(tmp_path / "profile") as page:
        for width, dark in ((1200, False), (390, True)):
            page.look(width=width, dark=dark)
            page.open(write(folder))
            assert page.ask("document.documentElement.scrollWidth") <= width
            assert page.ask("document.scripts.length") == 0
            heights = "[...document.querySelectorAll('#gallery blockquote')].map(q => q.getBoundingClientRect().height)"
            assert page.ask(f"Math.max(...{heights})") <= 300
            scrolling = (
                "[...document.querySelectorAll('#gallery blockquote')].filter(q => q.scrollHeight > q.clientHeight)"
            )
            assert page.ask(f"{scrolling}.length") >= 2
            assert page.ask(f"{scrolling}.every(q => q.tabIndex === 0)")
        assert page.complaints == []
