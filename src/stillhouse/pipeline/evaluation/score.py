"""From the predictions of a run to its scores and its report; needs neither data nor nets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillhouse import tasks
from stillhouse.evaluation import Predictions, score, teacher_gate
from stillhouse.files import write_json
from stillhouse.pipeline.evaluation.groups import read_groups
from stillhouse.pipeline.evaluation.predict import COSTS, TEST, VALID
from stillhouse.pipeline.run.folder import SCORES, RunFolder, read_json
from stillhouse.recipe import read
from stillhouse.reporting import write


def judge(folder: Path) -> dict[str, Any]:
    """Judge a run from its predictions. Writes and returns ``scores.json``.

    Raises:
        UsageError: the run has no predictions yet.
        DamagedError: a file cannot be read.
    """
    run, recipe = RunFolder(folder), read(folder / "recipe.toml")
    costs, task = read_json(folder / COSTS), tasks.get(run.task_name)
    scores = score(
        task,
        Predictions.load(folder / TEST),
        saw=run.record["saw"],
        budget=run.record["budget"],
        costs=costs,
        versions=run.record["versions"],
        hashes=run.record["hashes"],
        confidence=recipe.evaluation.confidence,
        margin=recipe.evaluation.margin,
        resamples=recipe.evaluation.resamples,
        measure=recipe.evaluation.measure,
        valid=Predictions.load(folder / VALID) if (folder / VALID).exists() else None,
        groups=read_groups(folder),
    )
    scores["warnings"] += run.record.get("found", [])
    if gate := run.record.get("teacher_gate"):
        scores["warnings"] += teacher_gate.warnings(task, gate)
    write_json(folder / SCORES, scores)
    return scores


def write_report(folder: Path) -> Path:
    """Write ``report.html`` of a judged run again from the files of its folder, and return its path."""
    run = RunFolder(folder)
    return write(folder, tasks.get(run.task_name), run.leave_out)
