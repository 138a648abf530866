"""A multi-label classifier that ships: its answers, its folder, its graph, its rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import torch
from scipy.special import expit

from stillhouse import students
from stillhouse.data.encoders.tensors import ArrayEncoder
from stillhouse.exporting import export
from stillhouse.pipeline.student.load import load_student
from stillhouse.students.rules import Leaf
from stillhouse.tasks.multilabel.predictor import DeployedMultilabel

LABELS = ["red", "round", "ripe"]
RAW = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


def shipped() -> DeployedMultilabel:
    torch.manual_seed(0)
    card = {"name": "mlp_tiny", "settings": {}, "shape": [4]}
    net = students.make("mlp_tiny", shape=(4,), outputs=3, settings={})
    return DeployedMultilabel(net, ArrayEncoder.fit(RAW), LABELS, card)


def logits(model: DeployedMultilabel) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = model.net(model.encoder.encode(RAW)).double().numpy()
    return found


def test_each_label_is_answered_by_itself() -> None:
    model = shipped()
    np.testing.assert_allclose(model.predict_proba(RAW), expit(logits(model)))
    assert model.predict(RAW).dtype == np.int64
    np.testing.assert_array_equal(model.predict(RAW), logits(model) >= 0)


def test_a_saved_one_comes_back_whole(tmp_path: Path) -> None:
    model = shipped()
    model.save(tmp_path)
    again = load_student(tmp_path)
    assert isinstance(again, DeployedMultilabel)
    np.testing.assert_array_equal(again.predict_proba(RAW), model.predict_proba(RAW))
    assert again.labels == tuple(LABELS)


def test_answers_are_a_csv_of_labels_and_probabilities(tmp_path: Path) -> None:
    model = shipped()
    model.write_answers(RAW, tmp_path / "out.csv", [f"{i}.png" for i in range(30)])
    written = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(written) == ["file", "labels", "p_red", "p_round", "p_ripe"]
    np.testing.assert_allclose(written["p_round"], model.predict_proba(RAW)[:, 1])
    found = [[name in cell.split("|") for name in LABELS] for cell in written["labels"]]
    np.testing.assert_array_equal(np.array(found), model.predict(RAW) == 1)


def test_its_graph_gives_probabilities_and_says_so(tmp_path: Path) -> None:
    model = shipped()
    rows = model.encoder.encode(RAW)
    file = export(model.exportable(rows[:7]), tmp_path / "s.onnx", format="onnx", metadata=model.metadata())
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"inputs": rows.numpy()})
    np.testing.assert_allclose(found, model.predict_proba(RAW), atol=1e-5)
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["labels"]) == LABELS
    assert said["output"].startswith("probabilities")


def test_a_leaf_names_the_labels_that_it_gives() -> None:
    model = shipped()
    assert model.leaf(np.log([3.0, 1 / 3, 1.0])) == Leaf("labels: red, ripe", "red 0.75, round 0.25, ripe 0.50")
    assert model.leaf(np.full(3, -2.0)).answer == "labels: none"
