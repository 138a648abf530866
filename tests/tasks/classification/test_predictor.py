"""A classifier that ships answers with the labels that the user gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse import students
from stillhouse.data.encoders.tensors import ArrayEncoder
from stillhouse.pipeline.student.load import load_student
from stillhouse.task import OutputSpec
from stillhouse.tasks import get
from stillhouse.tasks.classification.predictor import DeployedClassifier

RAW = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


def shipped(classes: list[str], labels: Any = None) -> DeployedClassifier:
    torch.manual_seed(0)
    net = students.make("linear", shape=(4,), outputs=len(classes), settings={})
    card = {"name": "linear", "settings": {}, "shape": [4]}
    return DeployedClassifier(net, ArrayEncoder.fit(RAW), classes, card, labels=labels)


@pytest.mark.parametrize(
    ("given", "classes"),
    [
        (np.array([3, 7, 3, 10]), ["3", "7", "10"]),
        (np.array([0.0, 1.0]), ["0", "1"]),
        (np.array([True, False]), ["0", "1"]),
        (np.array(["no", "yes", "no"]), ["no", "yes"]),
        (np.array(["01", "1"], dtype=object), ["01", "1"]),
    ],
)
def test_labels_come_back_as_they_were_given(tmp_path: Path, given: np.ndarray, classes: list[str]) -> None:
    model = shipped(classes, np.unique(given).tolist())
    model.save(tmp_path)
    for one in (model, load_student(tmp_path)):
        assert isinstance(one, DeployedClassifier)
        found = one.predict(RAW)
        assert set(found.tolist()) <= set(given.tolist())
        assert {type(label) for label in found.tolist()} == {type(label) for label in given.tolist()}
        np.testing.assert_array_equal(one.classes_[one.predict_proba(RAW).argmax(1)], found)
        if given.dtype.kind in "bif":
            np.testing.assert_array_equal(one.classes_, np.unique(given))


def test_answers_are_a_csv_of_names_and_probabilities(tmp_path: Path) -> None:
    model = shipped(["3", "7"], [3, 7])
    model.write_answers(RAW, tmp_path / "out.csv")
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written) == ["class", "p_3", "p_7"]
    np.testing.assert_array_equal(written["class"], model.predict(RAW))
    np.testing.assert_allclose(written["p_3"] + written["p_7"], 1)


@given(share=st.floats(0, 1), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_what_a_tree_is_fitted_to_is_the_teacher_mixed_with_labels_that_are_seen(share: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    p = draw.dirichlet(np.ones(3), 6)
    targets = draw.integers(-1, 3, 6)
    soft, spec = get("classification").soft_targets, OutputSpec((3,))
    found = soft(torch.from_numpy(targets), torch.from_numpy(np.log(p)), spec, share, 1 - share).numpy()
    hot = np.eye(3)[targets]
    expected = np.where(targets[:, None] >= 0, share * hot + (1 - share) * p, p)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(soft(torch.tensor([2, 0]), None, spec, 1.0, 0.0).numpy(), np.eye(3)[[2, 0]])
