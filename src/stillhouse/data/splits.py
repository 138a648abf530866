"""Which rows are for learning, for choosing and for the one final test, and which of them keep their label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stillhouse.data.source import Ints, Source
from stillhouse.data.splitmix import shuffled
from stillhouse.errors import RejectedError, UsageError

_TEST, _VALID, _LABELLED = 1, 2, 3  # each choice draws from its own stream, so that none moves another


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of a source, int64, sorted; the first three share no row, the fourth is part of the first."""

    train: Ints
    valid: Ints
    test: Ints
    labelled: Ints

    def labelled_positions(self) -> Ints:
        """Return where the labelled rows stand in ``train``: their row ids for stores, batches and streams."""
        return np.searchsorted(self.train, self.labelled)


def split(source: Source, *, labels: int | Literal["all"], valid: float, test: float, seed: int) -> Split:
    """Divide the rows, each class in proportion; unlabelled rows are for training.

    Every class keeps at least one labelled training row. The three choices are independent: another number of labels
    leaves train, valid and test as they are.

    Args:
        source: the rows.
        labels: training rows that keep their label (each class has at least one), or "all".
        valid: share in [0, 1) of the training rows split off for choosing; of them only labelled ones.
        test: share in (0, 1) of the labelled rows for the final test; not used where the source fixes its own.
        seed: of the choices.

    Raises:
        UsageError: no test rows asked, more labels asked than there are, or fewer than classes.
        RejectedError: too few labelled rows to divide.
    """
    known = np.flatnonzero(source.labels >= 0)
    test_rows = source.test if source.test is not None else _share(source, known, test, (seed, _TEST), "test")
    if not len(test_rows):
        raise UsageError("[data] test = 0 leaves no row to judge by. Give a share, such as `test = 0.2`.")
    rest = np.setdiff1d(known, test_rows, assume_unique=True)
    valid_rows = _share(source, rest, valid, (seed, _VALID), "valid")
    train = np.setdiff1d(np.arange(len(source)), np.union1d(test_rows, valid_rows), assume_unique=True)
    return Split(train, valid_rows, test_rows, choose_labelled(source, train, labels=labels, seed=seed))


def choose_labelled(source: Source, train: Ints, *, labels: int | Literal["all"], seed: int) -> Ints:
    """Choose the training rows that keep their label: exactly ``labels``, each class in proportion and at least once.

    Args:
        source: the rows.
        train: training rows of the source.
        labels: how many, or "all" that carry one.
        seed: of the choice.

    Returns:
        sorted int64 rows of the source.

    Raises:
        UsageError: more labels asked than there are, or fewer than classes.
    """
    known = train[source.labels[train] >= 0]
    if labels == "all":
        return np.sort(known)
    classes = len(np.unique(source.labels[known]))
    if labels > len(known):
        raise UsageError(
            f"[data] labels = {labels}, but only {len(known)} training rows carry a label. "
            f'Write `labels = {len(known)}` or `labels = "all"`, or lower [data] valid and test.'
        )
    if labels < classes:
        raise UsageError(
            f"[data] labels = {labels} is fewer labelled rows than the {classes} classes, and each needs at least one. "
            f"Write `labels = {classes}` or more."
        )
    return stratified(known, source.labels, labels, key=(seed, _LABELLED), least=1)


def stratified(rows: Ints, labels: Ints, count: int, *, key: tuple[int, ...], least: int = 0, spare: int = 0) -> Ints:
    """Draw rows with each class in proportion.

    Args:
        rows: candidates, each with a label.
        labels: of all rows of the source.
        count: rows to draw.
        key: of the random order.
        least: rows of each class that must be drawn.
        spare: rows of each class that must be left.

    Returns:
        sorted int64; fewer than ``count`` only where ``spare`` leaves no more.
    """
    order = rows[shuffled(len(rows), *key)]
    groups = [order[labels[order] == label] for label in np.unique(labels[rows])]
    sizes = np.array([len(group) for group in groups], np.int64)
    taken = apportion(sizes, count, np.minimum(least, sizes), np.maximum(sizes - spare, 0))
    return np.sort(np.concatenate([rows[:0], *(group[:n] for group, n in zip(groups, taken, strict=True))]))


def apportion(sizes: Ints, count: int, low: Ints, high: Ints) -> Ints:
    """Divide ``count`` among classes in proportion to their sizes, each part within its bounds.

    Largest remainder: the part furthest below its quota gets the next row, the part furthest above gives one up.

    Args:
        sizes: rows of each class, (C,).
        count: rows to hand out.
        low: least of each part.
        high: most of each part.

    Returns:
        int64 (C,) with the sum ``count``, or the nearest sum that the bounds allow.

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
    drawn = stratified(rows, source.labels, max(1, round(share * len(rows))), key=key, spare=1)
    if not len(drawn):
        raise RejectedError(
            f"{source.name} has {len(rows)} labelled rows left in {len(np.unique(source.labels[rows]))} classes: "
            f"too few to set any aside for [data] {name} = {share}. Label more rows."
        )
    return drawn
