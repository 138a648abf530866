"""Gains and losses: the change of the rows that have each label, and of the groups that the user names."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting import changes
from stillhouse.reporting.folder import RunFiles
from stillhouse.task import Section


def gains_and_losses(run: RunFiles) -> dict[str, Any] | None:
    """Return the changes of labels and groups, and the worst of them."""
    return changes.changes(run, {"labels": "label"})


SECTION = Section(
    "harm", "Gains and losses", gains_and_losses, changes.TEMPLATE, order=80, heading="Who gains and who loses"
)
