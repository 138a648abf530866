"""A teacher that has nothing to teach is refused before anything is distilled from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from stillhouse.cli import main
from stillhouse.errors import RejectedError
from stillhouse.pipeline import Run, distill
from stillhouse.recipe import read
from tests.pipeline.knowing import Knowing, make_data
from tests.pipeline.recipes import write_recipe

WEAK: dict[str, Any] = {
    "teacher": {"training": {"steps": 1, "batch_size": 64, "lr": 1e-6}},
    "training": {"steps": 60, "batch_size": 32, "seeds": [0], "lr": 0.02, "log_every": 30},
    "controls": {"all_labels": False},
}


def test_a_weak_teacher_ends_with_exit_4_both_figures_and_two_ways_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, **WEAK)
    assert main(["distill", str(recipe)]) == 4
    told = capsys.readouterr().err
    gate = json.loads((tmp_path / "run" / "run.json").read_text())["teacher_gate"]
    for side in ("teacher", "labels_only"):
        assert f"{100 * gate['comparison']['accuracy'][side]:.1f} %" in told
    assert "--accept-teacher" in told
    assert "better teacher" in told
    assert not (tmp_path / "run" / "store").exists()
    assert not (tmp_path / "run" / "fits" / "distilled").exists()
    run = distill(read(recipe), accept_teacher=True)
    assert run.record["teacher_gate"]["accepted"] is True
    assert any("accepted in spite of this" in w for w in run.scores["warnings"])
    assert distill(read(recipe)).record["teacher_gate"]["accepted"] is True, "accepted once is accepted"


def test_the_finding_of_a_sound_teacher_stands_in_the_record(finished: Run) -> None:
    gate = finished.record["teacher_gate"]
    with np.load(finished.folder / "predictions_valid.npz") as valid:
        right = (valid["teacher/-"].argmax(1) == valid["targets"]).mean()
        control = (valid["labels_only/0"].argmax(1) == valid["targets"]).mean()
    assert gate["comparison"]["accuracy"] == {"teacher": pytest.approx(right), "labels_only": pytest.approx(control)}
    assert gate["problems"] == []
    assert gate["steady"] is True
    assert gate["class_order"]["suspect"] is False


def distil_from(teacher: nn.Module, folder: Path, **over: Any) -> Run:
    x, y = make_data()
    return distill(
        teacher=teacher,
        student=lambda: nn.Linear(4, 3),
        data=((x[:300], y[:300]), None, (x[300:], y[300:])),
        out=folder,
        steps=20,
        batch_size=32,
        seeds=[0],
        recipe={"evaluation": {"resamples": 100}},
        **over,
    )


def test_without_validation_rows_the_order_is_checked_and_the_rest_is_said_to_be_unchecked(tmp_path: Path) -> None:
    run = distil_from(Knowing([0, 1, 2]), tmp_path / "run")
    assert run.record["teacher_gate"]["comparison"] is None
    assert any("was not checked" in w for w in run.scores["warnings"])
    with pytest.raises(RejectedError, match="another order of the classes"):
        distil_from(Knowing([2, 0, 1]), tmp_path / "other")


def test_a_teacher_whose_answers_depend_on_the_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="other rows of the batch"):
        distil_from(Knowing([0, 1, 2], awake=True), tmp_path / "run")
