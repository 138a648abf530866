"""The order of classes: a model's columns matched with the data's classes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import RejectedError, nearest
from stillhouse.teachers.named import listed, places, whole_number


def class_order(given: Sequence[Any], classes: Sequence[str], *, partial: bool = False) -> NDArray[np.int64]:
    """Position among the data's classes of each of a model's classes.

    Names come first, whatever their type (see ``named.places``). Otherwise whole numbers are positions: all of
    0..C-1, or some of them where no class of the data is called by a number.

    Args:
        given: the model's classes in the order of its columns.
        classes: names of the data's classes, in order.
        partial: whether the model may leave out classes without a warning.

    Returns:
        int64 (len(given),), each in [0, C), no two equal.

    Raises:
        RejectedError: the model has a class that the data do not have, or one class twice; names it.

    Warns:
        UserWarning: the data have classes that the model lacks: they get probability 0.

    >>> class_order(["dog", "cat"], ["cat", "dog"]).tolist(), class_order([0, 1], ["cat", "dog"]).tolist()
    ([1, 0], [0, 1])
    """
    found = places(given, classes) or positions(given, classes)
    if found is None:
        raise refusal(given, classes)
    missing = [name for place, name in enumerate(classes) if place not in found]
    if missing and not partial:
        warnings.warn(
            f"The teacher does not know {len(missing)} of the data's {len(classes)} classes: {listed(missing)}. It "
            "gives them probability 0, and the students will learn that.",
            stacklevel=3,
        )
    return np.array(found, np.int64)


def positions(given: Sequence[Any], classes: Sequence[str]) -> list[int] | None:
    """A model's classes as positions among the data's, where they can be such."""
    numbers = [whole_number(value) for value in given]
    whole = [number for number in numbers if number is not None and 0 <= number < len(classes)]
    if len(set(whole)) < len(given):
        return None
    named = any(whole_number(name) is not None for name in classes)
    return whole if len(whole) == len(classes) or not named else None


def refusal(given: Sequence[Any], classes: Sequence[str]) -> RejectedError:
    """The error for classes that cannot be matched."""
    unknown = [name for name in given if places([name], classes) is None]
    if not unknown:
        return RejectedError(
            f"The teacher names one class twice: {listed(given)}. Each column needs a different class."
        )
    return RejectedError(
        f"The teacher knows {len(unknown)} classes that the data do not have: {listed(unknown)}."
        f"{nearest(str(unknown[0]), classes)} Its classes are {listed(given)}, the data's are {listed(classes)}. Give "
        "the teacher that was made for these classes, or list all its classes in order as `[data] classes = [...]`."
    )


def scatter(values: Any, order: NDArray[np.int64], classes: int, rest: Any = 0.0) -> NDArray[np.float64]:
    """A model's columns (B, len(order)) in the data's order (B, classes); ``rest`` (B,) for classes that it lacks."""
    arranged = np.zeros((len(values), classes)) + np.reshape(rest, (-1, 1))
    arranged[:, order] = values
    return arranged
