"""A teacher that answers its own training rows from memory is named, with a cure that works."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from torch import nn

import stillhouse as sh

pytestmark = pytest.mark.slow  # many whole runs

QUICK: dict[str, Any] = {"steps": 20, "seeds": [0], "accept_teacher": True}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(700, 5)).astype("float32")
NOISY = (X[:, 0] + 1.2 * RNG.normal(size=700) > 0).astype(int)  # a forest knows it by heart
EASY = (X[:, 0] > 0).astype(int)
PARTS = (slice(0, 400), slice(400, 550), slice(550, 700))


def parts(y: np.ndarray) -> Any:
    return tuple((X[part], y[part]) for part in PARTS)


def told(run: sh.Run) -> list[str]:
    return [text for text in run.scores["warnings"] if "fitted on these training rows" in text]


def test_a_forest_that_was_fitted_on_the_training_rows_is_told_of_early_and_on_the_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forest = RandomForestClassifier(50, random_state=0).fit(X[:400], NOISY[:400])
    with caplog.at_level(logging.INFO, "stillhouse"):
        run = sh.distill(teacher=forest, data=parts(NOISY), out=tmp_path / "run", **QUICK)
    (text,) = told(run)
    assert "accuracy is 99.8 % there and 74.7 % on validation rows" in text
    assert "`folds = 5`" in text
    assert text in caplog.text
    assert "fitted on these training rows" in run.report_path.read_text(encoding="utf-8")


def test_the_cures_that_it_names_answer_out_of_fold(tmp_path: Path) -> None:
    recipe = {"teacher": {"name": "random_forest", "folds": 5}}
    assert not told(sh.distill(recipe, data=parts(NOISY), out=tmp_path / "run", verbose=False, **QUICK))
    given = sh.Distiller(teacher=RandomForestClassifier(10, random_state=0), steps=20).fit(X[:400], NOISY[:400])
    assert given.predict(X[550:]).shape == (150,)


def test_other_rows_easy_rows_and_other_tasks_are_judged_by_the_same_rule(tmp_path: Path) -> None:
    elsewhere = RandomForestClassifier(50, random_state=0).fit(X[550:], NOISY[550:])
    assert not told(sh.distill(teacher=elsewhere, data=parts(NOISY), out=tmp_path / "a", verbose=False, **QUICK))
    easy = RandomForestClassifier(50, random_state=0).fit(X[:400], EASY[:400])
    assert not told(sh.distill(teacher=easy, data=parts(EASY), out=tmp_path / "b", verbose=False, **QUICK))
    price = X[:, 0] + RNG.normal(size=700)
    regressor = RandomForestRegressor(50, random_state=0).fit(X[:400], price[:400])
    run = sh.distill(
        teacher=regressor, task="regression", data=parts(price), out=tmp_path / "c", verbose=False, **QUICK
    )
    assert "explained variance" in told(run)[0]


def test_a_net_that_learned_its_rows_by_heart_is_told_to_use_folds(tmp_path: Path) -> None:
    teacher = {"name": "mlp_large", "settings": {"dropout": 0.0}, "training": {"steps": 400, "lr": 0.01}}
    first = sh.distill({"teacher": teacher}, data=parts(NOISY), out=tmp_path / "a", verbose=False, **QUICK)
    assert "Set `[teacher] folds = 5`" in told(first)[0]
    folded = {"teacher": teacher | {"folds": 2}}
    assert not told(sh.distill(folded, data=parts(NOISY), out=tmp_path / "b", verbose=False, **QUICK))


# A student that learned nothing


class Constant(nn.Module):
    """Answers each row with the same numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0 * x[:, :2] + self.bias


def test_a_student_that_answers_one_class_has_the_first_line_of_summary_and_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from stillhouse.cli import main

    target = (X[:, 0] > 0.5).astype(int)
    run = sh.distill(
        teacher="linear", student=Constant, data=parts(target), out=tmp_path / "run", verbose=False, **QUICK
    )
    line = "The student calls every test row '0'."
    assert run.scores["alarm"] == line
    assert run.summary().splitlines()[0] == f"!! {line}"
    assert run._repr_html_().startswith("<p><b>The student calls every test row")
    page = run.report_path.read_text(encoding="utf-8")
    body = page[page.index("<body") :]
    assert body.index("The student calls every test row") < body.index(run.folder.name)
    capsys.readouterr()
    assert main(["evaluate", str(run.folder)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"!! {line}"
