"""Choosing the rows to ask an expensive teacher about, when asking about all rows is too expensive."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stillhouse.data.source import Ints
from stillhouse.data.splitmix import shuffled
from stillhouse.errors import UsageError, nearest

How: TypeAlias = Literal["random", "uncertainty", "entropy", "coreset"]

Floats: TypeAlias = NDArray[np.float64]

_HOW: tuple[How, ...] = get_args(How)
_ASKING = 21  # the random stream of this choice


def choose_rows(
    how: How,
    *,
    count: int,
    seed: int,
    rows: int | None = None,
    log_probs: ArrayLike | None = None,
    embeddings: ArrayLike | None = None,
    labelled: ArrayLike | None = None,
) -> Ints:
    """Choose rows in the order in which to ask: a choice of n rows starts with the choice of any smaller number.

    ``random`` draws them. ``uncertainty`` takes the rows on which a control is least sure: those with the smallest
    margin between its two most probable classes (Scheffer, Decomain, Wrobel, "Active hidden Markov models for
    information extraction", IDA 2001); ``entropy`` takes those with the greatest entropy. ``coreset`` is the greedy
    k-centre of Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018:
    each time the row that is farthest (Euclidean) from all chosen rows, starting from the labelled rows. The seed
    breaks ties.

    Args:
        how: one of the above.
        count: rows to choose.
        seed: of the draw and of ties.
        rows: N; needed where neither of the next two is given.
        log_probs: (N, C) of a control, such as the student trained on labels alone; for uncertainty and entropy.
        embeddings: (N, ...) of a teacher, or encoded inputs; for coreset.
        labelled: rows in 0 .. N - 1 that need not be asked: they are not chosen, and coreset starts from them.

    Returns:
        int64 (count,), distinct; all rows, where there are fewer.

    Raises:
        UsageError: an argument is wrong, or one that this way needs is missing.
    """
    if how not in _HOW:
        raise UsageError(f"There is no way {how!r} to choose rows.{nearest(how, _HOW)}")
    table = _table(how, log_probs, embeddings)
    total = len(table) if table is not None else rows
    if total is None or count < 0:
        raise UsageError(
            f"choose_rows({how!r}, count={count}, rows={rows}): give the number of rows, and a count >= 0."
        )
    taken = np.unique(np.asarray([] if labelled is None else labelled, np.int64))
    order = shuffled(total, seed, _ASKING)
    free = order[~np.isin(order, taken)]
    if table is None:
        return free[:count]
    if how == "coreset":
        return _k_centres(table, free, taken, min(count, len(free)))
    probs = np.exp(table)
    if how == "uncertainty":
        two = np.sort(probs, axis=1)[:, -2:]
        sure = two[:, 1] - two[:, 0]
    else:
        sure = (probs * np.where(probs > 0, table, 0.0)).sum(1)  # minus the entropy
    return free[np.argsort(sure[free], kind="stable")][:count]


def _k_centres(points: Floats, free: Ints, begun: Ints, count: int) -> Ints:
    """Choose greedily the point farthest from all chosen ones; the first of ``free`` where none is chosen yet.

    The largest distance of a point to the nearest chosen one is at most twice the least that ``count`` points can reach
    (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985).

    Args:
        points: (N, D).
        free: points that may be chosen, in the order that breaks ties.
        begun: points that are already chosen.
        count: at most len(free).
    """
    chosen: list[int] = []
    candidates, distance = points[free], np.full(len(free), np.inf)
    for row in begun.tolist():
        distance = np.minimum(distance, ((candidates - points[row]) ** 2).sum(1))
    while len(chosen) < count:
        place = int(distance.argmax())
        chosen.append(int(free[place]))
        distance = np.minimum(distance, ((candidates - candidates[place]) ** 2).sum(1))
        distance[place] = -1.0
    return np.array(chosen, np.int64)


def _table(how: str, log_probs: ArrayLike | None, embeddings: ArrayLike | None) -> Floats | None:
    if how == "random":
        given: Any = log_probs if log_probs is not None else embeddings
        return None if given is None else _floats(given, "rows")
    wanted, name = (embeddings, "embeddings") if how == "coreset" else (log_probs, "log_probs")
    if wanted is None:
        raise UsageError(f"choose_rows({how!r}, ...) needs `{name}`: give an array (N, ...) with a row for each row.")
    table = _floats(wanted, name)
    if how != "coreset" and table.shape[1] < 2:
        raise UsageError(f"choose_rows({how!r}, ...): `log_probs` has {table.shape[1]} class. Give two or more.")
    return table


def _floats(values: ArrayLike, name: str) -> Floats:
    table = np.asarray(values, np.float64)
    table = table.reshape(len(table), -1) if table.ndim else table.reshape(1, 1)
    if np.isnan(table).any():
        raise UsageError(f"choose_rows: `{name}` holds NaN. Give finite numbers.")
    return table
