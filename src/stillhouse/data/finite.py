"""The check that every kind of array goes through before it is learned from or predicted on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.labels import first_five
from stillhouse.data.on_disk.mapped import pieces
from stillhouse.errors import RejectedError


def check_finite(x: NDArray[Any], where: str) -> None:
    """Refuse NaN and infinite numbers.

    Args:
        x: (N, ...).
        where: what to call the rows in an error.

    Raises:
        RejectedError: names the first five rows that hold one.
    """
    if x.dtype.kind != "f":
        return
    blocks = pieces(len(x), x.nbytes // max(len(x), 1))
    broken = ~np.concatenate([np.empty(0, bool), *(_finite_rows(x[rows]) for rows in blocks)])
    if not broken.any():
        return
    raise RejectedError(
        f"{where}: {first_five(broken)} hold NaN or infinite numbers. Mend or remove those rows; missing values are "
        "understood in tables only ([data] path)."
    )


def _finite_rows(x: NDArray[Any]) -> NDArray[np.bool_]:
    finite: NDArray[np.bool_] = np.isfinite(x.reshape(len(x), -1)).all(1)
    return finite
