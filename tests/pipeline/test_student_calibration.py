"""Every student and rival ships with a temperature fitted to validation rows, and predicts as it did without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy.special import log_softmax
from torch import Tensor, nn

import stillhouse as sh
from stillhouse.pipeline.student.calibration import divided
from stillhouse.tasks.classification.calibration import fit_temperature

CLASSES, WIDTH = 26, 8
CENTRES = np.random.default_rng(9).normal(size=(CLASSES, WIDTH))
NOISE = 0.6
OFF: dict[str, Any] = {
    "controls": {"self_trained": False, "all_labels": False, "simple": False},
    "evaluation": {"resamples": 100},
}


class TooUnsure(nn.Module):
    """The true log-probabilities of the classes, divided by 5."""

    def forward(self, x: Tensor) -> Tensor:
        gaps = x[:, None].double() - torch.from_numpy(CENTRES)
        return (-gaps.square().sum(-1) / (2 * NOISE**2) / 5).float()


class Bounded(nn.Module):
    """A head behind whose linear layer the logits are bounded: they are not proportional to its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(WIDTH, 32), nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return 4 * torch.tanh(self.head(self.body(x).relu()) / 4)


def rows(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, number)
    return (CENTRES[y] + NOISE * rng.normal(size=(number, WIDTH))).astype(np.float32), y


def distil(out: Path, calibrate: str = "temperature", student: Any = "mlp_tiny", **options: Any) -> Any:
    x, y = rows(1200, 0)
    seen = y.astype(float)
    seen[300:] = np.nan
    own = {"student": {"calibrate": calibrate}, "teacher": {"calibrate": "none"}}
    given = {"steps": 250, "lr": 0.01} | options
    return sh.distill(
        OFF | own, teacher=TooUnsure(), student=student, data=((x, seen), rows(300, 1), rows(1000, 2)), seeds=[0],
        out=out, accept_teacher=True, verbose=False, **given,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tmp_path_factory.mktemp("calibration")
    return distil(folder / "on"), distil(folder / "off", calibrate="none")


def distilled(run: Any) -> dict[str, Any]:
    found: dict[str, Any] = run.scores["models"]["distilled"]
    return found


def test_a_student_of_a_teacher_that_is_too_unsure_is_as_sure_as_it_should_be(runs: Any) -> None:
    on, off = map(distilled, runs)
    assert off["calibration"]["ece"]["value"] > 0.15
    assert on["calibration"]["ece"]["value"] < 0.04
    assert on["measures"]["nll"]["value"] < off["measures"]["nll"]["value"] - 0.2


def test_every_arm_is_judged_beside_what_it_was_without_its_temperature(runs: Any) -> None:
    on, off = (run.scores["models"] for run in runs)
    assert set(on) == {"teacher", "labels_only", "distilled"}
    for arm in set(on) - {"teacher"}:
        (found,) = on[arm]["temperatures"].values()
        assert found != 1
        assert on[arm]["unfitted"]["nll"]["value"] == pytest.approx(off[arm]["measures"]["nll"]["value"], rel=1e-4)
        assert on[arm]["unfitted"]["ece"]["value"] == pytest.approx(off[arm]["calibration"]["ece"]["value"], abs=2e-3)
    assert not {"temperatures", "unfitted"} & set(off["distilled"])
    assert "before its temperature" in (runs[0].folder / "report.html").read_text(encoding="utf-8")


def test_accuracy_does_not_move(runs: Any) -> None:
    on, off = (run.scores["models"] for run in runs)
    for arm in on:
        assert on[arm]["measures"]["accuracy"]["value"] == off[arm]["measures"]["accuracy"]["value"]


def test_the_temperature_is_folded_into_the_last_layer_and_nothing_else_differs(runs: Any) -> None:
    on, off = (load_file(run.folder / "student" / "model.safetensors") for run in runs)
    (found,) = distilled(runs[0])["temperatures"].values()
    last = [name for name in off if not np.array_equal(on[name], off[name])]
    assert [name.rpartition(".")[2] for name in last] == ["bias", "weight"]
    for name in last:
        np.testing.assert_allclose(on[name] * found, off[name], rtol=1e-5)


@pytest.mark.slow
def test_what_ships_and_what_is_exported_are_the_net_that_was_judged(runs: Any) -> None:
    shipped_as_judged(runs[0], sh.load(runs[0].folder))


def shipped_as_judged(run: Any, student: Any, **module: Any) -> None:
    """Compare ``predict_proba`` and the ONNX file with the predictions of the run."""
    import onnxruntime

    x, _ = rows(1000, 2)
    with np.load(run.folder / "predictions.npz") as file:
        judged = np.exp(file["distilled/0"])
    np.testing.assert_allclose(student.predict_proba(x), judged, atol=1e-4)
    session = onnxruntime.InferenceSession(str(sh.export(run.folder, **module)))
    found = session.run(["probabilities"], {session.get_inputs()[0].name: x})[0]
    np.testing.assert_allclose(found, judged, atol=1e-4)


@pytest.mark.slow
def test_a_net_whose_outputs_do_not_follow_its_last_layer_ships_with_its_temperature_behind_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    run = distil(tmp_path / "run", student=Bounded(), steps=60)
    card = json.loads((tmp_path / "run" / "student" / "model.json").read_text(encoding="utf-8"))
    assert card["net"]["tempered"] is True
    shipped_as_judged(run, sh.load(run.folder, module=Bounded()), module=Bounded())


def test_weights_that_serve_twice_are_not_divided() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
            self.last.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.last(self.first(x).relu())
            return found

    assert divided(Tied(), 2.0, torch.ones(3, 4)) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "student",
    [
        {"name": "decision_tree", "settings": {"max_leaf_nodes": 30}},
        {"name": "figs"},
        {"name": "lightgbm", "settings": {"max_iter": 3}},
        {"name": "logistic"},
    ],
    ids=lambda student: student["name"],
)
def test_students_that_are_fitted_at_once_ship_with_a_temperature(tmp_path: Path, student: dict[str, Any]) -> None:
    run = distil(tmp_path / "run", student=student)
    model = distilled(run)
    (found,) = model["temperatures"].values()
    assert abs(np.log(found)) > 0.1
    assert model["measures"]["nll"]["value"] < model["unfitted"]["nll"]["value"]
    x, y = rows(1000, 2)
    assert (sh.load(run.folder).predict(x).astype(int) == y).mean() == pytest.approx(
        model["measures"]["accuracy"]["value"]
    )


