"""Columns of real tables: truth values, identifiers and categories in the forms that people write."""

from __future__ import annotations

import uuid
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stillhouse.data import encoder_from_state, fit_encoder
from stillhouse.data.columns import find_form
from stillhouse.errors import RejectedError
from tests.data.columns import DAYS, LABEL, NUMBERS, RNG, ROWS, cells_of, encoder_of, fitted_on
from tests.data.reading import from_torch, read

SPELLINGS = [
    ("True", "False"),
    ("true", "false"),
    ("TRUE", "FALSE"),
    ("yes", "no"),
    ("Y", "N"),
    ("t", "f"),
    ("on", "off"),
]


@pytest.mark.parametrize("trained", [*SPELLINGS, (True, False)])
def test_truth_values_are_one_in_every_spelling(tmp_path: Path, trained: tuple[Any, Any]) -> None:
    flags = np.arange(ROWS) % 3 == 0
    table = pd.DataFrame({"flag": [trained[0] if flag else trained[1] for flag in flags], "label": LABEL})
    table.to_csv(tmp_path / "t.csv", index=False)
    encoder = encoder_of(tmp_path / "t.csv")
    wanted = encoder.encode(pd.DataFrame({"flag": flags[:6]}))
    assert wanted[:, :2].sum() == 6  # none is an unseen category
    for spelling in [*SPELLINGS, ("1", "0"), (1, 0), (1.0, 0.0)]:
        assert encoder.encode(
            pd.DataFrame({"flag": [spelling[0] if flag else spelling[1] for flag in flags[:6]]})
        ).equal(wanted), spelling


def test_zeros_and_ones_take_truth_values_later(tmp_path: Path) -> None:
    flags = np.arange(ROWS) % 3 == 0
    pd.DataFrame({"flag": flags.astype(int), "label": LABEL}).to_csv(tmp_path / "t.csv", index=False)
    encoder = encoder_of(tmp_path / "t.csv")
    wanted = encoder.encode(pd.DataFrame({"flag": flags[:6].astype(float)}))
    for spelling in [*SPELLINGS, (True, False)]:
        assert encoder.encode(
            pd.DataFrame({"flag": [spelling[0] if flag else spelling[1] for flag in flags[:6]]})
        ).equal(wanted), spelling


def test_mixed_spellings_are_two_categories_and_own_words_are_kept() -> None:
    assert sorted(set(cells_of(["yes", "Yes", "no", "NO"] * 60))) == ["False", "True"]
    assert sorted(set(cells_of(["Yes", "No"] * 120))) == ["No", "Yes"]
    assert sorted(set(cells_of(["Yes", "No", "Maybe"] * 80))) == ["Maybe", "No", "Yes"]


IDENTIFIERS: dict[str, Any] = {
    "uuid": lambda i: str(uuid.UUID(int=i * 7919**9 % 2**128)),
    "hex": lambda i: f"{i * 7919**9 % 2**64:016x}",
    "e-mail": lambda i: f"{i}.person@example.org",
    "19 digits": lambda i: str(10**18 + 7919 * i),
    "code": lambda i: f"P{i:05d}",
    "tag": lambda i: f"c{i}",
}


@pytest.mark.parametrize("form", list(IDENTIFIERS))
@pytest.mark.parametrize("rows", [ROWS, 30])
def test_an_identifier_is_left_out(tmp_path: Path, form: str, rows: int) -> None:
    table = pd.DataFrame({"x": [IDENTIFIERS[form](i) for i in range(rows)], "y": 1.5, "label": LABEL[:rows]})
    table.loc[0, "y"] = 2
    table.to_csv(tmp_path / "t.csv", index=False)
    source = read(path=tmp_path / "t.csv", target="label")
    assert source.identifiers == ("x",)
    encoder = fit_encoder(source, np.arange(rows))
    assert encoder.names == ("y",)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encoder.encode(table).shape == (rows, 1)
    kept = read(path=tmp_path / "t.csv", target="label", types={"x": "categorical"})
    assert kept.identifiers == ()


@pytest.mark.parametrize("values", [np.arange(ROWS) + 10**18, np.arange(ROWS).astype(np.uint64) + 2**63])
def test_whole_numbers_of_19_digits_are_identifiers(values: Any) -> None:
    assert find_form(pd.Series(values), "x").identifier
    assert find_form(pd.Series(values.astype(object)), "x").identifier


