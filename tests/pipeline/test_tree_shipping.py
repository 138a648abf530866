"""A tree is shipped as a net is, and its rules are printed from the folder alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from stillhouse import students
from stillhouse.data import fit_encoder
from stillhouse.errors import UsageError
from stillhouse.pipeline import load
from stillhouse.pipeline.student.load import rules
from stillhouse.tasks.classification.predictor import DeployedClassifier
from tests.data.reading import read

ROWS = 120


def shipped(folder: Path, name: str) -> tuple[pd.DataFrame, DeployedClassifier]:
    """A student of a table of numbers, categories and gaps, saved."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": np.where(draw.random(ROWS) < 0.2, np.nan, draw.integers(20, 90, ROWS)),
            "sex": draw.choice(["F", "M"], ROWS),
            "y": "",
        }
    )
    frame["y"] = np.where(frame["age"].isna(), "unknown", np.where(frame["age"] > 50, "old", "young"))
    frame.loc[frame["sex"] == "M", "y"] = "man"
    frame.to_csv(folder / "table.csv", index=False)
    source = read(path=folder / "table.csv", target="y")
    encoder = fit_encoder(source, np.arange(ROWS))
    x = encoder.encode(source.take(np.arange(ROWS)))
    targets = torch.nn.functional.one_hot(torch.from_numpy(source.targets), len(source.names)).float()
    settings = {"min_samples_leaf": 1}
    net = students.fit_soft(name, inputs=x, targets=targets, weights=None, settings=settings, seed=0)
    card = {"name": name, "settings": settings, "shape": [x.shape[1]]}
    model = DeployedClassifier(net, encoder, tuple(source.names), card)
    model.save(folder)
    return frame, model


def test_a_shipped_tree_is_loaded_with_its_preprocessing(tmp_path: Path) -> None:
    frame, model = shipped(tmp_path, "decision_tree")
    again = load(tmp_path)
    rows = frame.drop(columns="y")
    np.testing.assert_array_equal(again.predict_proba(rows), model.predict_proba(rows))
    assert (again.predict(rows) == frame["y"]).all()


def test_its_rules_speak_of_the_table(tmp_path: Path) -> None:
    shipped(tmp_path, "decision_tree")
    text = rules(tmp_path)
    assert "sex is not F" in text or "sex is not M" in text
    assert "age is missing" in text
    assert "age <= 50." in text or "age <= 51." in text
    assert "class: man" in text


def test_every_encoded_value_has_a_name(tmp_path: Path) -> None:
    _, model = shipped(tmp_path, "decision_tree")
    named = [(column.name, column.category) for column in model.encoder.columns()]
    sexes = ("F", "M", "unseen in training", "missing")
    assert named == [("age", None), ("age", "missing"), *(("sex", name) for name in sexes)]


def test_a_sum_of_trees_has_no_rules(tmp_path: Path) -> None:
    shipped(tmp_path, "gradient_boosting")
    with pytest.raises(UsageError, match="decision_tree"):
        rules(tmp_path)
