"""The report of one run: every section that its files allow, in the order in which a reader asks."""

from __future__ import annotations

from pathlib import Path

from stillhouse.reporting import summary
from stillhouse.reporting.folder import Words, read
from stillhouse.reporting.registry import together
from stillhouse.reporting.render import page


def write(folder: Path, task: Words) -> Path:
    """Write ``report.html`` into a run folder from the run folder's own files; no model and no data are needed.

    Args:
        folder: a run folder with at least ``scores.json``; a section whose files are absent is left out.
        task: of the run: its sections stand beside those that every run has.

    Returns:
        The path of the page.

    Raises:
        UsageError: the run was not judged yet, or by another version.
        DamagedError: a file of the run cannot be read.
        StillhouseError: the page cannot be written.
    """
    run = read(folder, task)
    shown = [(section, values) for section in together(task.sections) if (values := section.values(run))]
    return page("report.html.j2", folder / "report.html", shown, head=summary.head(run), confidence=run.confidence)
