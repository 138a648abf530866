"""Raw inputs: arrays of finite numbers, and texts, checked before training and prediction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.cells import first_five, rows_have
from stillhouse.data.on_disk.mapped import TEXTS, MappedTexts, pieces
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import DataFrame

LABELS = ("label", "labels", "target", "class")
LONGEST = 100_000  # characters of a text: more is a damaged file, or a book that no student here reads


def as_labels(values: Any) -> NDArray[Any]:
    """Return labels of any form as numpy, rows first.

    Numbers and booleans are an array of these; text, gaps and mixtures are objects as they were given. Lists of labels
    are an object array (N,) of lists; an item ``{"label": n}`` is its label.
    """
    if isinstance(values, Tensor):
        return numbers(values)
    if not isinstance(values, list | tuple):
        array = np.asarray(values)
        mappings = array.dtype == object and array.ndim == 1 and any(isinstance(one, Mapping) for one in array)
        if not mappings:
            return array.astype(object) if array.dtype.kind == "T" else array
        values = array.tolist()
    cells = [_label_of(value) for value in values]
    if any(map(_is_list_of_names, cells)):
        return _objects([list(one) if isinstance(one, tuple | set | frozenset) else one for one in cells])
    try:
        array = np.asarray(cells)
    except ValueError:  # rows of different lengths
        return _objects(cells)
    one_type = (
        len({type(cell) for cell in cells}) == 1
    )  # else 1 becomes "1" beside text, and 2**53 + 1 beside NaN rounded
    return array if array.ndim != 1 or (one_type and array.dtype.kind in "biuf") else _objects(cells)


def _objects(cells: list[Any]) -> NDArray[Any]:
    array = np.empty(len(cells), object)
    array[:] = cells
    return array


def _label_of(item: Any) -> Any:
    """The label of an item: a plain number of a tensor; the value of ``{"label": n}``."""
    if isinstance(item, Tensor):
        return item.item() if item.ndim == 0 else numbers(item)
    if isinstance(item, Mapping) and (key := label_column(item)) is not None and np.ndim(item[key]) == 0:
        return _label_of(item[key])
    return item


def _is_list_of_names(value: Any) -> bool:
    """Whether this is the list of one row's labels, not a row of numbers; an empty list is, as numbers have a width."""
    if isinstance(value, set | frozenset):
        return True
    return isinstance(value, list | tuple) and (not value or any(isinstance(one, str) for one in value))


def label_column(names: Collection[str]) -> str | None:
    """The column label, labels, target or class; None where there is none."""
    return next((name for name in LABELS if name in names), None)


def numbers(raw: Any) -> NDArray[Any]:
    """Return tensors, frames, lists and arrays of numbers as a numpy array with the rows as first axis.

    Raises:
        RejectedError: not numbers, or no axis for the rows.
    """
    if isinstance(raw, Tensor):
        raw = raw.detach().cpu()
        raw = raw.float() if raw.dtype == torch.bfloat16 else raw
    values = np.asarray(raw)
    if values.dtype == object or values.dtype.kind in "US":  # frames of text cells, as CSV is read
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise RejectedError(f"The rows hold cells that are not numbers: {error}. Fix or remove them.") from None
    if values.dtype.kind not in "biuf" or values.ndim < 1:
        raise RejectedError(
            f"The rows have the type {values.dtype} and the shape {values.shape}. Give numbers, with rows as first "
            "axis."
        )
    return values


def texts_of(raw: Any, where: str) -> NDArray[Any]:
    """Return a list, an array, a series or a frame of one column as an object array (N,) of str.

    Args:
        raw: the texts.
        where: name of the texts in an error.

    Raises:
        RejectedError: names the first five rows that are not text, empty, too long, or not Unicode.
    """
    if isinstance(raw, str):
        raise RejectedError(f"{where} are one text. Give a list of texts: `[text]`.")
    cells = np.array(list(_one_column(raw, where)), object)
    if cells.ndim != 1:
        raise RejectedError(f"{where} have the shape {cells.shape}. Give one text for each row.")
    _refuse([_fault(cell) for cell in cells], where)
    return np.array([str(cell) for cell in cells], object)  # numpy's own text becomes plain


