"""Function matching as a run: both nets answer the same blends, and who has no teacher is shown none."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from stillhouse.pipeline import distill
from stillhouse.recipe import read
from stillhouse.teachers import StoredTeacher
from stillhouse.types import Batch
from tests.pipeline.helpers import opened
from tests.pipeline.recipes import write_recipe


def test_the_store_holds_the_teachers_answers_to_the_very_blends_the_student_sees(tmp_path: Path) -> None:
    over = {"views": {"policy": "mixup", "count": 3}, "store": {"dtype": "float32"}, "training": {"seeds": [0]}}
    recipe = read(write_recipe(tmp_path, **over))
    run = distill(recipe, accept_teacher=True)
    assert set(run.scores["models"]) >= {"teacher", "labels_only", "distilled", "all_labels"}
    found = opened(run)
    have, teacher = found.context, found.teachers["teacher"]
    rows, views = torch.arange(60), torch.arange(60) % 3
    blends = have.views.apply(have.data.train.inputs[:60], rows, views)
    stored = StoredTeacher(teacher.ask(lambda rows: None)).outputs(Batch(blends, rows, rows, views))
    with torch.no_grad():
        live = teacher.module(blends)
    torch.testing.assert_close(stored.logits, live, rtol=1e-4, atol=1e-4)


def test_controls_spend_their_steps_on_rows_with_labels(tmp_path: Path) -> None:
    over = {"views": {"policy": "mixup", "count": 50}, "training": {"seeds": [0], "steps": 40}}
    recipe = read(write_recipe(tmp_path, **over))
    run = distill(recipe, accept_teacher=True)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    control = [line["terms"]["labels"] for line in lines if line["arm"] == "labels_only"]
    assert min(control) > 0
    # Of 50 views one has a label: the distilled student meets few labels in 40 steps, the control one in every row.
    distilled = [line["norms"]["labels"] for line in lines if line["arm"] == "distilled"]
    assert min(distilled) < min(line["norms"]["labels"] for line in lines if line["arm"] == "labels_only")
