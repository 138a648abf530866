"""``[data] weight`` counts in every arm and in the teacher that is trained here: rows of weight 0 change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stillhouse as sh

pytestmark = pytest.mark.slow  # many whole runs

ROWS = 400
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 3))
Y = np.where(X[:, 0] + RNG.normal(size=ROWS) / 2 > 0, "pos", "neg")
ODD = (np.arange(ROWS) % 3 == 0) & (np.arange(ROWS) < 240)  # training rows whose labels are exchanged
EXCHANGED = np.where(ODD, np.where(Y == "pos", "neg", "pos"), Y)
NETS = ({"name": "mlp_large", "settings": {"hidden": [8]}, "training": {"steps": 40, "batch_size": 32}}, "mlp_tiny")
TREES = ({"name": "extra_trees", "settings": {"n_estimators": 5, "max_depth": 4}}, "decision_tree")


def answers(folder: Path, kind: tuple[dict[str, Any], str], labels: Any, weights: Any) -> dict[str, np.ndarray]:
    """What each net answers to the test rows."""
    frame = pd.DataFrame(X, columns=list("abc")).assign(w=weights)
    parts = [(frame[rows], labels[rows]) for rows in (slice(0, 240), slice(240, 300), slice(300, ROWS))]
    recipe = {
        "data": {"weight": "w"},
        "training": {"seeds": [0], "workers": 1, "lr": 1e-2, "batch_size": 32},
        "controls": {"all_labels": False},
        "evaluation": {"resamples": 50},
        "teacher": kind[0],
    }
    steps = 40 if kind is NETS else None
    run = sh.distill(recipe, data=parts, student=kind[1], steps=steps, out=folder, accept_teacher=True, verbose=False)
    with np.load(run.folder / "predictions.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("kind", [NETS, TREES], ids=["nets", "trees"])
def test_rows_of_weight_0_change_no_net_and_others_do(tmp_path: Path, kind: tuple[dict[str, Any], str]) -> None:
    weights = np.where(ODD, 0.0, 2.0)
    right = answers(tmp_path / "right", kind, Y, weights)
    wrong = answers(tmp_path / "wrong", kind, EXCHANGED, weights)
    nets = [name for name in right if right[name].dtype.kind == "f"]
    assert {"teacher", "labels_only", "distilled"} <= {part for name in nets for part in name.split("/")}
    for name in right:
        np.testing.assert_array_equal(right[name], wrong[name], err_msg=name)
    counted = answers(tmp_path / "counted", kind, EXCHANGED, np.ones(ROWS))
    for name in nets:
        assert not np.array_equal(counted[name], right[name]), name


def test_a_larger_weight_moves_every_net_towards_its_rows(tmp_path: Path) -> None:
    heavy = answers(tmp_path / "heavy", NETS, EXCHANGED, np.where(ODD, 20.0, 1.0))
    light = answers(tmp_path / "light", NETS, EXCHANGED, np.where(ODD, 0.1, 1.0))
    labels = (Y[300:] == "pos").astype(int)
    for name in (name for name in heavy if heavy[name].ndim == 2 and heavy[name].dtype.kind == "f"):
        right = [(found[name].argmax(1) == labels).mean() for found in (heavy, light)]
        assert right[0] < 0.5 < right[1], name
