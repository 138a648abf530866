"""A regressor that ships answers in the user's units, with intervals that hold, from its folder and from its graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from torch import nn

from stillhouse import students
from stillhouse.data import fit_encoder, read
from stillhouse.errors import StillhouseError
from stillhouse.exporting import export
from stillhouse.pipeline.student.load import load_student
from stillhouse.students.rules import Column, as_rules
from stillhouse.students.trees import TreeEnsemble
from stillhouse.tasks.regression.predictor import DeployedRegressor
from stillhouse.tasks.regression.scaling import Scaler
from stillhouse.tasks.regression.targets import read_targets

ROWS = 80
INTERVALS: dict[str, Any] = {"half_widths": (4.0, 0.25), "coverage": 0.9}


def table(folder: Path) -> tuple[pd.DataFrame, Any]:
    """A frame of inputs and its encoder."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"age": draw.integers(20, 90, ROWS), "dose": draw.uniform(0, 4, ROWS)})
    frame.assign(y=frame["age"] / 2).to_csv(folder / "table.csv", index=False)
    source = read(path=folder / "table.csv", target="y", read_targets=read_targets)
    return frame, fit_encoder(source, np.arange(ROWS))


def shipped(
    folder: Path, targets: list[str], mean: float = 100.0, **more: Any
) -> tuple[pd.DataFrame, DeployedRegressor]:
    """A small net in the user's units, saved."""
    frame, encoder = table(folder)
    torch.manual_seed(0)
    card = {"name": "mlp_tiny", "settings": {"hidden": [4]}, "shape": [2]}
    net = students.make("mlp_tiny", shape=(2,), outputs=len(targets), settings={"hidden": [4]})
    scaling = Scaler(tuple(mean + k for k in range(len(targets))), tuple(10.0 / (k + 1) for k in range(len(targets))))
    model = DeployedRegressor(net, encoder, targets, scaling, card, **more)
    model.save(folder)
    return frame, model


def standard(model: DeployedRegressor, frame: pd.DataFrame) -> np.ndarray:
    """What the net itself gives."""
    with torch.no_grad():
        found: np.ndarray = model.net.eval()(model.encoder.encode(frame)).numpy()
    return found


def test_predictions_are_in_the_users_units(tmp_path: Path) -> None:
    frame, model = shipped(tmp_path, ["a", "b"])
    np.testing.assert_allclose(model.predict(frame), standard(model, frame) * [10.0, 5.0] + [100.0, 101.0])
    one = tmp_path / "one"
    one.mkdir()
    frame, single = shipped(one, ["y"])
    assert single.predict(frame).shape == (ROWS,)
    np.testing.assert_allclose(single.predict(frame), standard(single, frame)[:, 0] * 10 + 100)


def test_a_saved_regressor_comes_back_whole(tmp_path: Path) -> None:
    frame, model = shipped(tmp_path, ["a", "b"], **INTERVALS)
    again = load_student(tmp_path)
    assert isinstance(again, DeployedRegressor)
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))
    assert (again.scaling, again.half_widths, again.coverage) == (model.scaling, (4.0, 0.25), 0.9)
    np.testing.assert_array_equal(np.array(again.predict_interval(frame)), np.array(model.predict_interval(frame)))


@pytest.mark.parametrize("widths", [None, (1.0, None)])
def test_without_enough_validation_rows_there_is_no_interval(tmp_path: Path, widths: Any) -> None:
    frame, model = shipped(tmp_path, ["a", "b"], half_widths=widths)
    assert model.predict_interval(frame) is None
    assert list(model.frame(frame)) == ["prediction_a", "prediction_b"]


def test_answers_are_a_csv_of_predictions_and_ends(tmp_path: Path) -> None:
    frame, model = shipped(tmp_path, ["y"], half_widths=(4.0,), coverage=0.9)
    model.write_answers(frame, tmp_path / "out.csv")
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written) == ["prediction", "low", "high"]
    np.testing.assert_allclose(written["prediction"], model.predict(frame))
    np.testing.assert_allclose(written["high"] - written["prediction"], 4.0)
    np.testing.assert_allclose(written["prediction"] - written["low"], 4.0)


def test_answers_of_several_targets_carry_their_names(tmp_path: Path) -> None:
    frame, model = shipped(tmp_path, ["a", "b"], **INTERVALS)
    found = model.frame(frame)
    assert list(found) == [f"{part}_{target}" for target in "ab" for part in ("prediction", "low", "high")]
    np.testing.assert_allclose(found["high_b"] - found["prediction_b"], 0.25)


@pytest.mark.slow
@pytest.mark.parametrize("mean", [0.0, 100.0, 1e6])
def test_its_graph_answers_in_the_users_units_and_says_so(tmp_path: Path, mean: float) -> None:
    frame, model = shipped(tmp_path, ["a", "b"], mean, **INTERVALS)
    rows = model.encoder.encode(frame)
    file = export(model.exportable(rows[:7]), tmp_path / "s.onnx", format="onnx", metadata=model.metadata())
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (values,) = session.run(["prediction"], {"inputs": rows.numpy()})
    np.testing.assert_allclose(values, model.predict(frame), rtol=1e-6, atol=1e-3)
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["targets"]) == ["a", "b"]
    assert json.loads(said["std"]) == [10.0, 5.0]
    assert json.loads(said["interval"])["half_widths"] == [4.0, 0.25]
    assert said["output"].startswith("prediction")
    assert said["task"] == "regression"


class Trembling(nn.Module):
    """Adds a random number of a thousandth of the targets' deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.head(inputs)
        return values + 1e-3 * nn.functional.dropout(torch.ones_like(values), 0.5, training=True)


def test_a_graph_that_is_off_by_a_thousandth_of_a_deviation_is_not_kept(tmp_path: Path) -> None:
    encoder = table(tmp_path)[1]
    model = DeployedRegressor(Trembling(), encoder, ["y"], Scaler((5.0,), (1000.0,)), {})
    with pytest.raises(StillhouseError, match="differ from the torch student: prediction"):
        export(model.exportable(torch.randn(7, 2)), tmp_path / "s.onnx", format="onnx", metadata={})
    assert not (tmp_path / "s.onnx").exists()


def test_the_rules_of_a_tree_speak_of_values_in_the_users_units(tmp_path: Path) -> None:
    frame, encoder = table(tmp_path)
    targets = np.column_stack([np.where(frame["age"] > 50, 200.0, 120.0), np.full(ROWS, 3.0)])
    scaling = Scaler((160.0, 3.0), (40.0, 1.0))
    x = encoder.encode(frame)
    tree = students.fit_soft(
        "decision_tree", inputs=x, targets=torch.from_numpy(scaling.standardize(targets)), weights=None, settings={},
        seed=0, link="identity",
    )  # fmt: skip
    assert isinstance(tree, TreeEnsemble)
    model = DeployedRegressor(tree, encoder, ["pressure", "dose"], scaling, {})
    lines = as_rules(tree, [Column("age", mean=55.0, factor=0.05), Column("dose")], model.leaf).splitlines()
    share = f"{(frame['age'] > 50).mean():.1%}"
    assert f"|   |--- pressure: 200, dose: 3 ({share} of the training rows)" in lines
    assert any("pressure: 120" in line for line in lines)
