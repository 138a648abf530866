"""Names and cells of strangers: no terminal obeys them, no spreadsheet computes them, no message is as long as they."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.errors import RejectedError
from stillhouse.plain_text import cell, json_shown, shown
from tests.faults.runs import FLAGS
from tests.shell import run

UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
NASTY = ("=cmd|' /C calc'!A0", "\x1b[2Jred\u202eder", "-1.5", "@sum(A1)", "'=twice")
FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")


def undone(text: str) -> str:
    """As docs/own-data.md says: one apostrophe is taken from a cell that has some before such a character."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


@pytest.mark.fault("D14", "cells of a CSV answer that begin with = + - @, a tab or a carriage return", exit=0)
@given(st.text(alphabet=st.sampled_from("='+-@\t\r1.5e a＝"), max_size=8) | st.text())
def test_a_marked_cell_is_no_formula_and_can_be_undone(text: str) -> None:
    marked = cell(text)
    assert undone(marked) == text
    if marked[:1] in tuple("=+-@\t\r"):
        float(marked)  # only a number may begin so
    assert cell(marked) != marked or not FORMULA.match(marked) or marked == text


@given(st.floats(allow_nan=False), st.integers())
def test_numbers_stay_numbers(number: float, whole: int) -> None:
    assert (cell(number), cell(whole), cell(f"{whole}")) == (number, whole, f"{whole}")
    assert cell(f"{number!r}") == f"{number!r}" or np.isinf(number)


@pytest.mark.fault("D14", "terminal escapes and bidirectional overrides in names, cells and a server's words", exit=0)
@given(st.text(), st.integers(20, 400))
def test_shown_text_moves_hides_and_reverses_nothing_and_is_short(text: str, longest: int) -> None:
    assert not UNSEEN.search(shown(text, longest))
    assert len(shown(text, longest)) <= 10 * (longest + 40)
    if len(text) <= longest and not UNSEEN.search(text):
        assert shown(text, longest) == text


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
    )
)
def test_json_for_a_terminal_means_the_same(table: dict[str, str]) -> None:
    text = json_shown(json.dumps(table, ensure_ascii=False))
    assert json.loads(text) == table
    assert not UNSEEN.search(text)


@pytest.mark.fault("D14", "a cell of 16 MB in a message", exit=4)
def test_a_message_about_a_large_cell_is_short_and_keeps_its_cure() -> None:
    said = str(RejectedError(f"The row 3 holds {'x' * 16_000_000!r}. Remove the row."))
    assert len(said) < 5000
    assert said.startswith("The row 3 holds")
    assert said.endswith("Remove the row.")


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run whose classes and columns have such names, and all that its command said."""
    folder = tmp_path_factory.mktemp("nasty")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    kinds = np.array(NASTY, object)[np.digitize(x[:, 0], [-0.8, -0.2, 0.3, 0.9])]
    rows = pd.DataFrame({"=a()": x[:, 0], "b\x1b]0;owned\x07": x[:, 1], "kind": kinds})
    rows.to_csv(folder / "rows.csv", index=False)
    code, out, err = run(f"distill {FLAGS} --data.path {folder / 'rows.csv'} --output.dir {folder / 'run'}")
    assert code == 0, err
    return folder, out + err


def test_nothing_that_a_run_says_moves_the_terminal(nasty: tuple[Path, str]) -> None:
    folder, said = nasty
    for command in (f"evaluate {folder / 'run'}", f"predict {folder / 'run'} {folder / 'nothing.csv'}"):
        _, out, err = run(command)
        said += out + err
    (folder / "short.csv").write_text("=a(),c\x1b[2J\n1,2\n")
    code, _, err = run(f"predict {folder / 'run'} {folder / 'short.csv'}")
    assert code == 4
    assert not UNSEEN.search(said + err)
    assert json.loads(run(f"evaluate {folder / 'run'} --json")[1])["verdict"]


def test_no_cell_of_the_answers_is_a_formula_and_each_can_be_undone(nasty: tuple[Path, str]) -> None:
    folder, _ = nasty
    assert run(f"predict {folder / 'run'} {folder / 'rows.csv'} -o {folder / 'out.csv'}")[0] == 0
    table = pd.read_csv(folder / "out.csv", dtype={"class": str}, lineterminator="\n")
    assert set(map(undone, table["class"])) <= set(NASTY)
    assert not any(FORMULA.match(name) and not name.startswith("'") for name in table["class"] if name != "-1.5")
    probabilities = table.drop(columns="class")
    assert all(kind == np.float64 for kind in probabilities.dtypes)
