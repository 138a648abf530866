"""Marked words of the disagreement browser: in pieces that add up to the text, and nothing that breaks out of them."""

from __future__ import annotations

import numpy as np
import pytest

from stillhouse.reporting.folder import Gallery
from stillhouse.reporting.word_marks import marked

TEXT = "oak <b>cask</b> and rye"


def gallery(spans: object, effects: object, text: str = TEXT) -> Gallery:
    arrays = {"teacher": np.array(spans)}, {"teacher": np.array(effects)}
    return Gallery(np.arange(1), np.array([text]), (), *arrays)


def test_pieces_add_up_to_the_text_and_say_whose_words_they_are() -> None:
    both = Gallery(
        np.arange(1),
        np.array([TEXT]),
        spans={"teacher": np.array([[[4, 15], [-1, -1]]]), "student": np.array([[[0, 3], [4, 15]]])},
        effects={"teacher": np.array([[1.25, 0.0]]), "student": np.array([[-0.5, 0.002]])},
    )
    told = marked(both, 0, TEXT)
    assert "".join(piece["text"] for piece in told["pieces"]) == TEXT
    assert {p["text"]: p["who"] for p in told["pieces"] if p["who"]} == {"oak": "S−", "<b>cask</b>": "T+ S+"}
    assert told["hangs"] == [
        {"name": "teacher", "words": [("<b>cask</b>", "+1.2")]},
        {"name": "student", "words": [("oak", "−0.5"), ("<b>cask</b>", "+0.002")]},
    ]


@pytest.mark.parametrize(
    ("spans", "effects"),
    [
        ([[[5, 900], [-7, 3]]], [[1.0, 1.0]]),  # outside of the text
        ([[[0, 3], [4, 8]]], [[np.nan, np.inf]]),
        ([[[0, 3, 9]]], [[1.0]]),
        ([[[0, 3]]], [[1.0], [2.0]]),
    ],
)
def test_spans_that_fit_no_text_mark_nothing(spans: object, effects: object) -> None:
    assert marked(gallery(spans, effects), 0, TEXT) == {"pieces": [], "hangs": []}


def test_words_that_overlap_are_marked_once() -> None:
    told = marked(gallery([[[0, 3], [0, 15], [2, 8]]], [[1.0, 1.0, 1.0]]), 0, TEXT)
    assert "".join(piece["text"] for piece in told["pieces"]) == TEXT
