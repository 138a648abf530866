"""Whole runs with linear students that are fitted at once: texts and tables, their exports, and what cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.pipeline import Run, load
from stillhouse.recipe import parse
from tests.pipeline.test_text_run import write_texts

pytestmark = pytest.mark.usefixtures("one_thread")


def text_recipe(folder: Path, student: dict[str, Any]) -> dict[str, Any]:
    """A small transformer teaches on texts of which 30 have labels."""
    return {
        "data": {"text": str(write_texts(folder / "texts.csv")), "labels": 30, "tokens": 24, "vocabulary": 256},
        "teacher": {
            "name": "transformer_tiny",
            "labels": "all",
            "settings": {"width": 16, "layers": 1, "heads": 2, "feedforward": 32},
            "training": {"steps": 60, "batch_size": 32, "lr": 1e-2},
        },
        "student": student,
        "training": {"seeds": [0, 1]},
        "evaluation": {"resamples": 200},
        "output": {"dir": str(folder / "run")},
    }


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose student is naive Bayes on TF-IDF."""
    student = {"name": "tfidf_linear", "settings": {"variant": "naive_bayes"}}
    return sh.distill(parse(text_recipe(tmp_path_factory.mktemp("texts"), student)), accept_teacher=True)


def test_texts_are_taught_to_tfidf_which_loads_and_is_exported(texts: Run) -> None:
    models = texts.scores["models"]
    assert models["distilled"]["measures"]["accuracy"]["value"] > 0.7, "chance is a third"
    student = load(texts.folder)
    asked = ["boat and salt in the gull quay", "oak cask of malt"]
    told = student.predict_proba(asked)
    assert student.predict(asked).tolist() == ["harbour", "cellar"]
    session = onnxruntime.InferenceSession(str(sh.export(texts.folder)), providers=["CPUExecutionProvider"])
    inputs = student.encoder.tokenizer_ids(student.encoder.encode(asked)).numpy()
    np.testing.assert_allclose(session.run(["probabilities"], {"inputs": inputs})[0], told, atol=1e-5)


def test_a_student_that_cannot_read_texts_is_refused_before_the_teacher_and_the_cure_runs(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"'logistic' reads tables and images, and these rows are texts.*'tfidf_linear'"
    ):
        sh.plan(parse(text_recipe(tmp_path, {"name": "logistic"})))
    sh.plan(parse(text_recipe(tmp_path, {"name": "tfidf_linear"})))
    assert not (tmp_path / "run").exists()


def test_values_of_a_table_are_taught_to_ridge_in_the_users_units(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(240, 3)), columns=list("abc"))
    y = 100 + 50 * frame["a"] - 20 * frame["b"] + draw.normal(size=240)
    teacher = RandomForestRegressor(20, random_state=0).fit(frame[:100], y[:100])
    run = sh.distill(
        data=((frame[:140], y[:140]), None, (frame[140:], y[140:])),
        teacher=teacher,
        student="logistic",
        task="regression",
        recipe={"data": {"labels": 40}, "evaluation": {"resamples": 200}},
        seeds=[0],
        out=tmp_path / "run",
        accept_teacher=True,
    )
    assert run.scores["models"]["distilled"]["measures"]["r2"]["value"] > 0.8
    assert np.corrcoef(load(run.folder).predict(frame).ravel(), y)[0, 1] > 0.9
