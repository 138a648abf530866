"""The report of one run: every section that its files allow, in the order in which a reader asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stillhouse.reporting import summary
from stillhouse.reporting.folder import RunFiles, Words, read
from stillhouse.reporting.registry import together
from stillhouse.reporting.render import page, part
from stillhouse.task import Section

FAILED = '<p class="note">This section could not be made: {{ reason }}.</p>'
LeaveOut = Callable[[str, Exception], None]


class Shown(NamedTuple):
    """A section of the page; ``body`` is its HTML."""

    anchor: str
    title: str
    heading: str
    body: str


def write(folder: Path, task: Words, leave_out: LeaveOut | None = None) -> Path:
    """Write ``report.html`` into a run folder from the run folder's own files; no model and no data are needed.

    Args:
        folder: a run folder with at least ``scores.json``; a section whose files are absent is left out.
        task: of the run: its sections stand beside those that every run has.
        leave_out: told of a section that fails, and why; the page says so in its place. None: the error is raised.

    Returns:
        The path of the page.

    Raises:
        UsageError: the run was not judged yet, or by another version.
        DamagedError: a file of the run cannot be read.
        StillhouseError: the page cannot be written.
    """
    run = read(folder, task)
    shared: dict[str, Any] = {"head": summary.head(run), "confidence": run.confidence}
    found = [body(section, run, shared, leave_out) for section in together(task.sections)]
    return page("report.html.j2", folder / "report.html", sections=[one for one in found if one is not None], **shared)


def body(section: Section, run: RunFiles, shared: Mapping[str, Any], leave_out: LeaveOut | None) -> Shown | None:
    """A section as the page shows it; None where the files of the run have nothing for it."""
    try:
        values = section.values(run)
        if not values:
            return None
        text = part(section.template, it=values, **shared)
    except Exception as error:
        if leave_out is None:
            raise
        leave_out(f"section {section.title!r} of the report", error)
        text = part(FAILED, reason=f"{type(error).__name__}: {error}")
    return Shown(section.anchor, section.title, section.heading or section.title, text)
