"""Columns of real tables: numbers, dates, durations, truth values and identifiers in the forms that people write."""

from __future__ import annotations

import datetime as dt
import json
import uuid
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data import Encoder, encoder_from_state, fit_encoder, read_inputs
from stillhouse.data.columns import find_form
from stillhouse.errors import RejectedError
from tests.data.reading import from_torch, read

ROWS = 240
RNG = np.random.default_rng(5)
LABEL = ["ab"[i % 2] for i in range(ROWS)]
NUMBERS = np.round(RNG.gamma(2.0, 900.0, ROWS) + 1, 2)
DAYS = pd.Timestamp("2021-03-05") + pd.to_timedelta(RNG.integers(0, 900, ROWS), "D")
MOMENTS = DAYS + pd.to_timedelta(RNG.integers(0, 86_400, ROWS), "s")


def cells_of(values: Any, types: dict[str, Any] | None = None) -> np.ndarray:
    """The cells of a column as an encoder gets them, from a CSV."""
    return raw_of(values, types)["x"].to_numpy()


def raw_of(values: Any, types: dict[str, Any] | None = None) -> pd.DataFrame:
    frame = pd.DataFrame({"x": values, "other": np.arange(len(values)) % 7, "label": LABEL[: len(values)]})
    path = Path(str(FOLDER)) / "t.csv"
    frame.to_csv(path, index=False)
    raw = read(path=path, target="label", types=types or {}).raw
    assert isinstance(raw, pd.DataFrame)
    return raw


FOLDER: Path


