"""Which rows are for training, for validation and for the final test, and which of them keep their label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np

from stillhouse.data.source import Ints, Source
from stillhouse.data.splitmix import shuffled
from stillhouse.data.splits.groups import check_fixed_test, check_groups, code_groups, companions, share_of_groups
from stillhouse.data.splits.order import before, code_order, latest
from stillhouse.errors import RejectedError, UsageError

Parts: TypeAlias = tuple[Ints, Ints, Ints]  # train, valid, test

_TEST, _VALID, _LABELLED = 1, 2, 3  # each choice has its own random stream, so that none affects another


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of a source, int64, sorted; the first three share no row, the fourth is part of the first."""

    train: Ints
    valid: Ints
    test: Ints
    labelled: Ints

    def labelled_positions(self) -> Ints:
        """Return the positions of the labelled rows in ``train``: their row ids for stores, batches and streams."""
        return np.searchsorted(self.train, self.labelled)


def split(
    source: Source,
    *,
    labels: int | Literal["all"],
    valid: float,
    test: float,
    seed: int,
    groups: Any = None,
    order: Any = None,
) -> Split:
    """Divide the rows, each class in proportion, at random where targets are not classes; unlabelled rows train.

    Where no row has a label, all rows are divided. Every class keeps at least one labelled training row. The three
    choices are independent: another number of labels leaves train, valid and test as they are.

    With ``groups`` no group is in two parts, so shares and proportions are met as nearly as whole groups allow;
    unlabelled rows of a group that is set aside are in no part. With ``order`` the latest labelled rows are the test
    and those before them are for validation, rows of one time together; unlabelled rows that are not earlier than all
    of these are in no part.

    Args:
        source: what was read.
        labels: training rows that keep their label (each class has at least one), or "all".
        valid: share in [0, 1) of the labelled training rows that is set aside for validation.
        test: share in (0, 1) of the labelled rows for the final test; not used where the source fixes its own.
        seed: of the choices.
        groups: (N,) numbers or texts, the group of each row (a patient, a site); or None.
        order: (N,) numbers or dates; or None.

    Raises:
        UsageError: no test rows, more labels than there are, or fewer labels than classes; both groups and order.
        RejectedError: too few labelled rows, groups or times to divide; rows without a group or time.
    """
    if groups is not None and order is not None:
        raise UsageError("[data] gives group and order. A split is by groups or in time: remove one of them.")
    if not (test if source.test is None else len(source.test)):
        raise UsageError("[data] test = 0 leaves no test rows. Give a share, such as `test = 0.2`.")
    if groups is not None:
        parts = _by_group(source, code_groups(groups, len(source), source.name), valid, test, seed)
    elif order is not None:
        parts = _in_time(source, code_order(order, len(source), source.name), valid, test)
    else:
        parts = _at_random(source, valid, test, seed)
    train, valid_rows, test_rows = parts
    return Split(train, valid_rows, test_rows, choose_labelled(source, train, labels=labels, seed=seed))


def _known(source: Source) -> Ints:
    """The rows by which a net can be judged: those with a label; where none has one, every row."""
    return np.flatnonzero(source.known | ~source.known.any())


def _at_random(source: Source, valid: float, test: float, seed: int) -> Parts:
    known = _known(source)
    test_rows = source.test if source.test is not None else _share(source, known, test, (seed, _TEST), "test")
    rest = np.setdiff1d(known, test_rows, assume_unique=True)
    valid_rows = _share(source, rest, valid, (seed, _VALID), "valid")
    return _left(source, test_rows, valid_rows), valid_rows, test_rows


def _by_group(source: Source, groups: Ints, valid: float, test: float, seed: int) -> Parts:
    known, where = _known(source), source.name
    check_groups(known, groups, 3 if valid else 2, where)
    draw = partial(share_of_groups, strata=source.strata, groups=groups, where=where)
    if source.test is None:
        test_rows = draw(known, share=test, spare=2 if valid else 1, key=(seed, _TEST), name="test")
    else:
        check_fixed_test(source.test, groups, where)
        test_rows = source.test
    rest = np.setdiff1d(known, test_rows, assume_unique=True)
    valid_rows = draw(rest, share=valid, spare=1, key=(seed, _VALID), name="valid") if valid else rest[:0]
    outside = ~companions(groups, np.union1d(test_rows, valid_rows))
    return np.flatnonzero(outside), valid_rows, test_rows


