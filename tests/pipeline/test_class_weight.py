"""``[training] class_weight`` counts in every arm, in the teacher that is trained here, and in the run's identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillhouse as sh
from stillhouse.errors import UsageError

RNG = np.random.default_rng(0)
RARE = RNG.random(1200) < 0.08
X = (RNG.normal(size=(1200, 3)) + np.where(RARE, 1.0, 0.0)[:, None]).astype(np.float32)
Y = np.where(RARE, "rare", "usual")
DATA = ((X[:700], Y[:700]), (X[700:800], Y[700:800]), (X[800:], Y[800:]))
TRAINING = {"seeds": [0], "workers": 1, "lr": 1e-2, "batch_size": 64}


def recalls(folder: Path, teacher: dict[str, Any], student: str, weight: str) -> dict[str, float]:
    """The share of rare test rows that each net finds."""
    recipe = {
        "training": TRAINING | {"class_weight": weight},
        "teacher": teacher,
        "controls": {"all_labels": False},
        "evaluation": {"resamples": 50, "measure": "balanced_accuracy"},
    }
    run = sh.distill(recipe, data=DATA, student=student, steps=60, out=folder, accept_teacher=True, verbose=False)
    found = {}
    for arm, entry in run.scores["models"].items():
        found[arm] = next(v["value"] for k, v in entry["measures"].items() if k == "balanced_accuracy")
    return found


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        ({"name": "mlp_large", "settings": {"hidden": [16]}, "training": {"steps": 60, "batch_size": 64}}, "mlp_tiny"),
        ({"name": "extra_trees", "settings": {"n_estimators": 20, "max_depth": 4}}, "decision_tree"),
    ],
)
@pytest.mark.slow
def test_every_arm_finds_more_of_a_rare_class(tmp_path: Path, teacher: dict[str, Any], student: str) -> None:
    plain = recalls(tmp_path / "plain", teacher, student, "none")
    even = recalls(tmp_path / "even", teacher, student, "balanced")
    assert {"distilled", "labels_only", "teacher"} <= set(plain)
    for arm, value in plain.items():
        assert even[arm] > value + 0.05, arm


def test_it_belongs_to_the_identity_of_the_run() -> None:
    plain, even = (sh.Recipe.model_validate({"training": {"class_weight": w}}) for w in ("none", "balanced"))
    assert plain.digest() != even.digest()


def test_targets_without_classes_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'class_weight = "balanced" is for one class of each row'):
        sh.distill({"training": {"class_weight": "balanced"}}, task="regression", data=DATA, out=tmp_path / "run")
