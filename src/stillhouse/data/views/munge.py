"""Table cells are replaced by values near the nearest row; strength is the local variance; views have no label.

MUNGE makes rows between a row and its nearest neighbour, for a teacher to answer: Bucila, Caruana and Niculescu-Mizil,
"Model Compression", KDD 2006, algorithm 1. The paper goes through a copy of the set and swaps the attributes of a row
and its neighbour in place, so that later rows get changed values; here each view is made from the unchanged set, so
that it depends on (row, view, seed) alone. A single swap is the same as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.source import Ints
from stillhouse.data.splitmix import Words, mix, normal, stream, uniform
from stillhouse.data.views.base import Asked, Flags, Policy, Views, described, digest, need_fractions, need_pool
from stillhouse.errors import UsageError

Floats = NDArray[np.float32]

_CELLS = 1 << 24  # distances held at once: 128 MB
_BITS = 20  # of a number scaled to [0, 1], at most


class Attributes(NamedTuple):
    """Which encoded columns are one attribute, and which are numbers."""

    owner: Ints  # (D,) attribute of each column
    numeric: Flags  # (D,) columns that hold numbers; the others mark a category or a gap

    @property
    def size(self) -> int:
        """Number of attributes."""
        return int(self.owner.max(initial=-1)) + 1


def attributes(width: int, groups: Sequence[Sequence[int]], numbers: Sequence[int] | None) -> Attributes:
    """Return which of ``width`` columns belong together.

    Args:
        width: D.
        groups: columns of each attribute that has several; any other column is one attribute.
        numbers: columns that hold numbers; None: all columns without a group.

    Raises:
        UsageError: a column that does not exist, or in two groups.
    """
    grouped = [column for group in groups for column in group]
    if len(set(grouped)) < len(grouped) or any(not 0 <= c < width for c in (*grouped, *(numbers or ()))):
        raise UsageError(
            f"column_groups = {list(groups)!r}, columns = {numbers!r}: each group names columns from 0 to {width - 1}, "
            "and no column may be in two groups."
        )
    owner = np.full(width, -1)
    for number, group in enumerate(groups):
        owner[list(group)] = number
    alone = owner < 0
    owner[alone] = len(groups) + np.arange(alone.sum())
    numeric = alone.copy()
    if numbers is not None:
        numeric[:] = False
        numeric[list(numbers)] = True
    return Attributes(owner, numeric)


def nearest_rows(pool: Floats, kinds: Attributes) -> Ints:
    """Find the other row nearest to each row: Euclidean on numbers scaled to [0, 1], 1 for each category that differs.

    The numbers are rounded to 20 bits (fewer beyond 511 columns), so that every sum is exact in float64: the nearest
    row is the same on every machine, and of several the first.

    Args:
        pool: (N, D), N at least 2.
        kinds: of the D columns.

    Returns:
        int64 (N,).
    """
    low, span = pool.min(0), np.ptp(pool, 0).astype(np.float64)
    unit = (pool - low) / np.where(span > 0, span, 1.0)
    bits = min(_BITS, (50 - (2 * pool.shape[1]).bit_length()) // 2)
    left = np.round(unit * 2.0**bits)
    # A category that differs changes two marks of its group by 1; a number or a single mark counts only once.
    sizes = np.bincount(kinds.owner[~kinds.numeric], minlength=kinds.size)
    right = left * np.where(kinds.numeric | (sizes[kinds.owner] < 2), 2.0, 1.0)
    norms = (left * right).sum(1)
    found = np.empty(len(pool), np.int64)
    step = max(1, _CELLS // len(pool))
    for start in range(0, len(pool), step):
        # The row's own norm is left out: it is the same for all others.
        distances = norms - 2.0 * (right[start : start + step] @ left.T)
        own = np.arange(len(distances))
        distances[own, own + start] = np.inf
        found[start : start + step] = distances.argmin(1)
    return found


def munge(
    rows: Floats, neighbours: Floats, keys: Words, kinds: Attributes, *, variance: float, probability: float
) -> Floats:  # fmt: skip
    """Replace each attribute of each row, with a probability, by one drawn around its neighbour's.

    A number x becomes normal with the mean x' and the deviation |x - x'| / s; a category becomes the neighbour's. If
    the marks of gaps of two numbers differ, the number becomes exactly the neighbour's.

    Args:
        rows: (B, D).
        neighbours: (B, D), the nearest other row of each row.
        keys: (B,) random words.
        kinds: of the D columns.
        variance: the paper's s, above 0: the larger, the nearer to the neighbour's number.
        probability: the paper's p, in [0, 1].

    Returns:
        float32 (B, D).
    """
    chance = uniform(stream(keys, kinds.size))
    exchanged = (chance < probability)[:, kinds.owner]
    members = (kinds.owner[:, None] == np.arange(kinds.size)).astype(np.float32)
    differ = ((rows != neighbours) & ~kinds.numeric).astype(np.float32) @ members > 0
    spread = kinds.numeric & ~differ[:, kinds.owner]
    noise = normal(mix(keys), rows.shape[1]) * (np.abs(rows - neighbours) / np.float32(variance))
    return np.where(exchanged, neighbours + np.where(spread, noise, np.float32(0)), rows)


def _check(views: Views) -> None:
    if not (views.strength > 0 and 0 <= views.probability <= 1):
        raise UsageError(
            f'[views] policy = "munge" takes a local variance above 0 and a probability from 0 to 1, but strength = '
            f"{views.strength:g} and the probability is {views.probability:g}. Write `strength = 2`, for instance."
        )
    need_pool(views, "mixes rows with their neighbours")
    if views.pool is not None and (views.pool.dim() != 2 or len(views.pool) < 2):
        raise UsageError(
            f'[views] policy = "munge" needs a table of at least two training rows, but these have the shape '
            f'{tuple(views.pool.shape)}. Write "none", or for images "shift", "cutout" or "mixup".'
        )


def _neighbourhood(views: Views) -> tuple[Floats, Attributes, Ints]:
    """The pool as numpy (N, D), the kinds of its columns, and the nearest row to each row."""
    assert views.pool is not None
    pool = views.pool.detach().float().cpu().numpy()
    kinds = attributes(pool.shape[1], views.column_groups, views.columns)
    return pool, kinds, nearest_rows(pool, kinds)


def _apply(views: Views, asked: Asked) -> Tensor:
    pool, kinds, nearest_row = views.prepared
    moved = torch.from_numpy(asked.moved).to(asked.inputs.device)
    made, own = asked.inputs.clone(), asked.inputs[moved].float().cpu().numpy()
    rows = munge(
        own,
        pool[nearest_row[asked.rows[asked.moved]]],
        asked.keys[asked.moved],
        kinds,
        variance=views.strength,
        probability=views.probability,
    )
    made[moved] = torch.from_numpy(rows).to(asked.inputs)
    return made


def _describe(views: Views) -> str:
    kinds = f"columns={views.columns!r} groups={views.column_groups!r} probability={views.probability:g}"
    return f"{described(views)} {kinds} pool={digest(views.pool)}"


POLICY = Policy(
    stream=15,
    apply=_apply,
    check=_check,
    check_inputs=lambda inputs: need_fractions("munge", inputs),
    describe=_describe,
    keeps_label=False,
    prepare=_neighbourhood,
    strength=lambda shape: 2.0,
)
