"""Numbers in the forms that people write: marks of decimals and thousands, signs, currencies and units."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data import read_inputs
from stillhouse.data.columns import find_form
from stillhouse.errors import RejectedError
from tests.data.columns import LABEL, NUMBERS, ROWS, cells_of, encoder_of
from tests.data.reading import read


def comma(text: str) -> str:
    """A number in English form as a German one."""
    return text.translate(str.maketrans(",.", ".,"))


NUMBER_FORMS: dict[str, Any] = {
    "decimal comma": lambda x: f"{x:.2f}".replace(".", ","),
    "four decimals": lambda x: f"{x:.4f}".replace(".", ","),
    "thousands": lambda x: f"{x:,.2f}",
    "german": lambda x: comma(f"{x:,.2f}"),
    "swiss": lambda x: f"{x:,.2f}".replace(",", "'"),
    "french": lambda x: f"{x:,.2f}".replace(",", "\u202f").replace(".", ","),
    "spaced": lambda x: f"{x:,.2f}".replace(",", " "),
    "percent": lambda x: f"{x:.2f}%",
    "spaced percent": lambda x: f"{x:.2f} %",
    "dollars": lambda x: f"${x:,.2f}",
    "euros": lambda x: f"{comma(f'{x:,.2f}')} €",
    "code": lambda x: f"CHF {x:.2f}",
    "kilograms": lambda x: f"{x:.2f} kg",
    "plus": lambda x: f"+{x:.2f}",
    "exponent": lambda x: f"{x:.6e}",
    "plain": lambda x: f"{x:.2f}",
}


@pytest.mark.parametrize("form", list(NUMBER_FORMS))
def test_numbers_in_a_common_form_are_numbers(form: str) -> None:
    np.testing.assert_allclose(cells_of([NUMBER_FORMS[form](x) for x in NUMBERS]), NUMBERS, rtol=1e-6)


@pytest.mark.parametrize("minus", ["-", "\u2212", "\u2013"])
@pytest.mark.parametrize("form", ["decimal comma", "thousands", "percent", "plain", "euros"])
def test_negative_numbers_keep_their_sign(form: str, minus: str) -> None:
    cells = [NUMBER_FORMS[form](x) if i % 2 else minus + NUMBER_FORMS[form](x) for i, x in enumerate(NUMBERS)]
    np.testing.assert_allclose(cells_of(cells), np.where(np.arange(ROWS) % 2, NUMBERS, -NUMBERS))


def test_brackets_are_a_sign_in_accounts() -> None:
    cells = [f"${x:,.2f}" if i % 2 else f"(${x:,.2f})" for i, x in enumerate(NUMBERS)]
    np.testing.assert_allclose(cells_of(cells), np.where(np.arange(ROWS) % 2, NUMBERS, -NUMBERS))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.decimals(-(10**7), 10**7, places=2), min_size=5, max_size=40, unique=True).filter(
        lambda numbers: any(abs(x) % 1 for x in numbers)
    ),
    st.sampled_from(sorted(NUMBER_FORMS)),
)
def test_any_numbers_in_any_form_are_read_as_they_are(numbers: list[Decimal], form: str) -> None:
    cells = [NUMBER_FORMS[form](float(x)) if form != "plus" else f"{float(x):+.2f}" for x in numbers]
    values = pd.Series([cell.replace("$-", "-$") for cell in cells], dtype=object)
    read_as = find_form(values, "x").form.read(values, "x")
    np.testing.assert_allclose(read_as, [float(x) for x in numbers], rtol=1e-6)


def test_thousands_alone_are_ambiguous_and_either_cure_works() -> None:
    cells = [f"{1000 + 37 * i:,}" for i in range(ROWS)]
    with pytest.raises(RejectedError, match=r'types = \{"x" = "decimal_comma"\}, or "decimal_point"'):
        cells_of(cells)
    whole = 1000 + 37 * np.arange(ROWS)
    np.testing.assert_allclose(cells_of(cells, {"x": "decimal_point"}), whole)
    np.testing.assert_allclose(cells_of(cells, {"x": "decimal_comma"}), whole / 1000)
    np.testing.assert_allclose(cells_of([f"{20 + 37 * i:,}" for i in range(ROWS)]), 20 + 37 * np.arange(ROWS))


def test_another_column_decides_what_a_comma_means(tmp_path: Path) -> None:
    cells = [f"{1000 + 37 * i:,}" for i in range(40)]
    for other, factor in (("0,5", 1000), ("0.5", 1)):
        table = pd.DataFrame({"x": cells, "y": [other, "2"] * 20, "label": LABEL[:40]})
        table.to_csv(tmp_path / "t.csv", index=False)
        raw: Any = read(path=tmp_path / "t.csv", target="label").raw
        np.testing.assert_allclose(raw["x"], (1000 + 37 * np.arange(40)) / factor)
        assert list(raw.columns) == ["x", "y"]


def test_numbers_in_two_forms_or_units_are_refused() -> None:
    with pytest.raises(RejectedError, match="decimal point and numbers with a decimal comma"):
        cells_of([f"{x:.2f}" if i % 2 else f"{x:.2f}".replace(".", ",") for i, x in enumerate(NUMBERS)])
    with pytest.raises(RejectedError, match=r"without a unit and in '%'.*categorical"):
        cells_of([f"{x:.2f}" if i % 2 else f"{x:.2f}%" for i, x in enumerate(NUMBERS)])


def test_what_was_learned_of_numbers_holds_for_new_rows(tmp_path: Path) -> None:
    table = pd.DataFrame({"p": [f"{x:,.2f} €".translate(str.maketrans(",.", ".,")) for x in NUMBERS], "label": LABEL})
    table.to_csv(tmp_path / "t.csv", index=False)
    encoder = encoder_of(tmp_path / "t.csv")
    new = pd.DataFrame({"p": ["1.234 €", "1.234,00", "1234"]})
    (tmp_path / "new.csv").write_text(new.to_csv(index=False))
    wanted = encoder.encode(pd.DataFrame({"p": [1234.0] * 3}))
    for rows in (new, read_inputs(tmp_path / "new.csv", encoder).rows, pd.DataFrame({"p": [1234] * 3})):
        assert encoder.encode(rows).equal(wanted)
    with pytest.raises(RejectedError, match=r"row 1 .*hold no number: '5 \$'"):
        encoder.encode(pd.DataFrame({"p": ["5 €", "5 $"]}))


@pytest.mark.parametrize("mark", ["n/a", "NA", "", "#N/A", "NULL", "-NaN", "?"])
@pytest.mark.parametrize("share", [2, 9])
def test_marks_of_empty_cells_are_gaps(mark: str, share: int) -> None:
    cells = [mark if i % share == 0 else f"{x:.2f}" for i, x in enumerate(NUMBERS)]
    wanted = np.where(np.arange(ROWS) % share == 0, np.nan, NUMBERS)
    np.testing.assert_allclose(cells_of(cells), wanted)


@pytest.mark.parametrize("mark", ["-", "unknown", "\u2014", ".", "not measured"])
@pytest.mark.parametrize("rows", [ROWS, 10 * ROWS])
def test_a_word_in_many_cells_of_a_column_of_numbers_is_named_and_the_cure_works(mark: str, rows: int) -> None:
    cells = [mark if i % 4 == 0 else f"{i % 150 + 0.25}" for i in range(rows)]
    values = pd.Series(cells, dtype=object)
    with pytest.raises(RejectedError, match=rf"holds numbers, but not in rows 0, 4, .*'{re.escape(mark)}'.*empty"):
        find_form(values, "x")
    emptied = values.where(values != mark, "")
    found = find_form(emptied, "x").form.read(emptied, "x")
    assert np.isnan(found).sum() == rows / 4
    assert find_form(values, "x", "categorical").form.kind == "category"
