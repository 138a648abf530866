"""From the predictions of a run to its scores and its report; needs neither data nor nets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillhouse import tasks
from stillhouse.data.targets import known
from stillhouse.evaluation import Predictions, score, teacher_gate
from stillhouse.files import write_json
from stillhouse.pipeline.evaluation.groups import read_groups
from stillhouse.pipeline.evaluation.labels import TEST
from stillhouse.pipeline.evaluation.predict import COSTS, VALID
from stillhouse.pipeline.run.folder import SCORES, RunFolder, read_json
from stillhouse.reporting import write


def judge(folder: Path) -> dict[str, Any]:
    """Judge a run from its predictions. Writes and returns ``scores.json``.

    Raises:
        UsageError: the run has no predictions yet.
        DamagedError: a file cannot be read.
    """
    run = RunFolder(folder)
    recipe, costs, task = run.recipe, read_json(folder / COSTS), tasks.get(run.task_name)
    test = whole = Predictions.load(folder / TEST)
    valid = Predictions.load(folder / VALID) if (folder / VALID).exists() else None
    groups = read_groups(folder)
    if task.supervised:  # a row that nobody has labelled yet is no mistake
        test, labelled = whole.labelled(), known(whole.targets)
        groups = {name: values[labelled] for name, values in groups.items()} if labelled.any() else groups
        valid = valid.labelled() if valid is not None and known(valid.targets).any() else None
    scores = score(
        task,
        test,
        saw=run.record["saw"],
        budget=run.record["budget"],
        costs=costs,
        versions=run.record["versions"],
        hashes=run.record["hashes"],
        confidence=recipe.evaluation.confidence,
        margin=recipe.evaluation.margin,
        resamples=recipe.evaluation.resamples,
        measure=recipe.evaluation.measure,
        valid=valid,
        groups=groups,
    )
    if len(test.rows) < len(whole.rows):
        scores["warnings"].insert(
            0,
            f"{len(test.rows):,} of {len(whole.rows):,} test rows have a label, and all figures are of these. They "
            "hold for the others only if the labelled rows were drawn at random.",
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
