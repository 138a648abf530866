"""imodels' trees of at most 16 leaves, on the labels alone and on the teacher's answers."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.peers.runners.common import Array, Fit, Model, World, run
from imodels import FIGSClassifier, HSTreeClassifier  # type: ignore[import-not-found]
from sklearn.tree import DecisionTreeClassifier

LEAVES = 16


def rows(world: World, numbers: Array) -> Array:
    """Numbers as they are, a column of 0 and 1 for each category."""
    found: Array = encoded(world)[numbers]
    return found


@cache
def encoded(world: World) -> Array:
    """All rows as numbers."""
    found: Array = pd.get_dummies(world.frame).to_numpy(dtype=np.float64)
    return found


def fitted(make: Callable[[int], Any], distilled: bool) -> Fit:
    """A fit of one kind of tree."""

    def fit(world: World, seed: int) -> Model:
        positions, classes, weights = world.weighted() if distilled else own(world)
        tree = make(seed)
        tree.fit(rows(world, world.train[positions]), classes, sample_weight=weights)
        return Model(tree.predict_proba, len(pickle.dumps(tree)))

    return fit


def own(world: World) -> tuple[Array, Array, Array]:
    """The labelled rows, each with its own label."""
    known = world.labelled
    return known, world.labels[known], np.ones(len(known))


MAKERS: dict[str, Callable[[int], Any]] = {
    "cart": lambda seed: DecisionTreeClassifier(max_leaf_nodes=LEAVES, random_state=seed),
    "shrinkage": lambda seed: HSTreeClassifier(
        DecisionTreeClassifier(max_leaf_nodes=LEAVES, random_state=seed), reg_param=10
    ),
    "figs": lambda seed: FIGSClassifier(max_rules=LEAVES - 1, random_state=seed),
}


if __name__ == "__main__":
    kinds = (("labels", False), ("distilled", True))
    run(
        {f"{name}_{kind}": (fitted(make, soft), 1) for name, make in MAKERS.items() for kind, soft in kinds},
        rows,
        ("imodels", "scikit-learn"),
    )
