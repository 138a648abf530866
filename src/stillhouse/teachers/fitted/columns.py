"""What a fitted model is given: columns by name where it knows names, else a plain matrix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import RejectedError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame


def by_name(raw: Any, names: Sequence[str]) -> DataFrame:
    """The columns a model was fitted on, under its own names and in its order; see ``chosen``.

    Args:
        raw: a frame; or an array of as many columns; or texts, for a model of one column.
        names: the model's columns.

    Raises:
        RejectedError: a column is missing, with the nearest that is there; or the width is another.
    """
    import pandas as pd

    if not isinstance(raw, pd.DataFrame):
        return pd.DataFrame(matrix_of(raw, len(names)).reshape(len(raw), -1), columns=pd.Index(names))
    found, missing = chosen(raw, names)
    if missing:
        raise lacking(raw, names, missing)
    return found


def chosen(frame: DataFrame, names: Sequence[str]) -> tuple[DataFrame, list[str]]:
    """The columns of these names, cells and types untouched, and the names that are missing.

    A name that the data write with blanks and the model with underscores (LightGBM does so) is the same column.
    """
    there = {_plain(str(name)): name for name in frame.columns} | {str(name): name for name in frame.columns}
    found = {name: there.get(name, there.get(_plain(name))) for name in names}
    missing = [name for name, column in found.items() if column is None]
    kept = {name: column for name, column in found.items() if column is not None}
    columns = frame[list(kept.values())]
    return columns if list(kept) == list(columns.columns) else columns.set_axis(list(kept), axis="columns"), missing


def lacking(frame: DataFrame, names: Sequence[str], missing: Sequence[str]) -> RejectedError:
    """The error for a frame without columns that a model reads."""
    spare = [str(name) for name in frame.columns if str(name) not in names]
    return RejectedError(
        f"The teacher was fitted on {len(names)} columns, and the data lack {len(missing)} of them: "
        f"{', '.join(map(repr, missing[:10]))}{', ...' * (len(missing) > 10)}."
        f"{nearest(missing[0], spare)} Rename or add the columns, or leave them in: a column named "
        "in `[data] drop` is not shown to the teacher."
    )


def matrix_of(raw: Any, width: int | None) -> NDArray[Any]:
    """Rows as vectors (N, D), which is what models without names read; texts (N,) stay texts.

    Raises:
        RejectedError: there are not ``width`` columns.
    """
    if hasattr(raw, "dtypes") and hasattr(raw, "columns") and all(dtype.kind in "biuf" for dtype in raw.dtypes):
        raw = raw.to_numpy(np.float64, na_value=np.nan)
    values = np.asarray(raw.to_numpy() if hasattr(raw, "to_numpy") else raw)
    values = values.reshape(len(values), -1) if values.ndim > 2 else values
    given = values.shape[1] if values.ndim == 2 else 1
    if width is not None and given != width:
        raise RejectedError(
            f"The teacher was fitted on {width} columns, the rows have {given}. Give it the columns it was fitted on, "
            "in the same order, or a teacher that knows its columns by name."
        )
    return values


def with_categories(frame: DataFrame) -> DataFrame:
    """Text columns as pandas categories, which is how LightGBM and XGBoost take them."""
    texts = [name for name in frame.columns if frame[name].dtype.kind == "O"]
    return frame.astype(dict.fromkeys(texts, "category")) if texts else frame


def with_whole_numbers(frame: DataFrame, columns: Sequence[int]) -> DataFrame:
    """Columns of whole floats as integers: CatBoost takes categories as integers or texts, tables hold floats."""
    whole = {
        frame.columns[i]: np.int64
        for i in columns
        if frame.dtypes.iloc[i].kind == "f" and bool((frame.iloc[:, i] % 1 == 0).all())
    }
    return frame.astype(whole) if whole else frame


def _plain(name: str) -> str:
    return re.sub(r"\s", "_", name)