def _in_time(source: Source, order: Ints, valid: float, test: float) -> Parts:
    known, where = _known(source), source.name
    drawn = source.test is None
    test_rows = latest(known, source.strata, order, test, where=where, name="test") if drawn else source.test
    assert test_rows is not None
    rest = np.setdiff1d(known, test_rows, assume_unique=True)
    valid_rows = latest(rest, source.strata, order, valid, where=where, name="valid") if valid else rest[:0]
    # A fixed test is the owner's choice: only rows that are set aside by time limit the training rows in time.
    bound = np.union1d(valid_rows, test_rows) if drawn else valid_rows
    train = _left(source, test_rows, valid_rows)
    return train[before(order, bound)[train]], valid_rows, test_rows


def _left(source: Source, *taken: Ints) -> Ints:
    """Rows that are in none of these parts."""
    return np.setdiff1d(np.arange(len(source)), np.concatenate(taken), assume_unique=True)


def choose_labelled(source: Source, train: Ints, *, labels: int | Literal["all"], seed: int) -> Ints:
    """Choose the training rows that keep their label: exactly ``labels``, each class in proportion and at least once.

    Where targets are not classes, they are drawn at random. Returns sorted rows of the source.

    Raises:
        UsageError: more labels than there are, or fewer than classes.
    """
    known = train[source.known[train]]
    if labels == "all":
        return np.sort(known)
    classes = len(np.unique(source.strata[known]))
    if not len(known):
        raise UsageError(f"[data] labels = {labels}, but no training row has a label. Remove the line.")
    if labels > len(known):
        raise UsageError(
            f"[data] labels = {labels}, but only {len(known)} training rows have a label. "
            f'Write `labels = {len(known)}` or `labels = "all"`, or lower [data] valid and test.'
        )
    if labels < classes:
        raise UsageError(
            f"[data] labels = {labels} is fewer labelled rows than the {classes} classes, and each needs at least one. "
            f"Write `labels = {classes}` or more."
        )
    return stratified(known, source.strata, labels, key=(seed, _LABELLED), least=1)


def stratified(rows: Ints, labels: Ints, count: int, *, key: tuple[int, ...], least: int = 0, spare: int = 0) -> Ints:
    """Draw rows with each class in proportion.

    Args:
        rows: candidates, each with a label.
        labels: class of each row of the source.
        count: rows to draw.
        key: of the random order.
        least: rows of each class that must be drawn.
        spare: rows of each class that must be left.

    Returns:
        sorted int64; fewer than ``count`` only if ``spare`` does not leave enough.
    """
    order = rows[shuffled(len(rows), *key)]
    groups = [order[labels[order] == label] for label in np.unique(labels[rows])]
    sizes = np.array([len(group) for group in groups], np.int64)
    taken = apportion(sizes, count, np.minimum(least, sizes), np.maximum(sizes - spare, 0))
    return np.sort(np.concatenate([rows[:0], *(group[:n] for group, n in zip(groups, taken, strict=True))]))


def apportion(sizes: Ints, count: int, low: Ints, high: Ints) -> Ints:
    """Divide ``count`` among classes in proportion to their sizes, each part within its bounds.

    Largest remainder: the part furthest below its quota gets the next row, the part furthest above loses one.

    Args:
        sizes: rows of each class, (C,).
        count: rows to distribute; the sum is the nearest that the bounds allow.
        low: least of each part.
        high: most of each part.

    >>> apportion(np.array([90, 9, 1]), 10, np.array([1, 1, 1]), np.array([90, 9, 1])).tolist()
    [8, 1, 1]
    """
    count = int(np.clip(count, low.sum(), high.sum()))
    quota = sizes * (count / max(int(sizes.sum()), 1))
    parts: Ints = np.clip(np.floor(quota).astype(np.int64), low, high)
    while (missing := count - int(parts.sum())) != 0:
        step = 1 if missing > 0 else -1
        movable = parts < high if step > 0 else parts > low
        parts[np.argmax(np.where(movable, step * (quota - parts), -np.inf))] += step
    return parts


def _share(source: Source, rows: Ints, share: float, key: tuple[int, int], name: str) -> Ints:
    """Draw a share of the rows, at least one where the share is not 0, leaving one of each class."""
    if share == 0:
        return rows[:0]
    drawn = stratified(rows, source.strata, max(1, round(share * len(rows))), key=key, spare=1)
    if not len(drawn):
        raise RejectedError(
            f"{source.name} has {len(rows)} labelled rows left in {len(np.unique(source.strata[rows]))} classes: "
            f"too few to set any aside for [data] {name} = {share}. Label more rows."
        )
    return drawn