def test_whole_numbers_that_name_rows_are_told_by_the_columns_name() -> None:
    order = pd.Series(np.random.default_rng(0).permutation(ROWS) + 1)
    for name in ("id", "ID", "customer_id", "PassengerId", "order id", "row-key"):
        assert find_form(order, name).identifier, name
        assert find_form(order.astype(str), name).identifier, name
    for name in ("paid", "grid", "age", "valid", "x", "turkey"):
        assert not find_form(order, name).identifier, name
        assert not find_form(order.astype(str), name).identifier, name
    assert not find_form(order % 50, "shop_id").identifier
    assert not find_form((order % 50).astype(str), "shop_id").identifier


@pytest.mark.parametrize("first", [0, 1, 100])
@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_the_row_numbers_that_programs_write_are_no_input(tmp_path: Path, first: int, order: str) -> None:
    table = pd.DataFrame({"a": NUMBERS, "label": LABEL}, index=np.arange(ROWS) + first)
    table = table if order == "sorted" else table.sample(frac=1, random_state=0)[:200]
    table.to_csv(tmp_path / "t.csv")
    source = read(path=tmp_path / "t.csv", target="label")
    assert list(source.raw.columns) == ["a"]  # type: ignore[union-attr]
    table.reset_index(drop=True).set_index(pd.Index([f"{i % 7}" for i in range(len(table))])).to_csv(tmp_path / "t.csv")
    kept = read(path=tmp_path / "t.csv", target="label")
    assert list(kept.raw.columns) == ["", "a"]  # type: ignore[union-attr]


def test_a_text_for_each_row_that_is_no_identifier_is_refused_with_the_cure() -> None:
    texts = [f"Mrs. {chr(65 + i % 26)}. Number {i}" for i in range(ROWS)]
    with pytest.raises(RejectedError, match=r'240 different texts in 240 rows.*drop = \["x"\].*categorical'):
        cells_of(texts)
    for unread in ("{}..{}", "{0}. Mai 19{1:02d}", "{}/{}/7/3"):
        with pytest.raises(RejectedError, match="no numbers or dates in a form that is known"):
            cells_of([unread.format(1 + i % 28, i) for i in range(ROWS)])


def test_categories_that_repeat_stay_categories() -> None:
    assert cells_of([f"city {i % 100}" for i in range(ROWS)])[0] == "city 0"
    few = cells_of(["12A", "7C", "3"] * 80)
    assert sorted(set(few)) == ["12A", "3", "7C"]


def test_a_pandas_category_of_numbers_is_a_category() -> None:
    values = pd.Series(pd.Categorical(np.arange(ROWS) % 5))
    found = find_form(values, "x").form
    assert sorted(set(found.read(values, "x"))) == ["0", "1", "2", "3", "4"]


def test_constant_columns_do_no_harm(tmp_path: Path) -> None:
    table = pd.DataFrame({"one": 3.5, "word": "a", "day": "2024-05-31", "none": None, "x": NUMBERS, "label": LABEL})
    table.to_csv(tmp_path / "t.csv", index=False)
    source = read(path=tmp_path / "t.csv", target="label")
    encoder = fit_encoder(source, np.arange(ROWS))
    encoded = encoder.encode(table)
    assert encoded.isfinite().all()
    assert {name: kind for name, kind in encoder.types.items() if kind == "constant"} == dict.fromkeys(
        ["one", "day"], "constant"
    )
    varied = encoder.encode(table.assign(one=9.0, day="1999-01-01"))
    assert varied.equal(encoded)


def test_huge_numbers_neither_overflow_nor_pass_silently(tmp_path: Path) -> None:
    cells = NUMBERS.copy()
    cells[5] = 1e200
    encoder = fitted_on(pd.DataFrame({"x": cells, "y": NUMBERS}))
    assert encoder.encode(pd.DataFrame({"x": cells, "y": NUMBERS})).isfinite().all()
    with pytest.raises(RejectedError, match=r"'y': row 1 .*too far .*1e\+200"):
        encoder.encode(pd.DataFrame({"x": [1.0, 1.0], "y": [1.0, 1e200]}))


def test_unknown_columns_are_ignored_with_one_line_and_missing_ones_refused() -> None:
    encoder = fitted_on(pd.DataFrame({"x": NUMBERS, "colour": ["red", "blue"] * 120}))
    rows = pd.DataFrame({"x": [1.0], "colour": ["red"]})
    with pytest.warns(UserWarning, match="not trained on the columns 'extra'; they are ignored") as caught:
        found = encoder.encode(rows.assign(extra=3))
    assert len(caught) == 1
    assert found.equal(encoder.encode(rows))
    with pytest.raises(RejectedError, match=r"lack 'colour'.*Did you mean 'colour'\?"):
        encoder.encode(rows.rename(columns={"colour": "color"}))
    twice = pd.concat([rows, rows[["x"]]], axis=1)
    with pytest.raises(RejectedError, match="two columns of the name 'x'"):
        encoder.encode(twice)


