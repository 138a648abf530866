"""A teacher's confidence is fitted before its answers teach: a student takes over how sure its teacher is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch import Tensor, nn

import stillhouse as sh
from stillhouse.tasks import get

COOLING = 6.0  # the teacher answers with probabilities that are far too even


class TooUnsure(nn.Module):
    """The true log-odds of the labels, divided by a temperature."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(x)), 3 * x[:, 0]], 1) / COOLING


def rows(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(number, 2)).astype(np.float32)
    return x, (rng.random(number) < 1 / (1 + np.exp(-3 * x[:, 0]))).astype(np.int64)


def distil(out: Path, **recipe: Any) -> Any:
    x, y = rows(400, 0)
    seen = y.astype(float)
    seen[100:] = np.nan
    off = {"controls": {"self_trained": False, "simple": False}, "evaluation": {"resamples": 100}}
    own = {"name": "mlp_tiny", "calibrate": "none"}
    return sh.distill(
        off | recipe, teacher=TooUnsure(), student=own, data=((x, seen), rows(300, 1), rows(500, 2)), steps=400,
        lr=0.01, seeds=[0], out=out, accept_teacher=True, verbose=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tmp_path_factory.mktemp("calibration")
    return distil(folder / "on"), distil(folder / "off", teacher={"calibrate": "none"})


def test_the_temperature_is_that_of_the_validation_rows(runs: Any) -> None:
    found = runs[0].record["teacher_calibration"]["teacher"]
    assert found["rows"] == 300
    assert found["temperature"] == pytest.approx(1 / COOLING, rel=0.35)


def test_the_student_is_as_sure_as_it_should_be_and_else_as_unsure_as_its_teacher(runs: Any) -> None:
    on, off = (run.scores["models"]["distilled"]["measures"]["nll"]["value"] for run in runs)
    teacher = runs[1].scores["models"]["teacher"]["measures"]["nll"]["value"]
    assert on < off - 0.1
    assert abs(off - teacher) < 0.05
    assert runs[1].record["teacher_calibration"]["teacher"] == {
        "temperature": 1.0, "rows": 0, "why": 'calibrate = "none"'
    }  # fmt: skip


def test_the_stored_answers_stay_as_the_teacher_gave_them(runs: Any) -> None:
    on, off = (sorted((run.folder / "store").rglob("*.npy")) for run in runs)
    assert [file.read_bytes() for file in on] == [file.read_bytes() for file in off]


def test_the_temperature_is_the_minimum_of_the_log_loss() -> None:
    rng = np.random.default_rng(0)
    true = 2 * rng.normal(size=(500, 4))
    targets = (true + rng.gumbel(size=true.shape)).argmax(1)
    outputs = log_softmax(2.5 * true, axis=1)
    found = get("classification").temperature(torch.from_numpy(outputs).float(), torch.from_numpy(targets))

    def loss(t: float) -> float:
        return float(-log_softmax(outputs / t, axis=1)[np.arange(500), targets].mean())

    assert found == pytest.approx(minimize_scalar(loss, bounds=(0.1, 10), method="bounded").x, rel=1e-2)


def test_labels_have_one_temperature_and_values_none() -> None:
    rng = np.random.default_rng(0)
    true = 2 * rng.normal(size=(800, 3))
    targets = (rng.random(true.shape) < 1 / (1 + np.exp(-true))).astype(np.float32)
    targets[:100, 0] = np.nan
    found = get("multilabel").temperature(torch.from_numpy(3 * true).float(), torch.from_numpy(targets))
    assert found == pytest.approx(3, rel=0.15)
    assert get("regression").temperature(torch.zeros(50, 1), torch.zeros(50, 1)) is None
