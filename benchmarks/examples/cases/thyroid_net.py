"""Medicine: the thyroid patients again, boosted trees into a small net."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.examples.cases import thyroid
from benchmarks.examples.medical import figures

from stillhouse.reporting.folder import RunFiles


def extra(run: RunFiles) -> str:
    """The medical figures."""
    return figures(run, thyroid.CLASSES)


EXAMPLE = replace(thyroid.EXAMPLE, title="Thyroid: boosted trees into a small net", extra=extra)
