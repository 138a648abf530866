"""From the cells of the target columns to real numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import first_five, nested, present, rows_have
from stillhouse.data.columns import parse_numbers
from stillhouse.data.forms import is_number, text_cells
from stillhouse.data.labels import is_gap, label_name, plain_label
from stillhouse.data.targets import TargetCells, Targets, filled, known
from stillhouse.data.unsupported import shape_structure, structure
from stillhouse.errors import RejectedError, UsageError

DATES = (
    "holds dates or durations, but targets must be numbers. Convert them to numbers, for instance to days: "
    "`(y - y.min()) / pd.Timedelta(days=1)`."
)
_LEAST = 2  # different values of a target: a constant cannot be learned
_ROUNDED = 1e-3  # error of single precision, as a share of a target's standard deviation, that may go unsaid


def read_targets(cells: TargetCells, names: Sequence[str] | None) -> Targets:
    """Read one or several numbers for each row.

    Args:
        cells: numbers; an empty cell, None, NaN and ``cells.no_label`` mean that the number is unknown.
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
        values = np.stack([_numbers(series, name, cells) for name, series in cells.values.items()], axis=1)
        named = tuple(cells.values)
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
    where = f"{cells.data}: column {name!r}"
    odd = nested(series)
    if odd.any():
        raise RejectedError(f"{where} holds lists in {first_five(odd)}. Give each a number.")
    if is_number(series):
        return _known(series.to_numpy(np.float64, na_value=np.nan), cells.no_label)
    if series.dtype.kind in "mM":
        raise RejectedError(f"{where} {DATES}")
    return _of_texts(text_cells(series), where, cells.no_label)


def _of_array(values: NDArray[Any], cells: TargetCells) -> NDArray[np.float64]:
    """Numbers (M, K) of an array (M,) or (M, K)."""
    what = structure(values.flat) if values.dtype == object else shape_structure(values)
    if what or values.ndim not in (1, 2) or (values.ndim == 2 and not values.shape[1]):
        raise RejectedError(
            f"{cells.where}: the shape is {values.shape}, but targets must be numbers (N,) or (N, K). "
            + (f"These look like {what}." if what else "Reshape y.")
        )
    if values.dtype.kind in "biuf":
        return _known(values.astype(np.float64).reshape(len(values), -1), cells.no_label)
    plain = [None if is_gap(cell) else plain_label(cell) for cell in values.reshape(-1).tolist()]
    if values.dtype.kind in "mM" or any(hasattr(cell, "year") or hasattr(cell, "total_seconds") for cell in plain):
        raise RejectedError(f"{cells.where} {DATES}")
    texts = np.array([None if cell is None else label_name(cell) for cell in plain], object)
    if any(isinstance(cell, str) for cell in plain):
        width = values.size // max(len(values), 1)
        columns = texts.reshape(len(values), width).T if len(values) else np.empty((width, 0), object)
        return np.stack([_of_texts(column, cells.where, cells.no_label) for column in columns], axis=1)
    if all(cell is None or isinstance(cell, bool | int | float) for cell in plain):
        numbers = np.array([np.nan if cell is None else float(cell) for cell in plain], np.float64)
        return _known(numbers.reshape(len(values), -1), cells.no_label)
    raise RejectedError(f"{cells.where} must hold numbers, but holds {type(next(filter(None, plain))).__name__}.")


def _of_texts(texts: NDArray[Any], where: str, no_label: str | None) -> NDArray[np.float64]:
    """Text as numbers (N,), NaN for None, "nan" and the text that means no label."""
    texts = np.array([None if text in ("nan", "NaN", no_label) else text for text in texts], object)
    parsed = parse_numbers(texts)
    words = np.isnan(parsed) & present(texts)
    if words.any():
        raise RejectedError(
            f"{where} must hold numbers, but {rows_have(words)} text, such as {texts[words][0]!r}. Fix or empty those "
            'cells, or write `[task] name = "classification"`.'
        )
    return _known(parsed, no_label)


def _known(numbers: NDArray[np.float64], no_label: str | None) -> NDArray[np.float64]:
    """The numbers, NaN in place of the one that means that a row has none."""
    try:
        return numbers if no_label is None else np.where(numbers == float(no_label), np.nan, numbers)
    except ValueError:
        return numbers


def _single(values: NDArray[np.float64], names: tuple[str, ...], cells: TargetCells) -> NDArray[np.float32]:
    """The numbers in single precision, the precision of nets."""
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and is reported below
        single = values.astype(np.float32)
    infinite = np.isinf(single)
    if infinite.any():
        column = names[int(infinite.any(0).argmax())]
        rows = rows_have(np.asarray(infinite.any(1)))
        raise RejectedError(
            f"{cells.where}: {rows} an infinite number in {column!r}, or one beyond 3.4e38, the limit of "
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
