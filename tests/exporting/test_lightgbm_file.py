"""LightGBM's own file of a student that is boosted trees, read by LightGBM itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

import stillhouse as sh
from stillhouse.errors import UsageError

OFF = {"controls": {"simple": False, "self_trained": False}, "evaluation": {"resamples": 100}}


def rows(number: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(number, 4)).astype(np.float32)


def chances(x: Any) -> np.ndarray:
    scores = np.exp(3 * np.asarray(x, np.float64)[:, :3])
    return np.asarray(scores / scores.sum(1, keepdims=True))


TEACHERS: dict[str, Any] = {
    "classification": chances,
    "regression": lambda x: 1000 + 50 * np.asarray(x)[:, :1] ** 2,
    "multilabel": lambda x: 1 / (1 + np.exp(-5 * np.asarray(x)[:, :2])),
}
LABELS: dict[str, Any] = {
    "classification": lambda y: y.argmax(1),
    "regression": lambda y: y,
    "multilabel": lambda y: (y > 0.5).astype(np.float32),
}


def distil(out: Path, student: Any, task: str = "classification") -> Any:
    teacher, labels = TEACHERS[task], LABELS[task]
    parts = [rows(300, 0), rows(60, 1), rows(100, 2)]
    return sh.distill(
        OFF, task=task, teacher=teacher, student=student, data=tuple((x, labels(teacher(x))) for x in parts), seeds=[0],
        steps=10, out=out, accept_teacher=True, verbose=False,
    )  # fmt: skip


def test_lightgbm_predicts_from_the_file_what_the_student_predicts(tmp_path: Path) -> None:
    run = distil(tmp_path / "run", {"name": "lightgbm", "settings": {"max_iter": 10}})
    file = sh.export(run.folder, "lightgbm")
    assert file.name == "student.txt"
    student, x = sh.load(run.folder), rows(200, 3)
    found = np.asarray(lightgbm.Booster(model_file=str(file)).predict(student.encoder.encode(x).double().numpy()))
    np.testing.assert_allclose(found, student.predict_proba(x), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_values_and_labels_have_a_file_too(tmp_path: Path, task: str) -> None:
    run = distil(tmp_path / "run", {"name": "gradient_boosting", "settings": {"max_iter": 5}}, task)
    student, x = sh.load(run.folder), rows(200, 3)
    encoded = student.encoder.encode(x).double().numpy()
    found = np.asarray(lightgbm.Booster(model_file=str(sh.export(run.folder, "lightgbm"))).predict(encoded))
    wanted = student.predict_proba(x) if task == "multilabel" else student.predict(x)
    assert task == "multilabel" or wanted.min() > 900  # in the user's units
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_net_has_no_such_file(tmp_path: Path) -> None:
    run = distil(tmp_path / "run", "mlp_tiny")
    with pytest.raises(UsageError, match=r'holds trees.*"lightgbm".*"onnx"'):
        sh.export(run.folder, "lightgbm")
    assert sh.export(run.folder, "onnx").exists()