def test_few_rows_that_are_all_right_do_not_say_that_a_net_is_never_wrong() -> None:
    targets = np.arange(40) % 2
    sure = log_softmax(np.where(targets[:, None] == [0, 1], 2.0, 0.0), axis=1)
    assert 0.3 < fit_temperature(sure, targets) < 1


@pytest.mark.slow
def test_labels_of_a_row_have_one_temperature(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 4)).astype(np.float32)
    y = (rng.random((900, 2)) < 1 / (1 + np.exp(-3 * x[:, :2]))).astype(np.float32)
    teacher = lambda rows: 1 / (1 + np.exp(-3 * np.asarray(rows)[:, :2]))  # noqa: E731
    parts = (slice(0, 300), slice(300, 500), slice(500, 900))
    run = sh.distill(
        {"evaluation": {"resamples": 100}}, task="multilabel", teacher=teacher, student="mlp_tiny",
        data=tuple((x[part], y[part]) for part in parts), steps=60, seeds=[0], out=tmp_path / "run",
        accept_teacher=True, verbose=False,
    )  # fmt: skip
    arms = {arm: model for arm, model in run.scores["models"].items() if arm != "teacher"}
    assert set(arms) == {"labels_only", "simple", "distilled", "simple_distilled"}
    assert all(len(model["temperatures"]) == 1 for model in arms.values())
    model = arms["distilled"]
    assert model["measures"]["log_loss"]["value"] < model["unfitted"]["log_loss"]["value"]


@pytest.mark.slow
def test_too_few_validation_rows_leave_the_weights_as_they_are(tmp_path: Path) -> None:
    few = rows(20, 1)
    run = sh.distill(
        OFF, teacher=TooUnsure(), student="mlp_tiny", data=(rows(300, 0), few, rows(100, 2)), steps=10, seeds=[0],
        out=tmp_path / "run", accept_teacher=True, verbose=False,
    )  # fmt: skip
    assert "temperatures" not in distilled(run)
    assert not list(run.folder.rglob("calibration.json"))
