"""Names of the columns of an answer: what the outputs are called, whatever type or order the names have."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError

NAMES = 10  # in a message, at most
SUM_NEAR = 1e-3  # how far the probabilities of a row that leaves out names may be from adding up to 1
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")


def as_array(answer: Any) -> NDArray[Any]:
    """A tensor of any precision and device, a sparse matrix, a frame or a list as an array."""
    if isinstance(answer, Tensor):
        answer = answer.detach().cpu()
        return np.asarray(answer.float() if answer.dtype == torch.bfloat16 else answer)
    if isinstance(answer, np.ma.MaskedArray):  # what is masked is not known
        return np.where(np.ma.getmaskarray(answer), np.nan, np.asarray(answer, np.float64))
    convert = getattr(answer, "toarray", None) or getattr(answer, "to_numpy", None)
    try:
        return np.asarray(answer if convert is None else convert())
    except ValueError as error:
        raise RejectedError(f"The teacher's answers are no array ({error}). Give one row of numbers a row.") from error


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
        shapes = ", ".join(str(column.shape) for column in columns) or "none"
        raise RejectedError(
            f"The teacher answers with a mapping whose columns have the shapes {shapes}. Give it one number a row for "
            "each name, or return the array itself."
        )
    return np.stack(columns, axis=1)


def with_names(answer: Any) -> tuple[list[Any], NDArray[Any]]:
    """The names of an answer's columns, and the answer as an array; no names where it has none.

    A frame names its columns; so do a mapping from name to column (B,), a mapping for each row, and the list of
    ``{"label": ..., "score": ...}`` for each row that pipelines of transformers give. A mapping that holds "logits" is
    the answer of a net.
    """
    if isinstance(answer, Mapping):
        if "logits" in answer and np.ndim(answer["logits"]) > 1:
            return [], as_array(answer["logits"])
        return list(answer), _joined([as_array(column) for column in answer.values()])
    if hasattr(answer, "column_names") and hasattr(answer, "to_pandas"):  # of pyarrow
        answer = answer.to_pandas()
    if hasattr(answer, "columns") and hasattr(answer, "to_numpy"):
        return list(answer.columns), as_array(answer)
    if isinstance(answer, list | tuple) and len(answer) and all(isinstance(row, list | Mapping) for row in answer):
        found = [_scores(row) for row in answer]
        rows = [row for row in found if row is not None]
        if len(rows) == len(found):
            names = list({name: None for row in rows for name in row})
            return names, np.array([_filled(row, names) for row in rows])
    return [], as_array(answer)


def name_of(answer: Any) -> Any:
    """The name of a column (B,) that has one, as a pandas Series has; None: it has none."""
    return getattr(answer, "name", None) if np.ndim(answer) == 1 and hasattr(answer, "to_numpy") else None


def _filled(row: Mapping[Any, Any], names: Sequence[Any]) -> list[Any]:
    """The scores of a row in the order of names. A name that it lacks has the probability 0 if all others add up to 1.

    Raises:
        RejectedError: they do not, so that nothing is known of what is missing.
    """
    if len(row) < len(names) and not abs(sum(row.values()) - 1) <= SUM_NEAR:
        raise RejectedError(
            f"The teacher's answer to one row has the names {listed(list(row))}, to others also "
            f"{listed([name for name in names if name not in row])}. Let it give every name for each row."
        )
    return [row.get(name, 0.0) for name in names]


def _scores(row: Any) -> Mapping[Any, Any] | None:
    """The scores of one row by name; None: it has no names."""
    if isinstance(row, Mapping) and set(row) == {"label", "score"}:
        raise RejectedError(
            f"The teacher answers with the best class alone, such as {row['label']!r}. A student learns from the "
            "probabilities of all classes: give all of them for each row; of a transformers pipeline by `top_k=None`."
        )
    if isinstance(row, Mapping):
        return row
    if row and all(isinstance(one, Mapping) and set(one) == {"label", "score"} for one in row):
        return {one["label"]: one["score"] for one in row}
    return None


def in_order(given: Sequence[Any], names: Sequence[str]) -> list[int]:
    """For each output its place among the columns of an answer; numbers that count columns are in order already.

    Raises:
        RejectedError: the names are not the same.
    """
    if list(given) == list(range(len(names))) and not places(given, names):
        return list(range(len(names)))
    found = places(names, [str(name) for name in given]) if len(given) == len(names) else None
    if found is None:
        raise RejectedError(
            f"The teacher's answer has the columns {listed(given)}; the outputs are {listed(names)}. Give it one "
            "column for each output, of the same name, in any order; or return an array, in the order of the outputs."
        )
    return found


def places(given: Sequence[Any], names: Sequence[str]) -> list[int] | None:
    """For each given name its place among names; None where one has none, or two have the same.

    Types do not count where the names still differ: 10, 10.0 and "10" are one name, and so are True and "true".

    >>> places([20.0, 10], ["10", "20"]), places([True, False], ["false", "true"]), places([1], ["2"])
    ([1, 0], [1, 0], None)
    """
    forms: tuple[Callable[[Any], str], ...] = (_text, _plain, _number)
    for form in forms:
        known, wanted = [form(name) for name in names], [form(name) for name in given]
        if len(set(known)) == len(known) and len(set(wanted)) == len(wanted) and set(wanted) <= set(known):
            return [known.index(name) for name in wanted]
    return None


def _text(name: Any) -> str:
    value = name.item() if isinstance(name, np.generic) else name
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _plain(name: Any) -> str:
    """A name without its type: whole numbers without fraction, truth values in lower case, no blanks around it."""
    text = _text(name).strip()
    if _WHOLE.fullmatch(text):
        return str(int(text.partition(".")[0]))
    try:
        return str(float(text)) if text[-1:].isdigit() else text.lower() if text.lower() in ("true", "false") else text
    except ValueError:
        return text


def _number(name: Any) -> str:
    """As ``_plain``, with 1 and 0 for truth values."""
    return {"true": "1", "false": "0"}.get(_plain(name), _plain(name))


def whole_number(name: Any) -> int | None:
    """The whole number that a name is written as, or is; truth values are none."""
    text = _plain(name)
    return int(text) if _WHOLE.fullmatch(text) else None


def listed(names: Sequence[Any]) -> str:
    """Names for a message, at most ten."""
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return ", ".join(repr(_text(name)) for name in names[:NAMES]) + more
