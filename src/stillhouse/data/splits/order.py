"""Splits in time: train on the first rows, judge on the last ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import first_five
from stillhouse.data.source import Ints
from stillhouse.errors import RejectedError, UsageError


def code_order(values: Any, count: int, where: str) -> Ints:
    """Number the times of the rows: int64 (N,) from 0, equal times alike, later ones greater.

    Args:
        values: (N,) numbers, dates, or texts that are all numbers or all ISO 8601 dates ("2024-05-31",
            "2024-05-31T10:00:00+02:00"); dates without an offset are UTC.
        count: N.
        where: name of the data in an error.

    Raises:
        UsageError: not one value for each row.
        RejectedError: names the first five rows whose time is missing or cannot be read.
    """
    import pandas as pd

    cells = pd.Series(values)
    if cells.shape != (count,) or np.ndim(values) != 1:
        raise UsageError(
            f"order has the shape {np.shape(values)}, but {where} has {count} rows. Give each row a value."
        )
    numbers = pd.to_numeric(cells, errors="coerce") if cells.dtype.kind not in "mM" else cells
    if cells.dtype.kind not in "mM" and not numbers.notna().any():
        numbers = pd.to_datetime(cells, errors="coerce", format="ISO8601", utc=True)
    unread = numbers.isna().to_numpy(bool)
    if unread.any():
        raise RejectedError(
            f"{where}: {first_five(unread)} hold no number or date to order by, but {cells[unread].iloc[0]!r}. Write "
            "numbers, or dates such as 2024-05-31, in the column that [data] order names; or say how it is written: "
            '[data] types = {"..." = "day_first"}, "month_first", "decimal_point" or "decimal_comma".'
        )
    return np.unique(numbers.to_numpy(), return_inverse=True)[1].astype(np.int64)


def latest(rows: Ints, strata: Ints, order: Ints, share: float, *, where: str, name: str) -> Ints:
    """Take about a share of the rows, the last in time; rows of one time stay together.

    Args:
        rows: candidates, each with a label.
        strata: class of each row of the source.
        order: time of each row of the source.
        share: of the rows, in (0, 1).
        where: name of the data in an error.
        name: of the part in an error.

    Returns:
        sorted int64: at least one time is taken and one is left; of two cuts equally near the share, the later one.

    Raises:
        RejectedError: all rows have the same time, or a class has no row before the cut.
    """
    moments, counts = np.unique(order[rows], return_counts=True)
    if len(moments) < 2:
        raise RejectedError(
            f"{where} has {len(rows)} labelled rows left, all with the same time, so none can be set aside for [data] "
            f"{name} = {share:g}. Remove [data] order, or lower valid and test."
        )
    after = np.cumsum(counts[::-1])[:-1]  # rows of the last time, of the last two, ...
    cut = moments[-1 - int(np.abs(after - share * len(rows)).argmin())]
    taken = rows[order[rows] >= cut]
    lost = np.setdiff1d(strata[taken], strata[rows[order[rows] < cut]])
    if len(lost):
        of_it = np.zeros(len(strata), bool)
        of_it[taken] = np.isin(strata[taken], lost)
        raise RejectedError(
            f"{where}: {len(lost)} of the classes have no labelled row before the rows that [data] {name} = {share:g} "
            f"sets aside ({first_five(of_it)} belong to them), so no student could learn them. Lower {name}, or "
            "leave those rows out."
        )
    return np.sort(taken)


def before(order: Ints, rows: Ints) -> NDArray[np.bool_]:
    """Return which of all rows (N,) are earlier than the first of the given rows; all, where none are given."""
    return np.asarray(order < order[rows].min(initial=order.max(initial=0) + 1))
