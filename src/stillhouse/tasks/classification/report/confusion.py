"""Which classes are confused: the confusion matrices of teacher, control and student, and the frequent mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.reporting.charts import matrix
from stillhouse.reporting.folder import Array, Predicted, RunFiles
from stillhouse.reporting.parts import chart, line
from stillhouse.reporting.wording import decimal, percent
from stillhouse.task import TEACHER, Section

MOST_CLASSES = 60  # with more classes the cells of the matrix are too small to see: only the list of mistakes is shown
MISTAKES = 8

TEMPLATE = """
<p class="soft">Each row is a true class, each cell the share of its rows, in per cent, with this predicted class: green
is right, red is wrong. Students: mean over the seeds.</p>
{% if it.charts %}
{{ figures(it.charts) }}
{% endif %}
{% if it.rows %}
<details{% if not it.charts %} open{% endif %}>
<summary>The most frequent mistakes</summary>
{{ table("The most frequent mistakes", it.heads, it.rows) }}
</details>
{% endif %}
"""


def confusions(run: RunFiles) -> dict[str, Any] | None:
    """Return the confusion of teacher, control and student, and the mistakes that each makes most often."""
    if (predicted := run.labelled) is None:
        return None
    names = run.names
    pictured = dict.fromkeys((TEACHER, run.control or "", run.student))
    found = ((n, counts(predicted, n, len(names))) for n in pictured)
    counted = {n: table for n, table in found if table is not None}
    if not counted:
        return None
    drawn = counted.items() if len(names) <= MOST_CLASSES else ()
    heads = ["True class", "Predicted", *(f"{run.arm(n).label}, rows" for n in counted)]
    return {"charts": [_chart(run, n, t) for n, t in drawn], "heads": heads, "rows": _mistakes(counted, names)}


def counts(predicted: Predicted, name: str, classes: int) -> Array | None:
    """Count true class (rows) against predicted class (columns), the mean over an arm's seeds; (C, C) float64."""
    known = predicted.targets >= 0
    tables = []
    for log_probs in predicted.outputs.get(name, {}).values():
        pair = predicted.targets[known] * classes + log_probs[known].argmax(1)
        tables.append(np.bincount(pair, minlength=classes * classes).reshape(classes, classes))
    return np.mean(tables, axis=0) if tables else None


def _chart(run: RunFiles, name: str, table: Array) -> dict[str, str]:
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    right = float(np.trace(table) / max(table.sum(), 1))
    label = run.arm(name).label
    spoken = f"Confusion of {label}: {percent(right)} on the diagonal. The mistakes are listed beside it."
    return chart(label, matrix(shares.tolist(), run.names, spoken))


def _mistakes(counted: dict[str, Array], classes: list[str]) -> list[Any]:
    """Return the pairs that any of the shown arms confuses most, with the count of each arm."""
    worst = np.max([t * (1 - np.eye(len(t))) for t in counted.values()], axis=0)
    order = np.argsort(-worst, axis=None, kind="stable")[:MISTAKES]
    pairs = [divmod(int(i), len(classes)) for i in order if worst.flat[i] > 0]
    return [
        line(classes[t], [{"text": classes[p]}, *(decimal(float(c[t, p]), 1) for c in counted.values())])
        for t, p in pairs
    ]


SECTION = Section("confusion", "Confusion", confusions, TEMPLATE, order=60)
