"""Label smoothing as the control without a teacher: an arm like the others, in training, judgement and report."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stillhouse.pipeline import Run, distill
from stillhouse.pipeline.student.arms import Job
from stillhouse.recipe import read
from tests.pipeline.helpers import opened
from tests.pipeline.recipes import write_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder: Path = tmp_path_factory.mktemp("smoothed")
    over = {"controls": {"label_smoothing": 0.3, "all_labels": False}}
    return distill(read(write_recipe(folder, **over)), accept_teacher=True)


def test_it_sees_what_the_labels_only_student_sees(run: Run) -> None:
    saw = run.scores["saw"]
    assert saw["smoothed"] == saw["labels_only"] == {"labels": 60, "unlabelled": 0, "teacher": None}


def test_it_starts_from_the_same_student_and_smooths_alone(run: Run) -> None:
    found = opened(run)
    plain, smoothed = (found.trainer.step(Job(arm, 1), None, None) for arm in found.arms if not arm.control.teacher)
    assert (plain.label_smoothing, smoothed.label_smoothing) == (0.0, 0.3)
    weights = smoothed.student.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in plain.student.state_dict().items())


def test_it_is_judged_and_the_distilled_student_is_asked_to_beat_it(run: Run) -> None:
    assert set(run.scores["models"]["smoothed"]["seeds"]) == {"0", "1"}
    asked = next(c for c in run.scores["comparisons"] if c["b"] == "smoothed")
    assert (asked["a"], asked["asks"]) == ("distilled", "gain")
    assert "60 labels alone with label smoothing" in asked["sentence"]


def test_the_report_shows_it_by_name(run: Run) -> None:
    assert "Labels only, smoothed" in run.report_path.read_text()
