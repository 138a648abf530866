"""What could not be made of a judged run, and why."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.folder import RunFiles
from stillhouse.task import Section

TEMPLATE = """
<p class="soft">The judgement does not need these parts. They failed, and the run went on without them.</p>
{{ facts(it.rows) }}
"""


def left_out(run: RunFiles) -> dict[str, Any] | None:
    """Return each part with its reason."""
    rows = [(str(part), str(reason)) for part, reason in dict(run.run.get("left_out") or {}).items()]
    return {"rows": rows} if rows else None


SECTION = Section("left-out", "Left out", left_out, TEMPLATE, order=190)
