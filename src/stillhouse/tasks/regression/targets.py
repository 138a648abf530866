"""From the cells of the target columns to real numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import first_five, nested, present
from stillhouse.data.columns import parse_numbers
from stillhouse.data.forms import is_number, text_cells
from stillhouse.data.targets import TargetCells, Targets, filled, known
from stillhouse.errors import RejectedError, UsageError

_LEAST = 2  # different values of a target: a constant cannot be learned
_ROUNDED = 1e-3  # error of single precision, as a share of a target's standard deviation, that may go unsaid


def read_targets(cells: TargetCells, names: Sequence[str] | None) -> Targets:
    """Read one or several numbers for each row.

    Args:
        cells: numbers; an empty cell, None and NaN mean that the number is unknown.
        names: [data] classes, which must be None: numbers have none.

    Returns:
        float32 (N, K) with NaN where a number is not known, and the names of the columns; of arrays ``target``, or
        ``target_0``, ``target_1`` ... where there are several.

    Raises:
        RejectedError: names the rows that hold text, an infinite number or one beyond float32; there are no numbers; or
            a target varies too little around a large number for float32.
        UsageError: classes are declared.
    """
    if names is not None and cells.origin != "names":
        raise UsageError(
            "[data] classes names classes, but the targets of regression are numbers. Remove the line, or write "
            '`[task] name = "classification"`.'
        )
    if cells.origin == "names" and any(cell is not None for cell in cells.values):
        raise RejectedError(
            f"{cells.where} gives names of classes, but the targets of regression are numbers. Give a table or arrays "
            'with numbers, or write `[task] name = "classification"`.'
        )
    if cells.origin == "columns":
        columns: Mapping[str, Any] = cells.values
        values = np.stack([_numbers(series, name, cells) for name, series in columns.items()], axis=1)
        named = tuple(columns)
    else:
        values = _of_array(np.asarray(cells.values), cells)
        width = values.shape[1]
        named = ("target",) if width == 1 else tuple(f"target_{i}" for i in range(width))
    single = _single(values, named, cells)
    _refuse_rounding(values, single, named, cells)
    whole = filled(single, cells.rows)
    _check(whole, named, cells)
    return Targets(whole, named)


def _numbers(series: Any, name: str, cells: TargetCells) -> NDArray[np.float64]:
    """The numbers (N,) of one column."""
    odd = nested(series)
    if odd.any():
        raise RejectedError(f"{cells.data}: column {name!r} holds lists in {first_five(odd)}. Give each a number.")
    if is_number(series):
        numbers: NDArray[np.float64] = series.to_numpy(np.float64, na_value=np.nan)
        return numbers
    texts = text_cells(series)
    parsed = parse_numbers(texts)
    _refuse_words(np.isnan(parsed) & present(texts), texts, f"{cells.data}: column {name!r}")
    return parsed


def _of_array(values: NDArray[Any], cells: TargetCells) -> NDArray[np.float64]:
    """Numbers (M, K) of an array (M,) or (M, K)."""
    if values.ndim not in (1, 2) or (values.ndim == 2 and not values.shape[1]):
        raise RejectedError(
            f"{cells.where} has the shape {values.shape}, but targets must be numbers (N,) or (N, K). Reshape y."
        )
    if values.dtype.kind not in "biuf":
        flat = [None if value is None else str(value) for value in values.reshape(-1).tolist()]
        texts = np.array([None if text in (None, "", "nan", "NaN") else text for text in flat], object)
        parsed = parse_numbers(texts)
        words = np.isnan(parsed) & present(texts)
        by_row = words.reshape(len(values), -1)
        _refuse_words(np.asarray(by_row.any(1)), texts.reshape(len(values), -1)[by_row], cells.where)
        values = parsed.reshape(values.shape)
    return values.astype(np.float64).reshape(len(values), -1)


def _refuse_words(rows: NDArray[np.bool_], texts: NDArray[Any], where: str) -> None:
    if rows.any():
        shown = texts[rows][0] if len(texts) == len(rows) else texts[0]
        raise RejectedError(
            f"{where} must hold numbers, but {first_five(rows)} hold text, such as {shown!r}. Fix or empty those "
            'cells, or write `[task] name = "classification"`.'
        )


def _single(values: NDArray[np.float64], names: tuple[str, ...], cells: TargetCells) -> NDArray[np.float32]:
    """The numbers in single precision, the precision of nets."""
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and is reported below
        single = values.astype(np.float32)
    infinite = np.isinf(single)
    if infinite.any():
        column = names[int(infinite.any(0).argmax())]
        rows = first_five(np.asarray(infinite.any(1)))
        raise RejectedError(
            f"{cells.where}: {rows} hold an infinite number in {column!r}, or one beyond 3.4e38, the limit of "
            "single precision. Fix or empty those cells, or rescale the target."
        )
    return np.where(np.isnan(single), np.float32(np.nan), single)


def _refuse_rounding(
    values: NDArray[np.float64], single: NDArray[np.float32], names: tuple[str, ...], cells: TargetCells
) -> None:
    """Refuse a target that varies little around a large number: single precision would give it other values."""
    for name, exact, rounded in zip(names, values.T, single.T, strict=True):
        exact, rounded = exact[~np.isnan(exact)], rounded[~np.isnan(exact)]
        if not len(exact):
            continue
        lost, spread = float(np.abs(exact - rounded).max()), float(exact.std())
        if lost > _ROUNDED * spread > 0.0:
            raise RejectedError(
                f"{cells.data}: the target {name!r} varies by {spread:.4g} around {exact.mean():.10g}, which single "
                f"precision rounds by up to {lost:.3g}. Subtract a fixed number from it, such as {exact.mean():.10g}, "
                "and add it to the predictions."
            )


def _check(values: NDArray[np.float32], names: tuple[str, ...], cells: TargetCells) -> None:
    if not len(values):
        raise RejectedError(f"{cells.data} has no rows. Give a file with at least a few rows whose target is known.")
    if not known(values).any():
        raise RejectedError(f"{cells.data} has no row with a target (NaN and empty mean unknown). Add numbers.")
    for name, column in zip(names, values.T, strict=True) if cells.learned else ():
        found = np.unique(column[~np.isnan(column)])
        if len(found) < _LEAST:
            what = "no number" if not len(found) else f"only one number, {found[0]:g}"
            raise RejectedError(
                f"{cells.data}: the target {name!r} has {what}, so it cannot be learned. Name another column in "
                "[data] target, or add rows."
            )
