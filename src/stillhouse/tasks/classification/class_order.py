"""The order of classes: a model's columns matched with the data's classes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import RejectedError, nearest


def class_order(given: Sequence[Any], classes: Sequence[str]) -> NDArray[np.int64]:
    """Position among the data's classes of each of a model's classes.

    Names come first: if all of a model's classes are names of the data's classes, numbers included (3.0 is "3"), they
    are matched by name. Otherwise integers below the number of classes are positions.

    Args:
        given: the model's classes in the order of its columns: strings, integers, or floats that are integers.
        classes: names of the data's classes, in order.

    Returns:
        int64 (len(given),), each in [0, C), no two equal.

    Raises:
        RejectedError: the model has a class that the data do not have, or one class twice; names it.

    Warns:
        UserWarning: the data have classes that the model lacks: they get probability 0.

    >>> class_order(["dog", "cat"], ["cat", "dog"]).tolist(), class_order([0, 1], ["cat", "dog"]).tolist()
    ([1, 0], [0, 1])
    """
    names = [_name(value) for value in given]
    if not all(name in classes for name in names) and all(name in map(str, range(len(classes))) for name in names):
        names = [classes[int(name)] for name in names]
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise RejectedError(
            f"The teacher knows {len(unknown)} classes that the data do not have: {_list(unknown)}."
            f"{nearest(unknown[0], classes)} Its classes are {_list(names)}, the data's are {_list(classes)}. Give the "
            "teacher that was made for these classes, or list all its classes in order as `[data] classes = [...]`."
        )
    if len(set(names)) < len(names):
        raise RejectedError(f"The teacher names one class twice: {_list(names)}. Each column needs a different class.")
    missing = [name for name in classes if name not in names]
    if missing:
        warnings.warn(
            f"The teacher does not know {len(missing)} of the data's {len(classes)} classes: {_list(missing)}. It "
            "gives them probability 0, and the students will learn that.",
            stacklevel=3,
        )
    return np.array([list(classes).index(name) for name in names], np.int64)


def scatter(answers: Any, order: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """A model's columns (B, len(order)) in the data's order (B, classes); classes that it lacks get 0.

    Raises:
        RejectedError: it answers several targets, or another number of columns than it has classes.
    """
    if isinstance(answers, list) and answers and np.ndim(answers[0]) == 2:
        raise RejectedError(
            f"The teacher answers {len(answers)} targets at once; a student learns one. Give a model of one target."
        )
    values = np.asarray(answers, np.float64)
    if values.ndim != 2 or values.shape[1] != len(order):
        raise RejectedError(
            f"The teacher answered {values.shape}, but it has {len(order)} classes: it must answer (rows, classes)."
        )
    arranged = np.zeros((len(values), classes))
    arranged[:, order] = values
    return arranged


def _name(value: Any) -> str:
    """A class in the form of the data's names: whole floats as integers."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    return plain.decode(errors="replace") if isinstance(plain, bytes) else str(plain)


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
