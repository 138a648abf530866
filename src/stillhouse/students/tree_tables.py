"""scikit-learn's trees written as one table of nodes.

It splits float32 inputs at float64 thresholds; thresholds here are float32. A threshold rounded down sends every
float32 value to the same side as the original, because no float32 value lies between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stillhouse.students.trees import Forest

Doubles = NDArray[np.float64]


class Nodes(NamedTuple):
    """One tree, its nodes numbered from 0; in leaves only the value counts."""

    leaf: NDArray[np.bool_]  # (n,)
    feature: NDArray[Any]  # (n,)
    threshold: Doubles  # (n,)
    left: NDArray[Any]  # (n,)
    right: NDArray[Any]  # (n,)
    value: Doubles  # (n, W)


SILENT = Nodes(np.ones(1, bool), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros((1, 1)))


def boosted_nodes(records: NDArray[np.void]) -> Nodes:
    """Nodes of one tree of scikit-learn's histogram boosting, fitted on numbers without gaps."""
    return Nodes(
        records["is_leaf"].astype(bool),
        records["feature_idx"],
        records["num_threshold"],
        records["left"],
        records["right"],
        records["value"][:, None],
    )


def as_forest(trees: Sequence[Nodes], roots: NDArray[np.int64], base: Doubles, share: Doubles) -> Forest:
    """Trees one after another in one table; ``roots`` number its nodes."""
    ends = np.cumsum([0, *(len(tree.leaf) for tree in trees)])
    own = np.arange(ends[-1])
    offset = np.repeat(ends[:-1], np.diff(ends))
    leaf = np.concatenate([tree.leaf for tree in trees])
    left, right = (np.concatenate([getattr(tree, side) for tree in trees]) for side in ("left", "right"))
    return Forest(
        feature=_integers(np.where(leaf, 0, np.concatenate([tree.feature for tree in trees]))),
        threshold=torch.from_numpy(np.where(leaf, 0, round_down(np.concatenate([tree.threshold for tree in trees])))),
        left=_integers(np.where(leaf, own, left + offset)),
        right=_integers(np.where(leaf, own, right + offset)),
        value=_floats(np.concatenate([tree.value for tree in trees])),
        share=_floats(share),
        roots=_integers(roots),
        base=_floats(base),
    )


def round_down(values: Doubles) -> NDArray[np.float32]:
    """The largest float32 that is at most the value."""
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite; its neighbour is the largest finite one
        near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


def _integers(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.int64))


def _floats(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
