"""Numbers that are not finite: answers, weights and settings are refused with their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stillhouse as sh
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline import Run

RNG = np.random.default_rng(0)
Y = np.arange(90) % 2
X = (RNG.normal(size=(90, 3)) + 2 * Y[:, None]).astype("float32")
COLUMNS = ["a", "b", "c"]
DATA = ((pd.DataFrame(X[:60], columns=COLUMNS), Y[:60]), None, (pd.DataFrame(X[60:], columns=COLUMNS), Y[60:]))
QUICK: dict[str, Any] = {
    "data": DATA, "steps": 5, "seeds": [0], "accept_teacher": True, "verbose": False, "student": "mlp_tiny",
}  # fmt: skip


def teacher(rows: Any) -> Any:
    ill = 1 / (1 + np.exp(-np.asarray(rows, float).sum(1)))
    return np.stack([1 - ill, ill], 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    switched_off = {"controls": {"self_trained": False, "simple": False}}
    return sh.distill(switched_off, teacher=teacher, out=tmp_path_factory.mktemp("finite") / "run", **QUICK)


@pytest.mark.fault("A2", "a cell so large that the student computes no number from it", exit=4)
def test_a_student_without_an_answer_names_the_rows(run: Run) -> None:
    rows = pd.DataFrame(np.zeros((4, 3)), columns=COLUMNS)
    assert len(run.predict(rows)) == 4
    rows.loc[2, "b"] = 1e308
    with pytest.raises(RejectedError, match=r"row 2 \(counted from 0\)"):
        run.predict(rows)


@pytest.mark.fault("A2", "a teacher whose answers are infinite for some rows", exit=4)
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_teacher_without_an_answer_is_refused_with_the_rows(tmp_path: Path, value: float) -> None:
    def broken(rows: Any) -> Any:
        answers = np.log(teacher(rows))
        answers[np.asarray(rows)[:, 0] == DATA[0][0]["a"][41]] = value
        return answers

    with pytest.raises(RejectedError, match=r"(?i)(nan|infinit|finite).*41"):
        sh.distill(teacher=broken, out=tmp_path / "run", **QUICK)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_learning_rate_that_is_no_number_is_refused_before_anything_starts(tmp_path: Path, value: float) -> None:
    with pytest.raises(UsageError, match=r"training.*lr.*finite"):
        sh.distill(teacher=teacher, lr=value, out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()
