"""Many classes, huge numbers, constant columns and classes of one row: a run ends well, or says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import stillhouse as sh
from stillhouse.errors import RejectedError

RECIPE: dict[str, Any] = {"training": {"workers": 1}, "evaluation": {"resamples": 50}}
QUICK: dict[str, Any] = {"student": "linear", "steps": 40, "lr": 0.05, "batch_size": 32, "seeds": [0], "verbose": False}
CODES = np.arange(120) % 2
X = np.random.default_rng(0).normal(size=(120, 3)) + 2 * CODES[:, None]
TREES = {"name": "extra_trees", "settings": {"n_estimators": 5}}


@pytest.mark.slow
def test_three_hundred_classes_are_distilled_judged_and_shown(tmp_path: Path) -> None:
    codes = np.arange(900) % 300
    x = np.random.default_rng(0).normal(size=(900, 8)).astype(np.float32)

    def teacher(rows: Any) -> Any:
        return np.exp(-np.abs(np.asarray(rows)[:, :1] * 60 + 150 - np.arange(300)) / 20) + 1e-6

    def shares(rows: Any) -> Any:
        return teacher(rows) / teacher(rows).sum(1, keepdims=True)

    parts = [(x[rows], codes[rows]) for rows in (slice(0, 300), slice(300, 600), slice(600, 900))]
    run = sh.distill(RECIPE, teacher=shares, data=tuple(parts), out=tmp_path / "run", accept_teacher=True, **QUICK)
    assert len(run.scores["classes"]) == 300
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("value", [1e200, -1e39])
def test_a_cell_beyond_single_precision_is_named(tmp_path: Path, value: float) -> None:
    x = X.copy()
    x[17, 1] = value
    frame = pd.DataFrame(x, columns=list("abc"))
    for rows in (x, frame):
        train, test = (rows[:80], rows[80:]) if rows is x else (frame[:80], frame[80:])
        with pytest.raises(RejectedError, match=r"row 17 .*3\.4e38"):
            sh.distill(
                RECIPE, teacher=TREES, data=((train, CODES[:80]), None, (test, CODES[80:])), out=tmp_path / "r", **QUICK
            )
    frame.assign(kind=CODES).to_csv(tmp_path / "t.csv", index=False)
    data = {"path": str(tmp_path / "t.csv"), "target": "kind"}
    with pytest.raises(RejectedError, match=r"'b': row 17 .*3\.4e38"):
        sh.distill(RECIPE | {"data": data}, teacher=TREES, out=tmp_path / "run", **QUICK)


@pytest.mark.slow
def test_numbers_near_the_limit_and_constant_columns_are_learned(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abc"))
    frame["huge"], frame["tiny"] = frame["a"] * 1e37, frame["b"] * 1e-37
    frame["constant"], frame["far"], frame["gone"] = 7.0, 1e30, np.nan
    for rows, names in ((frame, "frame"), (frame.drop(columns="gone").to_numpy(), "array")):
        parts = (rows[:80], CODES[:80]), None, (rows[80:], CODES[80:])
        run = sh.distill(RECIPE, teacher=TREES, data=parts, out=tmp_path / names, **QUICK)
        assert (run.load().predict(rows) == CODES).mean() > 0.9


def test_a_class_with_one_row_is_named(tmp_path: Path) -> None:
    kinds = np.where(np.arange(120) == 50, "lonely", np.array(["a", "b"])[CODES])
    frame = pd.DataFrame(X, columns=list("abc")).assign(kind=kinds)
    frame.to_csv(tmp_path / "t.csv", index=False)
    recipe = RECIPE | {"data": {"path": str(tmp_path / "t.csv"), "target": "kind"}}
    with (
        pytest.warns(UserWarning, match="class 'lonely' has only one row"),
        pytest.raises(RejectedError, match=r"two labelled rows of each class .* one of 'lonely'"),
    ):
        sh.distill(recipe, teacher=TREES, out=tmp_path / "out of fold", **QUICK)
    ready = LogisticRegression().fit(frame[list("abc")], kinds)
    with pytest.warns(UserWarning, match="class 'lonely' has only one row"):
        run = sh.distill(recipe, teacher=ready, out=tmp_path / "ready", accept_teacher=True, **QUICK)
    assert run.load().classes_.tolist() == ["a", "b", "lonely"]


def test_targets_beyond_single_precision_are_named(tmp_path: Path) -> None:
    y = X[:, 0].copy()
    y[5] = 1e200
    with pytest.raises(RejectedError, match=r"row 5 .*3\.4e38"):
        sh.distill(
            RECIPE,
            task="regression",
            teacher=TREES,
            data=((X[:80], y[:80]), None, (X[80:], y[80:])),
            out=tmp_path / "r",
            **QUICK,
        )