@pytest.fixture(autouse=True, scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("columns")


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


def encoder_of(path: Path, **settings: Any) -> Encoder:
    """Fitted on a table, saved and read again."""
    source = read(path=path, target="label", **settings)
    fitted = fit_encoder(source, np.arange(len(source)))
    again = encoder_from_state(json.loads(json.dumps(fitted.state())))
    assert again == fitted
    return again


DATE_FORMS = {
    "iso": "%Y-%m-%d",
    "slashes": "%Y/%m/%d",
    "day first": "%d/%m/%Y",
    "month first": "%m/%d/%Y",
    "dots": "%d.%m.%Y",
    "short dots": "%d.%m.%y",
    "dashes": "%d-%m-%Y",
    "named": "%d %b %Y",
    "full name": "%B %d, %Y",
    "dashed name": "%d-%b-%y",
    "compact": "%Y%m%d",
}
TIME_FORMS = {
    "iso": "%Y-%m-%d %H:%M:%S",
    "T": "%Y-%m-%dT%H:%M:%S",
    "Z": "%Y-%m-%dT%H:%M:%SZ",
    "half day": "%m/%d/%Y %I:%M:%S %p",
    "german": "%d.%m.%Y %H:%M:%S",
    "mail": "%a, %d %b %Y %H:%M:%S GMT",
}


@pytest.mark.parametrize("form", list(DATE_FORMS))
def test_dates_in_a_common_form_are_dates(form: str) -> None:
    np.testing.assert_array_equal(cells_of(DAYS.strftime(DATE_FORMS[form])), DAYS.to_numpy("datetime64[us]"))


@pytest.mark.parametrize("form", list(TIME_FORMS))
def test_dates_with_times_are_dates(form: str) -> None:
    np.testing.assert_array_equal(cells_of(MOMENTS.strftime(TIME_FORMS[form])), MOMENTS.to_numpy("datetime64[us]"))


TYPED: dict[str, Any] = {
    "datetime64": pd.Series(MOMENTS),
    "seconds": pd.Series(MOMENTS).astype("datetime64[s]"),
    "zone": pd.Series(MOMENTS).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
    "objects": pd.Series(list(MOMENTS.to_pydatetime()), dtype=object),
    "arrow": pd.Series(MOMENTS).astype("timestamp[us][pyarrow]"),
    "text": pd.Series(MOMENTS).astype(str).astype(object),
    "string": pd.Series(MOMENTS).astype("string"),
}


@pytest.mark.parametrize("kind", list(TYPED))
def test_dates_of_every_type_are_the_same_dates(kind: str) -> None:
    found = find_form(TYPED[kind], "x").form
    np.testing.assert_array_equal(found.read(TYPED[kind], "x"), MOMENTS.to_numpy("datetime64[us]"))


def test_dates_become_parts_that_vary_in_training_and_gaps_are_kept(tmp_path: Path) -> None:
    table = pd.DataFrame({"when": MOMENTS, "label": LABEL})
    table.loc[3, "when"] = pd.NaT
    table.to_parquet(tmp_path / "t.parquet")
    source = read(path=tmp_path / "t.parquet", target="label")
    train = np.arange(0, ROWS, 2)
    encoder = fit_encoder(source, np.append(train, 3))
    assert encoder.types == {"when": "date: days, year, month, weekday, hour"}
    readable = encoder.readable(source.take(np.arange(ROWS)))
    assert readable is not None
    assert readable.names == ("when (days)", "when (year)", "when (month)", "when (weekday)", "when (hour)")
    known = np.delete(np.arange(ROWS), 3)
    hours = MOMENTS.hour + MOMENTS.minute / 60 + MOMENTS.second / 3600
    start = MOMENTS[np.append(train, 3)[:-1]].min()
    days = (MOMENTS - start) / pd.Timedelta(days=1)
    parts: list[Any] = [days, MOMENTS.year, MOMENTS.month, MOMENTS.dayofweek + 1, hours]
    for column, part in zip(readable.values.T, parts, strict=True):
        np.testing.assert_allclose(column[known], part.to_numpy(float)[known], rtol=1e-5, atol=1e-4)
    encoded = encoder.encode(source.raw)
    assert encoded.shape == (ROWS, 6)
    assert encoded[:, 1].nonzero().flatten().tolist() == [3]
    scaled = encoded[train][:, 3]  # the month, fitted on training rows alone
    np.testing.assert_allclose(scaled, (MOMENTS.month[train] - MOMENTS.month[train].to_numpy().mean()) / 1, atol=9)
    assert abs(float(encoded[np.append(train, 3)][:, 3].mean())) < 1e-5
    decoded: Any = encoder.decode(encoded)
    difference = (decoded["when"] - table["when"]).abs().max()
    assert difference < pd.Timedelta(seconds=5)
    np.testing.assert_allclose(encoder.encode(decoded), encoded, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.datetimes(dt.datetime(1800, 1, 1), dt.datetime(2200, 1, 1)), min_size=3, max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_encoded_dates_decode_to_rows_that_encode_alike(moments: list[dt.datetime], days: bool, gap: bool) -> None:
    cells = [moment.date() if days else moment for moment in moments] + [None] * gap
    frame = pd.DataFrame({"when": pd.Series(cells, dtype=object)})
    encoder = fitted_on(frame)
    encoded = encoder.encode(frame)
    assert encoded.isfinite().all()
    np.testing.assert_allclose(encoder.encode(encoder.decode(encoded)), encoded, atol=2e-3)
    again = encoder_from_state(json.loads(json.dumps(encoder.state())))
    assert again.encode(frame).equal(encoded)


def fitted_on(frame: pd.DataFrame) -> Encoder:
    source, split = from_torch((frame, np.arange(len(frame)) % 2), None, (frame, np.arange(len(frame)) % 2))
    return fit_encoder(source, split.train)


def test_new_rows_may_write_the_dates_in_another_clear_form(tmp_path: Path) -> None:
    pd.DataFrame({"when": DAYS.strftime("%d/%m/%Y"), "label": LABEL}).to_csv(tmp_path / "t.csv", index=False)
    encoder = encoder_of(tmp_path / "t.csv")
    wanted = encoder.encode(pd.DataFrame({"when": [pd.Timestamp("2022-06-05")]}))
    for cell in ("05/06/2022", "5/6/22", "2022-06-05", "5 June 2022", dt.date(2022, 6, 5), dt.datetime(2022, 6, 5)):
        assert encoder.encode(pd.DataFrame({"when": [cell]})).equal(wanted), cell
    with pytest.raises(RejectedError, match=r"row 0 .*hold no date: 'soon'"):
        encoder.encode(pd.DataFrame({"when": ["soon"]}))


def test_dates_whose_day_and_month_may_be_exchanged_are_refused_and_either_cure_works() -> None:
    cells = [f"{1 + i % 12:02d}/{1 + i % 11:02d}/2024" for i in range(ROWS)]
    with pytest.raises(RejectedError, match=r'types = \{"x" = "day_first"\}, or "month_first"'):
        cells_of(cells)
    day, month = cells_of(cells, {"x": "day_first"}), cells_of(cells, {"x": "month_first"})
    assert str(day[1])[:10] == "2024-02-02"
    assert str(day[12])[:10] == "2024-02-01"
    assert str(month[12])[:10] == "2024-01-02"
    mixed = [f"{1 + i % 31}/{1 + i % 12}/2024" if i % 2 else f"{1 + i % 12}/{1 + i % 31}/2024" for i in range(ROWS)]
    with pytest.raises(RejectedError, match="comes first in some and second in others"):
        cells_of(mixed)


def test_a_word_among_dates_is_named(tmp_path: Path) -> None:
    cells = pd.Series(DAYS.strftime("%Y-%m-%d"))
    cells[17] = "soon"
    with pytest.raises(RejectedError, match=r"holds dates, but not in row 17 .*'soon'.*categorical"):
        cells_of(cells)


DURATIONS: dict[str, Any] = {
    "timedelta": lambda s: pd.Timedelta(seconds=s),
    "python": lambda s: dt.timedelta(seconds=s),
    "pandas text": lambda s: str(pd.Timedelta(seconds=s)),
    "python text": lambda s: str(dt.timedelta(seconds=s)),
    "clock": lambda s: f"{s // 3600}:{s // 60 % 60:02d}:{s % 60:02d}",
    "iso": lambda s: f"PT{s // 3600}H{s // 60 % 60}M{s % 60}S",
    "words": lambda s: f"{s // 3600}h {s // 60 % 60}min {s % 60}s",
}


@pytest.mark.parametrize("form", list(DURATIONS))
def test_durations_are_seconds(form: str) -> None:
    seconds = RNG.integers(0, 400_000, 60).tolist()
    values = pd.Series([DURATIONS[form](s) for s in seconds])
    found = find_form(values, "x").form
    assert found.kind == "duration"
    np.testing.assert_allclose(found.read(values, "x"), seconds)


def test_times_of_day_are_numbers() -> None:
    np.testing.assert_allclose(cells_of([f"{i % 24:02d}:{i % 60:02d}" for i in range(ROWS)])[:3], [0, 3660, 7320])


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
    for name in ("paid", "grid", "age", "valid", "x", "turkey"):
        assert not find_form(order, name).identifier, name
    assert not find_form(order % 50, "shop_id").identifier


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
    with pytest.raises(RejectedError, match=r"lack 'colour'.*Did you mean 'color'"):
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
