"""What a ready teacher is shown of rows on disk and of views: the user's own types, or a refusal."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from stillhouse.errors import RejectedError
from stillhouse.pipeline.arguments import resolve
from stillhouse.pipeline.distill import Distillation
from tests.pipeline.frames import DAYS, PARTS, N, X, Y, frame, of_file, parts, shares

SHOWN = [(name, suffix) for name in ("bool", "ints", "small ints") for suffix in ("csv", "parquet")]
SHOWN += [("zip codes", "csv"), ("days", "parquet"), ("None and Gd", "csv"), ("categories of ints", "parquet")]
NOT_SHOWN = [("None and Gd", "parquet"), ("zip codes", "parquet"), ("categories", "parquet"), ("days", "csv")]


def written(folder: Path, name: str, suffix: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """A file with a column, to be kept on disk, and the rows as pandas reads them."""
    path, table = folder / f"rows.{suffix}", frame(name).assign(y=Y)
    if suffix == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return of_file(path)["data"] | {"on_disk": True}, pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)


@pytest.mark.parametrize(("name", "suffix"), SHOWN)
def test_rows_on_disk_are_shown_as_pandas_reads_them(tmp_path: Path, name: str, suffix: str) -> None:
    data, rows = written(tmp_path, name, suffix)
    seen: list[pd.DataFrame] = []

    def teacher(given: pd.DataFrame) -> NDArray[np.float64]:
        seen.append(given)
        return np.tile([0.4, 0.6], (len(given), 1))

    shares(tmp_path / "run", teacher, None, data=data)
    for one in seen:
        text = [str(kind) in ("object", "str") for kind in one.dtypes]
        assert all(a == b for a, b, c in zip(one.dtypes, rows[["c", "x"]].dtypes, text, strict=True) if not c)
        pd.testing.assert_frame_equal(one, rows.loc[one.index, ["c", "x"]], check_dtype=False)


@pytest.mark.parametrize(("name", "suffix"), NOT_SHOWN)
def test_rows_on_disk_that_cannot_be_shown_are_refused_and_the_cure_works(
    tmp_path: Path, name: str, suffix: str
) -> None:
    data, rows = written(tmp_path, name, suffix)
    model = make_pipeline(make_column_transformer((OneHotEncoder(), ["c"])), LogisticRegression())
    model.fit(rows[["c", "x"]], rows["y"])
    with pytest.raises(RejectedError, match=r"on_disk the column 'c' cannot be shown to a ready teacher.*Remove on_di"):
        shares(tmp_path / "a", model, None, data=data)
    assert len(shares(tmp_path / "b", model, None, data=data | {"on_disk": False})) == 120


PRICES = np.round(np.exp(X) * 50, 2)
CHANGED: dict[str, Any] = {
    "datetimes": DAYS + pd.to_timedelta(np.arange(N) * 977, "s"),
    "datetimes of a zone": (DAYS + pd.to_timedelta(np.arange(N) * 977, "s")).tz_localize("Asia/Tokyo"),
    "timedeltas": pd.to_timedelta(np.arange(N) * 77, "s"),
    "object floats": PRICES.astype(object),
    "decimals": np.array([Decimal(str(price)) for price in PRICES], object),
    "money": np.array([f"${price:,.2f}" for price in PRICES], object),
    "dates as text": (DAYS + pd.to_timedelta(np.arange(N) * 977, "s")).astype(str).to_numpy(object),
}


@pytest.mark.parametrize("name", list(CHANGED))
def test_cells_that_views_change_reach_a_teacher_or_are_refused(tmp_path: Path, name: str) -> None:
    rows = pd.DataFrame({"c": CHANGED[name], "x": X})
    asked: list[pd.DataFrame] = []

    def teacher(given: pd.DataFrame) -> NDArray[np.float64]:
        asked.append(given)
        return np.tile([0.4, 0.6], (len(given), 1))

    tables = {"views": {"policy": "munge", "count": 3, "strength": 1.0}}
    recipe, handed = resolve(tables, teacher=teacher, data=parts(rows), out=tmp_path)
    run = Distillation(recipe, handed)
    if name == "money":
        with pytest.raises(
            RejectedError, match=r"\[views\] changes the column 'c'.*as str, such as.*policy = \"none\""
        ):
            run.teachers["teacher"].ask(lambda done: None)
        return
    run.teachers["teacher"].ask(lambda done: None)
    encoder, train = run.context.data.encoder, rows.iloc[PARTS[0]]
    changed = [one for one in asked if not one.equals(train.loc[one.index])]
    assert changed
    for one in changed:
        assert one["c"].dtype == rows["c"].dtype
        assert {type(cell) for cell in one["c"]} == {type(cell) for cell in rows["c"]}
        moved = encoder.encode(one) - encoder.encode(train.loc[one.index])
        own = moved[:, : encoder.shape[0] - 1]  # of the column c
        assert (own.abs().max(1).values > 1e-3).any()
