"""LightGBM as one would call it: on the labels alone, and on the teacher's answers as weighted rows."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
from benchmarks.peers.runners.common import Array, Model, World, run

SETTINGS = {"num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 20, "num_threads": 1, "verbosity": -1}
ROUNDS, PATIENCE = 300, 20


def rows(world: World, numbers: Array) -> Any:
    """Columns of text as pandas' categories, which LightGBM takes as they are."""
    frame = world.frame
    words = frame.select_dtypes(exclude="number").columns
    return frame.astype(dict.fromkeys(words, "category")).iloc[numbers]


def fitted(world: World, x: Any, y: Array, weights: Array | None, seed: int) -> Model:
    """Boosting that stops early by the labelled validation rows."""
    classes = len(world.classes)
    objective = {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}
    valid_rows = rows(world, world.valid)
    data = lightgbm.Dataset(x, y, weight=weights)
    valid = lightgbm.Dataset(valid_rows, world.valid_labels, reference=data)
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    booster = lightgbm.train(SETTINGS | objective | {"seed": seed}, data, ROUNDS, valid_sets=[valid], callbacks=[stop])

    def predict(given: Any) -> Array:
        found = np.asarray(booster.predict(given, num_threads=1))
        return np.stack([1 - found, found], 1) if classes == 2 else found

    return Model(predict, len(booster.model_to_string(num_iteration=booster.best_iteration)))


def labels_alone(world: World, seed: int) -> Model:
    known = world.labelled
    return fitted(world, rows(world, world.train[known]), world.labels[known], None, seed)


def on_answers(world: World, seed: int) -> Model:
    positions, classes, weights = world.weighted()
    return fitted(world, rows(world, world.train[positions]), classes, weights, seed)


if __name__ == "__main__":
    run({"labels": (labels_alone, 1), "distilled": (on_answers, 1)}, rows, ("lightgbm", "numpy"))
