"""Tasks are found by their folder, and each states its arms, questions and measures without a gap."""

from __future__ import annotations

from pathlib import Path

import pytest

import stillhouse.tasks
from stillhouse.errors import UsageError
from stillhouse.evaluation import check_measure
from stillhouse.tasks import get, names


def test_every_folder_is_a_task_of_its_name() -> None:
    folder = Path(stillhouse.tasks.__file__).parent
    assert names() == sorted(path.parent.name for path in folder.glob("*/task.py"))
    assert [get(name).name for name in names()] == names()


def test_an_unknown_task_is_a_usage_error_that_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'regression'"):
        get("regresion")


@pytest.mark.parametrize("name", names())
def test_a_task_has_words_for_every_arm_and_measure_that_it_names(name: str) -> None:
    task = get(name)
    arms = {**task.others, **task.controls}
    assert {arm for q in task.questions for arm in (q.a, q.b)} <= set(arms)
    assert {c.teacher for c in task.controls.values() if c.teacher} <= set(task.others)
    assert all(arm == control.name and control.label and control.sentence for arm, control in arms.items())
    measures = {task.headline, task.part_measure, *task.gate_measures, *task.choices}
    assert measures | {q.measure for q in task.questions if q.measure} <= set(task.measures)
    for choice in task.choices:
        check_measure(task, choice + ("" if choice != "sensitivity" else ":any@0.9"))
