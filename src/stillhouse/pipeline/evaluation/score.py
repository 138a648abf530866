"""From the predictions of a run to its scores and its report; needs neither data nor nets."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse import tasks
from stillhouse.data.targets import known
from stillhouse.errors import RejectedError
from stillhouse.evaluation import Predictions, score, teacher_gate
from stillhouse.files import write_json
from stillhouse.pipeline.evaluation.groups import read_groups
from stillhouse.pipeline.evaluation.labels import TEST
from stillhouse.pipeline.evaluation.predict import COSTS, VALID
from stillhouse.pipeline.run.folder import SCORES, RunFolder, read_json
from stillhouse.pipeline.run.rows_kept import NOTE
from stillhouse.pipeline.teacher.endpoint import warnings as service_warnings
from stillhouse.reporting import write


def judge(folder: Path) -> dict[str, Any]:
    """Judge a run from its predictions. Writes and returns ``scores.json``.

    Raises:
        UsageError: the run has no predictions yet.
        DamagedError: a file cannot be read.
    """
    run = RunFolder(folder)
    with run.reading():
        return _judge(run)


def _judge(run: RunFolder) -> dict[str, Any]:
    folder = run.folder
    recipe, costs, task = run.recipe, read_json(folder / COSTS), tasks.get(run.task_name)
    test = whole = Predictions.load(folder / TEST)
    valid = Predictions.load(folder / VALID) if (folder / VALID).exists() else None
    groups = read_groups(folder)
    if task.supervised:  # a row that nobody has labelled yet is no mistake
        test, labelled = whole.labelled(), known(whole.targets)
        groups = {name: values[labelled] for name, values in groups.items()} if labelled.any() else groups
        valid = valid.labelled() if valid is not None and known(valid.targets).any() else None
    judged = partial(
        score,
        task,
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
    )
    scores = judged(test, groups=groups)
    if len(test.rows) < len(whole.rows):
        scores["warnings"].insert(
            0,
            f"{len(test.rows):,} of {len(whole.rows):,} test rows have a label, and all figures are of these. They "
            "hold for the others only if the labelled rows were drawn at random.",
        )
    for arm, found in run.record.get("retuned", {}).items():
        scores["warnings"].append(found["sentence"])
        scores["models"].get(arm, {})["retuned"] = found["seeds"]
    scores["warnings"] += run.record.get("found", [])
    if (twice := run.record.get(NOTE)) and (left := ~np.isin(test.rows, twice)).any():
        few = {name: values[left] for name, values in groups.items()}
        with suppress(RejectedError):  # the rows that are left cannot be judged alone, as where a class has none
            alone = judged(test.only(left), groups=few)
            scores["warnings"].append(without_duplicates(scores, alone, int((~left).sum()), task.shipped))
    scores["warnings"] += service_warnings(run.record)
    if gate := run.record.get("teacher_gate"):
        scores["warnings"] += teacher_gate.warnings(task, gate)
    write_json(folder / SCORES, scores)
    return scores


def without_duplicates(scores: Mapping[str, Any], alone: Mapping[str, Any], rows: int, student: str) -> str:
    """What the test rows that are training rows too change in the headline figure and the verdict.

    Args:
        scores: of all test rows.
        alone: of the others.
        rows: number of such rows.
        student: the arm that ships.
    """
    measure = next((one["measure"] for one in scores["comparisons"] if one.get("measure")), None)
    figures = [one["models"][student]["measures"].get(measure, {}).get("value") for one in (alone, scores)]
    whose = f"the {rows:,} of {scores['test_rows']:,} test rows whose inputs a training row has too"
    if None in figures:
        return f"Figures without {whose} cannot be given."
    return (
        f"Without {whose}, the student's {measure} is {figures[0]:.4g} ({figures[1]:.4g} with them), and the verdict "
        f"is {str(alone['verdict']).replace('_', ' ')}."
    )


def write_report(folder: Path) -> Path:
    """Write ``report.html`` of a judged run again from the files of its folder, and return its path."""
    run = RunFolder(folder)
    with run.reading():
        return write(folder, tasks.get(run.task_name), run.leave_out)
