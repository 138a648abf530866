"""Splits in which no group is in two parts: no patient, site or author is in both training and test."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import first_five, names_of, present
from stillhouse.data.source import Ints
from stillhouse.data.splitmix import shuffled
from stillhouse.errors import RejectedError, UsageError


def code_groups(values: Any, count: int, where: str) -> Ints:
    """Number the groups of the rows: int64 (N,) in 0 .. G - 1, in the order of the sorted names.

    Args:
        values: (N,) numbers or texts; equal ones are one group.
        count: N.
        where: name of the data in an error.

    Raises:
        UsageError: not one value for each row.
        RejectedError: names the first five rows that have no group.
    """
    array = np.asarray(values)
    if array.shape != (count,):
        raise UsageError(f"groups has the shape {array.shape}, but {where} has {count} rows. Give each row one group.")
    names = names_of(array)
    missing = ~present(names)
    if missing.any():
        raise RejectedError(
            f"{where}: {first_five(missing)} have no group, so it is unknown to which part of the split they belong. "
            "Fill in the column [data] group for them, or leave those rows out."
        )
    codes = np.unique(names.astype(str), return_inverse=True)[1]
    return codes.astype(np.int64)


def companions(groups: Ints, rows: Ints) -> NDArray[np.bool_]:
    """Return which of all rows (N,) belong to a group of the given rows."""
    return np.isin(groups, np.unique(groups[rows]))


def share_of_groups(
    rows: Ints, *, strata: Ints, groups: Ints, share: float, spare: int, key: tuple[int, ...], where: str, name: str
) -> Ints:  # fmt: skip
    """Draw whole groups, so that about the given share of each class's rows is drawn.

    Groups are tried in random order. A group is taken if it brings the shares of the classes nearer to the given share
    (least squares), unless it holds the last rows of a class. With one class, the number of rows differs from the
    target by at most half the largest group.

    Args:
        rows: candidates, each with a label.
        strata: class of each row of the source.
        groups: of each row of the source.
        share: of the rows, in (0, 1).
        spare: groups that must be left.
        key: of the random order.
        where: name of the data in an error.
        name: of the part in an error.

    Returns:
        sorted int64, at least one group; at least one row of each class is left.

    Raises:
        RejectedError: no group can be taken without taking all rows of a class.
    """
    counts = _counts(rows, strata, groups)
    sizes = counts.sum(0)
    taken, chosen = np.zeros_like(sizes), np.zeros(0, np.int64)
    allowed = [number for number in shuffled(len(counts), *key) if (counts[number] < sizes).all()]
    if not allowed:
        raise RejectedError(
            f"{where} has {len(counts)} groups of labelled rows for the split into training rows and [data] {name} = "
            f"{share:g}, and each of them holds all labelled rows of some class, so no group can be set aside. Set "
            f"[data] group to another column, or label rows of more groups."
        )
    for number in allowed:
        more = taken + counts[number]
        nearer = (more < sizes).all() and _miss(more, sizes, share) < _miss(taken, sizes, share)
        if nearer and len(chosen) < len(counts) - spare:
            taken, chosen = more, np.append(chosen, number)
    if not len(chosen):
        chosen = np.array([min(allowed, key=lambda number: _miss(counts[number], sizes, share))])
    return np.sort(rows[np.isin(groups[rows], np.unique(groups[rows])[chosen])])


def check_groups(rows: Ints, groups: Ints, parts: int, where: str) -> None:
    """Refuse fewer groups than parts.

    Raises:
        RejectedError: says how many there are.
    """
    found = len(np.unique(groups[rows]))
    if found < parts:
        raise RejectedError(
            f"{where} has {found} {'group' if found == 1 else 'groups'} of labelled rows to divide into {parts} parts, "
            "and no group may be in two parts. Remove [data] group, write `valid = 0`, or label rows of more groups."
        )


def check_fixed_test(test: Ints, groups: Ints, where: str) -> None:
    """Refuse a fixed test if one of its groups also has rows outside.

    Raises:
        RejectedError: names the first five such rows.
    """
    torn = companions(groups, test)
    torn[test] = False
    if torn.any():
        raise RejectedError(
            f"{where} fixes its test rows, but {first_five(torn)} of the same groups are outside. Remove [data] "
            "group, or leave those rows out."
        )


def _counts(rows: Ints, strata: Ints, groups: Ints) -> Ints:
    """Rows of each group (in sorted order) and class, int64 (G, C)."""
    group = np.unique(groups[rows], return_inverse=True)[1]
    label = np.unique(strata[rows], return_inverse=True)[1]
    counts = np.zeros((group.max(initial=-1) + 1, label.max(initial=-1) + 1), np.int64)
    np.add.at(counts, (group, label), 1)
    return counts


def _miss(taken: Ints, sizes: Ints, share: float) -> float:
    """Squared distance of the classes' shares from the given share."""
    return float((((taken / sizes) - share) ** 2).sum())
