"""Gains and losses: the change of the quarters of the target, and of the groups that the user names."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting import changes
from stillhouse.reporting.folder import RunFiles
from stillhouse.task import Section


def groups(run: RunFiles) -> dict[str, Any] | None:
    """Return the changes of quarters and groups, and the worst of them."""
    return changes.changes(run, {"quarters": "quarter of the target"})


SECTION = Section("harm", "Gains and losses", groups, changes.TEMPLATE, order=80, heading="Who gains and who loses")
