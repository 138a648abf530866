"""The report of one run: every section that its files allow, in the order in which a reader asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stillhouse.reporting import summary
from stillhouse.reporting.folder import Look, read
from stillhouse.reporting.render import page
from stillhouse.reporting.sections import together
from stillhouse.task import Measure, Section


def write(
    folder: Path, *, sections: Sequence[Section], arms: Mapping[str, Look], measures: Mapping[str, Measure]
) -> Path:
    """Write ``report.html`` into a run folder from the run folder's own files; no model and no data are needed.

    Args:
        folder: a run folder with at least ``scores.json``; a section whose files are absent is left out.
        sections: the task's own (``Task.sections``), beside those that every run has.
        arms: the controls of the task by name, in the order in which they are shown.
        measures: the measures of the task by name.

    Returns:
        The path of the page.

    Raises:
        UsageError: the run was not judged yet, or by another version.
        DamagedError: a file of the run cannot be read.
        StillhouseError: the page cannot be written.
    """
    run = read(folder, arms, measures)
    shown = [(section, values) for section in together(sections) if (values := section.values(run))]
    return page("report.html.j2", folder / "report.html", shown, head=summary.head(run), confidence=run.confidence)
