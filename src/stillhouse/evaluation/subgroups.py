"""Gains and losses by class, group and row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.evaluation.context import bounded
from stillhouse.evaluation.resampling import RowResamples, share, two_level
from stillhouse.evaluation.statistics import Floats, Integers, conditional_mean
from stillhouse.evaluation.verdict import HITS, compare, decide, holm
from stillhouse.task import Measure


def changes(
    a: Floats,
    b: Floats,
    parts: Mapping[str, Floats],
    resamples: RowResamples,
    margin: float,
    confidence: float,
    measure: Measure = HITS,
) -> list[dict[str, Any]]:
    """Change from b to a in each part of the rows, worst first, tested over all parts together (Holm).

    Args:
        a: (S, N), the numbers of arm a; of accuracy 1 where a net has the row right.
        b: the same of arm b, with the same seeds, or one net.
        parts: by name, (N,) with 1 for the rows of that class or group; parts without rows are left out.
        resamples: of the rows.
        margin: m of the verdict ``non_inferior``.
        confidence: of the intervals.
        measure: one whose number of a row depends on that row only.
    """
    present = {name: where for name, where in parts.items() if where.any()}
    differences = [
        compare(a, b, resamples, margin, confidence, measure=measure, where=where) for where in present.values()
    ]
    adjusted, margins = holm([d.p for d in differences]), holm([d.p_margin for d in differences])
    found = [
        {
            "name": name,
            "rows": int(where.sum()),
            "value": d.interval.value,
            "low": d.interval.low,
            "high": d.interval.high,
            "p": d.p,
            "p_holm": p,
            "verdict": decide("gain", d.interval, p, p_margin, margin, confidence),
        }
        for (name, where), d, p, p_margin in zip(present.items(), differences, adjusted, margins, strict=True)
    ]
    return sorted(found, key=lambda c: (c["value"], c["name"]))


def forgotten(student: Floats, teacher: Floats, control: Floats, rows: Integers) -> list[int]:
    """Rows that most seeds of the student have wrong, but the teacher and most seeds of the control have right.

    After Hooker et al., "What Do Compressed Deep Neural Networks Forget?" (2019).
    """
    lost = (student.mean(0) < 0.5) & (teacher.mean(0) > 0.5) & (control.mean(0) > 0.5)
    return [int(r) for r in rows[lost]]


def worst_part(
    rows: Floats, parts: Mapping[str, Floats], resamples: RowResamples, confidence: float, measure: Measure = HITS
) -> dict[str, Any] | None:
    """The class or group with the worst figure, with the interval of that part alone."""
    present = {name: where for name, where in parts.items() if where.any()}
    if not present:
        return None
    sign = 1 if measure.higher else -1
    figures = {name: float(rows[:, where > 0].mean()) for name, where in present.items()}
    name = min(figures, key=lambda n: (sign * figures[n], n))
    where = present[name]
    sample = resamples.sample([conditional_mean(net, where) for net in rows])
    found = share(sample, confidence) if measure.proportion else bounded(two_level(sample, confidence), measure)
    return {"name": name, "rows": int(where.sum()), **found._asdict()}


def group_parts(values: NDArray[Any]) -> dict[str, Floats]:
    """The rows of each value of a column as 0/1 columns by the value's text."""
    texts = np.asarray([str(v) for v in values])
    return {str(text): (texts == text).astype(np.float64) for text in np.unique(texts)}
