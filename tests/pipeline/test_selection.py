"""A costly teacher is asked about a part of the rows: the labelled ones, and those that are worth it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from stillhouse.errors import UsageError
from stillhouse.pipeline import distill
from stillhouse.pipeline.run.folder import read_json
from stillhouse.store import Store


class Counted:
    """A function from images to probabilities that counts the rows it is asked about."""

    def __init__(self) -> None:
        images, labels = load_digits(return_X_y=True)
        self.model = LogisticRegression(max_iter=200).fit(images, labels)
        self.rows = 0

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        self.rows += len(images)
        found: np.ndarray = self.model.predict_proba(images.reshape(len(images), -1))
        return found

    def predict(self, images: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.model.predict(images.reshape(len(images), -1))
        return found

    @property
    def classes_(self) -> np.ndarray:
        found: np.ndarray = self.model.classes_
        return found


@pytest.mark.parametrize("how", ["random", "uncertainty", "coreset"])
def test_only_so_many_rows_are_stored_and_the_labelled_ones_are_among_them(how: str, tmp_path: Path) -> None:
    run = distill(_recipe(tmp_path, how), teacher=Counted(), out=tmp_path / "run", accept_teacher=True)
    split = np.load(tmp_path / "run" / "split.npz")
    assert len(split["train"]) == 300
    assert set(split["labelled"]) <= set(split["train"])
    assert Store.open(run.folder / "store").rows == 300
    assert read_json(run.folder / "costs.json")["teacher_calls"] == 300


def test_a_teacher_trained_here_needs_all_rows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs them all"):
        distill(_recipe(tmp_path, "random"), out=tmp_path / "run")


def test_fewer_calls_than_labelled_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fewer than the 100 labelled"):
        distill(_recipe(tmp_path, "random", calls=50), teacher=Counted(), out=tmp_path / "run")


def _recipe(folder: Path, how: str, calls: int = 300) -> Path:
    path = folder / "recipe.toml"
    path.write_text(
        f"""
[data]
name = "digits"
labels = 100
[teacher]
calls = {calls}
ask = "{how}"
[training]
steps = 20
batch_size = 32
seeds = [0]
workers = 1
[controls]
all_labels = false
"""
    )
    return path
