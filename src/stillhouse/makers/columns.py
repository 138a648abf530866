"""What each column of a table holds, without any row: the statistics that makers of tables may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.source import Raw

if TYPE_CHECKING:
    from pandas import DataFrame

POINTS = 257  # quantiles of a column of numbers
FEW = 64  # a column with so few different numbers is kept as it is


class Summary(NamedTuple):
    """One column: its values and how often each comes; numbers with many values by equally frequent quantiles."""

    values: NDArray[Any]  # (K,) numbers, dates or texts, sorted where they can be; no empty cell
    ends: NDArray[np.float64]  # (K,) cumulative shares of the rows that are not empty; the last is 1
    missing: float  # share of empty cells
    smooth: bool  # whether a number between two values may be drawn

    def at(self, share: NDArray[np.float64]) -> NDArray[Any]:
        """The values (n,) at these shares in [0, 1) of the sorted rows."""
        if self.smooth:
            return np.asarray(np.interp(share, self.ends, self.values))
        return self.values[np.minimum(np.searchsorted(self.ends, share, side="right"), len(self.values) - 1)]


def frame_of(raw: Raw) -> DataFrame:
    """Rows as a frame; the columns of an array are numbered."""
    import pandas as pd

    return pd.DataFrame(np.asarray(raw, np.float64)) if isinstance(raw, np.ndarray) else raw


def like(frame: DataFrame, raw: Raw) -> Raw:
    """A frame in the form of raw rows: the frame, or an array."""
    return frame.to_numpy(np.float64) if isinstance(raw, np.ndarray) else frame


def summaries(raw: Raw) -> dict[str, Summary]:
    """The summary of each column."""
    frame = frame_of(raw)
    return {str(name): summary(frame[name].to_numpy()) for name in frame.columns}


def summary(cells: NDArray[Any]) -> Summary:
    """The summary of a column's cells (N,)."""
    import pandas as pd

    gaps = np.asarray(pd.isna(cells), bool)
    seen = cells[~gaps]
    missing = float(gaps.mean()) if len(cells) else 0.0
    if not len(seen):
        return Summary(np.empty(0, cells.dtype), np.empty(0), 1.0, smooth=False)
    values, counts = np.unique(seen, return_counts=True)
    if cells.dtype == np.float64 and len(values) > FEW:
        shares = np.linspace(0, 1, POINTS)
        whole = bool((seen == np.rint(seen)).all())
        quantiles = np.quantile(seen.astype(np.float64), shares, method="nearest" if whole else "linear")
        return Summary(quantiles, shares, missing, smooth=not whole)
    return Summary(values, np.cumsum(counts) / counts.sum(), missing, smooth=False)
