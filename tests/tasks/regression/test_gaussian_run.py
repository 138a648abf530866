"""A teacher's spread goes through store and units into the loss of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillhouse.errors import UsageError
from stillhouse.pipeline.interface.api import distill
from stillhouse.pipeline.interface.handle import Run

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(240, 3)).astype(np.float32)
Y = X.sum(1) + 500


def run(folder: Path, teacher: Any) -> Run:
    parts = ((X[:160], Y[:160]), None, (X[160:], Y[160:]))
    recipe = {
        "task": {"name": "regression"},
        "student": {"name": "linear"},
        "method": [{"name": "gaussian"}],
        "training": {"steps": 200, "batch_size": 80, "lr": 0.05, "seeds": [0], "label_weight": 0.0},
        "evaluation": {"resamples": 100},
        "output": {"dir": str(folder)},
    }
    return distill(recipe, teacher=teacher, data=parts, accept_teacher=True, verbose=False)


def test_a_student_follows_its_teacher_where_that_is_sure(tmp_path: Path) -> None:
    def teacher(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wrong = rows[:, :1] > 0.5  # there it is far off, and says so
        values = rows.sum(1, keepdims=True) + 500 + np.where(wrong, 5.0, 0.0)
        return values, np.where(wrong, 50.0, 0.1)

    answers = run(tmp_path / "run", teacher).load().predict(X[160:])
    assert np.abs(answers - Y[160:]).mean() < 0.5


def test_a_teacher_without_a_spread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="spread"):
        run(tmp_path / "run", lambda rows: rows.sum(1, keepdims=True))
