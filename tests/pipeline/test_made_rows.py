"""Rows that are made join the training rows, and all behind them stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.pipeline.run.folder import read_json
from stillhouse.recipe import parse
from stillhouse.store import Store
from tests.pipeline.helpers import opened
from tests.pipeline.recipes import TINY, write_recipe

STROKES = {"name": "strokes", "count": 96}


def recipe(folder: Path, **over: Any) -> Path:
    return write_recipe(folder, **({"made": [STROKES]} | over))


@pytest.fixture(scope="module")
def no_data(tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    """A run without any real training row."""
    return sh.distill(recipe(tmp_path_factory.mktemp("none"), data={"rows": 0}), verbose=False)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    """A run with 40 real rows, 20 of them labelled, and made ones."""
    return sh.distill(recipe(tmp_path_factory.mktemp("few"), data={"rows": 40, "labels": 20}), verbose=False)


def test_without_real_rows_the_student_sees_made_ones_and_its_teacher_all_labels(no_data: sh.Run) -> None:
    saw = read_json(no_data.folder / "run.json")["saw"]
    assert saw["distilled"] == {"labels": 0, "unlabelled": 0, "made": 96, "teacher": "teacher"}
    assert saw["teacher"]["labels"] > 1000
    assert Store.open(no_data.folder / "store").rows == 96


def test_without_real_rows_no_arm_has_labels_and_nothing_is_chosen_on_real_validation_rows(no_data: sh.Run) -> None:
    arms = {folder.name for folder in (no_data.folder / "fits").iterdir()}
    assert arms == {"distilled", "distilled_all"}  # the second is no rival: it shows what all real rows would give
    assert "labels_only" in read_json(no_data.folder / "run.json")["left_out"]
    assert not (no_data.folder / "predictions_valid.npz").exists()
    assert "96 made rows" in no_data.scores["sentence"]


def test_few_rows_hold_the_labelled_ones_and_made_rows_follow_them(few: sh.Run) -> None:
    context = opened(few).context
    assert len(context.labelled) == 20
    assert context.real_rows == 40
    assert len(context.data.train.inputs) == 136
    assert set(context.labelled.tolist()) <= set(range(40))
    saw = read_json(few.folder / "run.json")["saw"]
    assert saw["labels_only"] == {"labels": 20, "unlabelled": 0, "teacher": None}
    assert saw["distilled"] == {"labels": 20, "unlabelled": 20, "made": 96, "teacher": "teacher"}


def test_made_rows_are_raw_rows_that_encode_to_what_is_learned(few: sh.Run) -> None:
    data = opened(few).context.data
    made = data.source.take(data.split.train[40:])
    assert np.array_equal(data.encoder.encode(made), data.train.inputs[40:])
    assert (data.source.targets[data.split.train[40:]] == -1).all()
    assert np.asarray(made).min() >= -0.001
    assert np.asarray(made).max() <= 16.001  # as in the digits


def test_a_smaller_number_of_rows_is_a_part_of_a_larger_one(tmp_path: Path) -> None:
    def chosen(rows: int) -> set[int]:
        table = {
            **TINY,
            "data": {"name": "digits", "labels": 20, "rows": rows},
            "output": {"dir": str(tmp_path / str(rows))},
        }
        return set(opened(parse(table)).context.data.split.train.tolist())

    assert chosen(40) < chosen(200)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"data": {"name": "digits", "rows": 0}, "made": []}, r"rows = 0 leaves no row.*count = 4000"),
        ({"data": {"name": "digits", "rows": 40, "labels": 60}}, r"labels = 60.*rows = 60"),
        ({"data": {"name": "digits", "rows": 4000}}, r"rows = 4000, but there are"),
        ({"made": [STROKES | {"share": 1.0}]}, "leaves no place"),
        ({"made": [STROKES | {"rounds": 2}]}, "rounds = 2.*Remove the line"),
        ({"made": [STROKES | {"drop_alarmed": True}]}, "drop_alarmed = true.*Remove the line"),
        ({"made": [{"name": "inversion", "count": 2, "rounds": 3}]}, "rounds = 3.*count = 2.*at most `rounds = 2`"),
        ({"data": {"name": "digits", "rows": 1}}, "fewer than the 10 classes.*rows = 10"),
        ({"data": {"name": "digits", "rows": 0}, "made": [STROKES | {"count": 1}]}, "single row.*2 or more"),
        ({"data": {"name": "breast_cancer"}}, "of the kind table|of the kind array"),
        ({"data": {"name": "digits", "on_disk": True}}, "Remove on_disk"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_trained(
    table: dict[str, Any], says: str, tmp_path: Path
) -> None:
    whole = {**TINY, "views": {}, "made": [STROKES], "output": {"dir": str(tmp_path / "run")}, **table}
    with pytest.raises(UsageError, match=says):
        opened(parse(whole))
    assert not (tmp_path / "run").exists()


def test_each_batch_has_its_share_of_made_rows(tmp_path: Path) -> None:
    context = opened(parse({**TINY, "made": [STROKES | {"share": 0.3}], "output": {"dir": str(tmp_path)}})).context
    rows = torch.arange(len(context.data.train.targets))
    stream = context.stream(rows, batch_size=32, seed=1, views=2)
    made = [int((stream.at(step)[0] >= context.real_rows).sum()) for step in range(50)]
    assert set(made) == {9, 10}
    assert sum(made) == int(50 * 32 * 0.3)
    again = context.stream(rows, batch_size=32, seed=1, views=2)
    assert all(bool((stream.at(step)[0] == again.at(step)[0]).all()) for step in (49, 3))


@pytest.mark.parametrize("name", ["inversion", "conditional_gan"])
@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_makers_that_look_for_classes_are_refused_where_answers_are_none_and_others_are_named(
    name: str, task: str
) -> None:
    x, classes = load_digits(return_X_y=True)
    y = classes.astype(float) + 0.5 if task == "regression" else np.stack([classes % 2, classes > 4], 1)
    parts = [(x[rows].reshape(-1, 8, 8), y[rows]) for rows in (slice(900), slice(900, 1300), slice(1300, None))]
    table = {**TINY, "data": {}, "views": {}, "task": {"name": task}, "made": [{"name": name, "count": 40}]}
    with pytest.raises(UsageError, match=r"rows of each class.*strokes, glyphs, blobs, crops"):
        sh.distill(table, data=tuple(parts), verbose=False)


@pytest.mark.slow
def test_a_run_without_labels_is_evaluated_in_full_and_planned_with_its_made_rows(
    no_data: sh.Run, tmp_path: Path
) -> None:
    sh.evaluate(no_data.folder, full=True)
    assert read_json(no_data.folder / "full.json")["attribution"]
    told = sh.plan(recipe(tmp_path, data={"rows": 0}), verbose=False)
    assert told["rows"]["made"] == 96
    assert told["teacher_calls"] >= 2 * 96
