"""Dates, times and durations in the forms that people and programs write."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data import encoder_from_state, fit_encoder
from stillhouse.data.columns import find_form
from stillhouse.errors import RejectedError
from tests.data.columns import DAYS, LABEL, MOMENTS, RNG, ROWS, cells_of, encoder_of, fitted_on
from tests.data.reading import read

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


LANGUAGES = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "de short": "Jan. Feb. Mär. Apr. Mai Jun. Jul. Aug. Sep. Okt. Nov. Dez.",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "fr short": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "nl short": "jan. feb. mrt. apr. mei jun. jul. aug. sep. okt. nov. dec.",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "tr": "OCAK ŞUBAT MART NİSAN MAYIS HAZİRAN TEMMUZ AĞUSTOS EYLÜL EKİM KASIM ARALIK",
}
WRITTEN = ("{day} {month} {year}", "{day}. {month} {year}", "{day}-{month}-{year}", "{day} de {month} de {year}")


@pytest.mark.parametrize("language", list(LANGUAGES))
@pytest.mark.parametrize("form", WRITTEN)
def test_months_are_named_in_several_languages(language: str, form: str) -> None:
    names = LANGUAGES[language].split()
    cells = [form.format(day=day.day, month=names[day.month - 1], year=day.year) for day in DAYS]
    np.testing.assert_array_equal(cells_of(cells), DAYS.to_numpy("datetime64[us]"))


@pytest.mark.parametrize("form", ["{0.year}年{0.month}月{0.day}日", "{0.year}년 {0.month}월 {0.day}일"])
def test_dates_with_the_signs_of_year_month_and_day(form: str) -> None:
    np.testing.assert_array_equal(cells_of([form.format(day) for day in DAYS]), DAYS.to_numpy("datetime64[us]"))


@pytest.mark.parametrize(
    ("form", "unit"), [("{0.year}-Q{0.quarter}", "Q"), ("Q{0.quarter} {0.year}", "Q"), ("{1[0]}-W{1[1]:02d}", "W")]
)
def test_quarters_and_weeks_are_their_first_day(form: str, unit: str) -> None:
    cells = cells_of([form.format(day, day.isocalendar()) for day in DAYS])
    np.testing.assert_array_equal(cells, DAYS.to_period(unit).start_time.to_numpy("datetime64[us]"))


@pytest.mark.parametrize("rows", [60, ROWS])
def test_months_of_an_unknown_language_are_never_categories_unless_the_user_says_so(rows: int) -> None:
    finnish = ["tammikuuta", "helmikuuta", "maaliskuuta", "huhtikuuta", "toukokuuta", "kesäkuuta"]
    cells = [f"{1 + i % 28}. {finnish[i % 6]} {2020 + i % 2}" for i in range(rows)] * 4
    values = pd.Series(cells, dtype=object)
    with pytest.raises(RejectedError, match=r"dates such as '1\. tammikuuta 2020'.*language.*2024-05-31.*categorical"):
        find_form(values, "x")
    assert find_form(values, "x", "categorical").form.kind == "category"


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
    "glued words": lambda s: f"{s // 3600}h{s // 60 % 60}m{s % 60}s",
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
