"""What is read from a judged run: its report, and whether it meets a gate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stillhouse import tasks
from stillhouse.evaluation import gate
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.reporting import write


def write_report(folder: Path | str) -> Path:
    """Write ``report.html`` of a run again from the files of its folder.

    Returns:
        The path of the page.

    Raises:
        UsageError: the folder is no run, or was not judged yet.
        DamagedError: a file of the run cannot be read.
    """
    run = RunFolder(Path(folder))
    return write(run.folder, tasks.get(run.task_name))


def check(folder: Path | str, limits: Mapping[str, Any]) -> list[gate.Criterion]:
    """Hold a judged run against the limits of a gate (``evaluation/gate.py``, ``tasks/<name>/criteria.py``).

    Raises:
        UsageError: the folder is no judged run, or the gate is wrong.
    """
    run = RunFolder(Path(folder))
    return gate.check(run.scores, limits, tasks.get(run.task_name).criteria)
