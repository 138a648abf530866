"""Columns that divide, order or weigh the rows: they are read from real tables and are no inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stillhouse import tasks
from stillhouse.data import Prepared
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.setup.rows import Read, read_rows
from stillhouse.recipe import parse

ROWS = 120
RNG = np.random.default_rng(3)
DAYS = pd.Timestamp("2022-01-01") + pd.to_timedelta(RNG.permutation(ROWS), "D")


def table(**more: Any) -> pd.DataFrame:
    columns = {"x": RNG.normal(size=ROWS), "y": np.where(np.arange(ROWS) % 2, "a", "b")}
    return pd.DataFrame(columns | more)


def prepared(path: Path, **settings: Any) -> Read:
    recipe = parse({"data": {"path": str(path), "target": "y", **settings}}, "the test")
    return read_rows(recipe, None, tasks.get("classification"), as_is=False, cells=True, ready=False)


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d/%m/%Y", "%b %d, %Y", "parquet"])
def test_order_takes_real_dates_and_takes_them_out_of_the_inputs(tmp_path: Path, form: str) -> None:
    path = tmp_path / ("t.parquet" if form == "parquet" else "t.csv")
    if form == "parquet":
        table(when=DAYS).to_parquet(path)
    else:
        table(when=DAYS.strftime(form)).to_csv(path, index=False)
    found = prepared(path, order="when").data
    assert found.encoder.names == ("x",)
    assert found.encoder.encode(table(when="any")).shape == (ROWS, 1)
    split = found.split
    assert DAYS[split.train].max() < DAYS[split.valid].min() < DAYS[split.valid].max() < DAYS[split.test].min()


def test_weights_reach_the_rows_with_mean_1_and_are_no_input(tmp_path: Path) -> None:
    weights = RNG.integers(0, 5, ROWS)
    rows = table(w=[f"{w},5" for w in weights])
    rows.to_csv(tmp_path / "t.csv", index=False)
    found, _, fingerprint = prepared(tmp_path / "t.csv", weight="w")
    assert found.encoder.names == ("x",)
    wanted = weights + 0.5
    for part, name in ((found.train, "train"), (found.valid, "valid"), (found.test, "test")):
        positions = getattr(found.split, name)
        assert part.weights is not None
        np.testing.assert_allclose(part.weights, wanted[positions] / wanted[found.split.train].mean(), rtol=1e-6)
    assert float(found.train.weights.mean()) == pytest.approx(1)  # type: ignore[union-attr]
    rows.assign(w=weights + 1).to_csv(tmp_path / "t.csv", index=False)
    assert prepared(tmp_path / "t.csv", weight="w").fingerprint != fingerprint
    assert prepared(tmp_path / "t.csv").data.train.weights is None


@pytest.mark.parametrize("cell", [-1.0, np.nan, "heavy"])
def test_a_weight_that_is_none_is_refused_with_its_row(tmp_path: Path, cell: Any) -> None:
    weights = pd.Series(np.ones(ROWS), dtype=object)
    weights[7] = cell
    table(w=weights).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(RejectedError, match=r"'w', \[data\] weight: .*row.* at least 0"):
        prepared(tmp_path / "t.csv", weight="w")


def test_weights_that_are_all_zero_and_columns_that_are_not_there_are_refused(tmp_path: Path) -> None:
    table(w=0).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(RejectedError, match="every training row has the weight 0"):
        prepared(tmp_path / "t.csv", weight="w")
    with pytest.raises(UsageError, match="no column 'v'"):
        prepared(tmp_path / "t.csv", weight="v")


def from_python(parts: Any, **settings: Any) -> Prepared:
    recipe = parse({"data": settings}, "the test")
    return read_rows(recipe, parts, tasks.get("classification"), as_is=False, cells=True, ready=False).data


def three(frame: pd.DataFrame, order: Any = None) -> Any:
    rows = frame if order is None else frame.iloc[np.argsort(order)]
    return [(part.drop(columns="y"), part["y"]) for part in (rows[:70], rows[70:90], rows[90:])]


def test_settings_of_columns_hold_for_frames_from_python() -> None:
    frame = table(
        when=DAYS, who=np.arange(ROWS) // 10, w=np.arange(ROWS) + 1.0, leak=np.arange(ROWS) % 2, zip=np.arange(ROWS) % 7
    )
    found = from_python(three(frame), drop=["leak", "when"], types={"zip": "categorical"}, group="who", weight="w")
    assert found.encoder.names == ("x", "zip")
    assert found.encoder.types["zip"] == "categorical, 7 values"
    assert list(found.source.shown([0]).columns) == ["x", "zip"]  # type: ignore[union-attr]
    np.testing.assert_allclose(found.train.weights, np.arange(1.0, 71) / 35.5, rtol=1e-6)  # type: ignore[arg-type]
    ordered = from_python(three(frame, DAYS), drop=["leak", "who", "w"], order="when")
    assert ordered.encoder.names == ("x", "zip")
    with pytest.raises(UsageError, match=r"no column 'leek'.*'leak'"):
        from_python(three(frame), drop=["leek"])


def test_parts_that_contradict_group_or_order_are_refused() -> None:
    frame = table(when=DAYS, who=np.arange(ROWS) % 10)
    with pytest.raises(RejectedError, match=r"group = 'who': rows 0, 1.*training data.*validation data"):
        from_python(three(frame), group="who")
    with pytest.raises(RejectedError, match=r"order = 'when': .*training data are not earlier"):
        from_python(three(frame), order="when")


def test_settings_of_columns_are_refused_where_data_from_python_have_none() -> None:
    arrays = [(RNG.normal(size=(20, 2)), np.arange(20) % 2)] * 3
    with pytest.raises(UsageError, match=r"'id'.*no named columns"):
        from_python(arrays, drop=["id"])


@pytest.mark.parametrize("key", ["group", "order", "weight"])
@pytest.mark.parametrize("place", ["csv", "frame"])
def test_another_grouping_order_or_weighing_is_other_data(tmp_path: Path, key: str, place: str) -> None:
    frame = table(side=np.repeat(np.arange(12), 10))
    found = []
    for side in (frame["side"], frame["side"], frame["side"] * 2 + 1):
        rows = frame.assign(side=side)
        if place == "csv":
            rows.to_csv(tmp_path / "t.csv", index=False)
            found.append(prepared(tmp_path / "t.csv", **{key: "side"}).fingerprint)
        else:
            recipe = parse({"data": {key: "side"}}, "the test")
            read = read_rows(recipe, three(rows), tasks.get("classification"), as_is=False, ready=False)
            found.append(read.fingerprint)
    assert found[0] == found[1] != found[2]


def test_one_column_of_texts_beside_the_columns_that_divide_and_weigh_is_read_as_texts() -> None:
    words = np.array(["a cup of fresh tea", "a piece of stale bread"])[np.arange(ROWS) % 2]
    frame = table(review=words, who=np.arange(ROWS) // 10, w=np.arange(ROWS) + 1.0).drop(columns="x")
    found = from_python(three(frame), group="who", weight="w")
    assert found.encoder.text is not None
    assert (found.source.kind, found.source.column) == ("text", "review")
    np.testing.assert_allclose(found.train.weights, np.arange(1.0, 71) / 35.5, rtol=1e-6)  # type: ignore[arg-type]
    with pytest.raises(RejectedError, match=r"group = 'who': rows 0, 1.*training data.*validation data"):
        from_python(three(frame.assign(who=np.arange(ROWS) % 10)), group="who", drop=["w"])
    with pytest.raises(UsageError, match=r"no column 'whom'.*'who'"):
        from_python(three(frame), group="whom", drop=["w", "who"])
    categories = from_python(three(frame.assign(review=np.arange(ROWS) % 3).astype({"review": str})), drop=["who", "w"])
    assert categories.encoder.text is None


@pytest.mark.parametrize(
    ("form", "type_"),
    [("{0.day:02}/{0.month:02}/{0.year}", "day_first"), ("{0.month:02}/{0.day:02}/{0.year}", "month_first")],
)
def test_dates_that_can_be_read_in_two_ways_order_no_rows_until_the_user_says_how(
    tmp_path: Path, form: str, type_: str
) -> None:
    days = DAYS.map(lambda day: day.replace(day=(day.day - 1) % 12 + 1))
    table(when=[form.format(day) for day in days]).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(RejectedError, match=r"hold no number or date to order by.*day_first.*month_first"):
        prepared(tmp_path / "t.csv", order="when")
    split = prepared(tmp_path / "t.csv", order="when", types={"when": type_}).data.split
    assert days[split.train].max() < days[split.test].min()
    groups = prepared(tmp_path / "t.csv", group="when").data
    assert not set(days[groups.split.train]) & set(days[groups.split.test])