def write_texts(parts: Iterable[Iterable[Any]], where: str, folder: Path) -> MappedTexts:
    """Write texts, given in pieces, into mapped files of a folder.

    Raises:
        RejectedError: as ``texts_of``, once all rows are known.
        StoppedError: the disk is full.
    """
    faults: list[str | None] = []

    def sound() -> Iterator[list[str]]:
        for part in parts:
            cells = list(part)
            faults.extend(map(_fault, cells))
            yield [str(cell) for cell in cells] if not any(faults[-len(cells) :]) else []

    texts = MappedTexts.write(folder / TEXTS, sound())
    _refuse(faults, where)
    return texts


def _refuse(faults: list[str | None], where: str) -> None:
    for fault in dict.fromkeys(faults):
        if fault:
            rows = np.array([other == fault for other in faults])
            raise RejectedError(f"{where}: {first_five(rows)} {fault}. Fix or remove those rows.")


def with_index(frame: DataFrame, known: Collection[Any] | None = None) -> DataFrame:
    """Return a frame with its named index as columns, before the others; an index without a name only counts rows.

    Args:
        frame: the rows.
        known: the columns wanted; None: all.

    Raises:
        RejectedError: an index and a column have one name and different cells.
    """
    names = list(frame.index.names)
    for level, name in enumerate(names):
        if name in frame.columns and not frame[name].array.equals(frame.index.get_level_values(level).array):
            raise RejectedError(
                f"The frame has a column {name!r} and an index {name!r} with other cells. Rename one: "
                '`frame.rename_axis(index="...")`.'
            )
    wanted = [
        level
        for level, name in enumerate(names)
        if name is not None and name not in frame.columns and (known is None or str(name) in known)
    ]
    return frame.reset_index(wanted) if wanted else frame


def _one_column(raw: Any, where: str) -> Any:
    if not hasattr(raw, "columns"):
        return raw
    if raw.shape[1] != 1:
        raise RejectedError(f"{where} have the columns {list(raw.columns)}. Give the one that holds the texts.")
    return raw.iloc[:, 0]


def _fault(cell: Any) -> str | None:
    """The fault of a text."""
    if not isinstance(cell, str):
        missing = cell is None or type(cell).__name__ in ("float", "NAType")  # NaN and pandas' NA
        return "hold no text" if missing else f"hold a {type(cell).__name__}, not text"
    if not cell or cell.isspace():
        return "hold an empty text"
    if len(cell) > LONGEST:
        return f"hold a text of more than {LONGEST:,} characters"
    try:
        cell.encode()
    except UnicodeEncodeError:
        return "hold half of a surrogate pair, which is not a character"
    return None


def check_finite(x: NDArray[Any], where: str) -> None:
    """Refuse NaN, infinite numbers, and those that single precision cannot hold.

    Args:
        x: (N, ...).
        where: name of the rows in an error.

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
        f"{where}: {first_five(broken)} hold NaN or infinite numbers, or ones beyond 3.4e38. Fix or remove "
        "those rows; only tables may have missing values ([data] path)."
    )


def _finite_rows(x: NDArray[Any]) -> NDArray[np.bool_]:
    flat = x.reshape(len(x), -1)
    return np.asarray((np.isfinite(flat) & ~beyond_single(flat)).all(1))


def check_column(numbers: NDArray[np.float64], name: str) -> None:
    """Refuse cells (N,) of a numeric column that single precision cannot hold; NaN is a missing cell."""
    broken = beyond_single(numbers)
    if broken.any():
        raise RejectedError(
            f"Column {name!r}: {rows_have(broken)} a number beyond 3.4e38, the limit of single precision: "
            f'{numbers[broken][0]}. Fix or empty those cells, or leave the column out with [data] drop = ["{name}"].'
        )


def beyond_single(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Which numbers are infinite in single precision, in which nets compute."""
    with np.errstate(over="ignore"):
        return np.isinf(numbers.astype(np.float32))
