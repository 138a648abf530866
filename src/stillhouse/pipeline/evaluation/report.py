"""The report of a judged run, from the files of its folder."""

from __future__ import annotations

from pathlib import Path

from stillhouse import tasks
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