def test_two_columns_of_one_name_are_refused_by_name() -> None:
    frame = pd.DataFrame(RNG.normal(size=(20, 3)), columns=["a", "b", "a"])
    with pytest.raises(RejectedError, match="more than one column of the name 'a'"):
        fitted_on(frame)
    with pytest.raises(RejectedError, match="more than one column of the name '1'"):
        fitted_on(frame.set_axis([1, "b", "1"], axis="columns"))


def test_columns_of_two_levels_are_columns() -> None:
    frame = pd.DataFrame(RNG.normal(size=(20, 2)), columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    assert fitted_on(frame).encode(frame).shape == (20, 2)


def test_a_state_of_version_1_is_read() -> None:
    state = {
        "kind": "table",
        "columns": [
            {
                "type": "numeric",
                "name": "x",
                "median": 1.0,
                "scale": {"mean": [1.0], "factor": [2.0]},
                "indicator": True,
            },
            {"type": "categorical", "name": "c", "categories": ["False", "True"]},
        ],
        "ignored": ["label"],
        "header": True,
    }
    encoded = encoder_from_state(state).encode(pd.DataFrame({"c": [True, None], "x": [2, None]}))
    assert encoded.tolist() == [[2.0, 0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]]


@pytest.mark.parametrize("place", ["csv", "parquet", "python", "on disk"])
def test_every_way_in_reads_the_same_columns(tmp_path: Path, place: str) -> None:
    table = pd.DataFrame(
        {
            "price": [f"{x:,.2f}" for x in NUMBERS],
            "when": DAYS,
            "flag": np.arange(ROWS) % 3 == 0,
            "took": pd.to_timedelta(np.arange(ROWS) * 61, "s"),
            "id": [IDENTIFIERS["uuid"](i) for i in range(ROWS)],
            "label": LABEL,
        }
    )
    if place == "python":
        parts = [(part.drop(columns="label"), part["label"]) for part in (table[:200], table[200:])]
        source, _ = from_torch(parts[0], None, parts[1])
        rows: Any = source.take(np.arange(ROWS))
    else:
        writer = table.to_parquet if place == "parquet" else table.to_csv
        path = tmp_path / ("t.parquet" if place == "parquet" else "t.csv")
        writer(path, index=False)
        source = read(path=path, target="label", on_disk=tmp_path / "rows" if place == "on disk" else None)
        rows = source.take(np.arange(ROWS))
    np.testing.assert_allclose(rows["price"], NUMBERS)
    np.testing.assert_array_equal(rows["when"], DAYS.to_numpy("datetime64[us]"))
    np.testing.assert_allclose(rows["took"], np.arange(ROWS) * 61)
    assert rows["flag"].tolist() == [str(i % 3 == 0) for i in range(ROWS)]
    assert source.identifiers == ("id",)
    encoder = fit_encoder(source, np.arange(ROWS))
    assert encoder.encode(table).equal(encoder.encode(rows))


def test_codes_with_leading_zeros_are_met_by_the_numbers_that_pandas_reads(tmp_path: Path) -> None:
    table = pd.DataFrame({"zip": np.array(["01234", "94110", "00501"])[np.arange(ROWS) % 3], "label": LABEL})
    table.to_csv(tmp_path / "t.csv", index=False)
    encoder = encoder_of(tmp_path / "t.csv")
    wanted = encoder.encode(table[["zip"]])
    assert encoder.encode(pd.read_csv(tmp_path / "t.csv")[["zip"]]).equal(wanted)
    assert encoder.encode(pd.DataFrame({"zip": table["zip"].astype(float)})).equal(wanted)
    assert not encoder.encode(pd.DataFrame({"zip": ["1234"]})).equal(wanted[:1])  # text is taken as it is


def test_a_column_of_unseen_categories_is_told() -> None:
    encoder = fitted_on(pd.DataFrame({"colour": ["red", "blue"] * 120, "x": NUMBERS}))
    rows = pd.DataFrame({"colour": ["Red", "BLUE", "RED", None], "x": NUMBERS[:4]})
    with pytest.warns(UserWarning, match=r"'colour': no row holds a category of the training rows.*'blue'.*'Red'"):
        encoder.encode(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.encode(rows.assign(colour=["Red", "red", "GREEN", "black"]))
        encoder.encode(rows[:2])
