"""Gains and losses: the change of every class and group, and the forgotten rows."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting import changes
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.wording import count, percent
from stillhouse.task import Section


def gains_and_losses(run: RunFiles) -> dict[str, Any] | None:
    """Return the changes of classes and groups, the worst of them, and the number of forgotten rows."""
    shown = changes.changes(run, {"classes": "class"})
    lost = (run.models.get(run.student, {}).get("harm") or {}).get("forgotten")
    if shown and lost:
        shown["notes"].append(
            f"Forgotten: {count(lost.get('count'))} test rows ({percent(lost.get('share'))}) that the teacher and most "
            "seeds of the control have right and most seeds of the distilled student have wrong."
        )
    return shown


SECTION = Section(
    "harm", "Gains and losses", gains_and_losses, changes.TEMPLATE, order=80, heading="Who gains and who loses"
)
