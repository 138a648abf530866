"""Calibration: whether a label with a probability of 0.8 is true eight times in ten."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.reporting.charts import Bin, least, reliability
from stillhouse.reporting.figures import Interval
from stillhouse.reporting.folder import Predicted, RunFiles
from stillhouse.reporting.parts import arm_line, chart
from stillhouse.reporting.wording import count, percent
from stillhouse.task import Section
from stillhouse.tasks.multilabel.report.labels import pictured

BINS = 10

TEMPLATE = """
<p class="soft">All labels of all test rows and seeds together. A label with a probability of 80&nbsp;% should be true
eight times in ten: then a mark is on the dashed line. Grey bars are the number of labels.</p>
{{ figures(it.charts) }}
<div class="later">
{{ table("Calibration of the label probabilities", it.heads, it.rows) }}
<p class="note">The calibration error is the mean gap between probability and frequency, in its usual form: the fewer
the labels, the more of it is chance.</p>
</div>
"""


def calibration(run: RunFiles) -> dict[str, Any] | None:
    """Return a reliability diagram for teacher, control and student, and their calibration errors."""
    arms = pictured(run)
    if (predicted := run.labelled) is None or not arms:
        return None
    charts, rows = [], []
    found = {name: binned(predicted, name) for name in arms}
    low = least([b for bins in found.values() for b in bins])
    for name, bins in found.items():
        label = run.arm(name).label
        error = sum(b.count * abs(b.confidence - b.accuracy.value) for b in bins) / max(sum(b.count for b in bins), 1)
        fullest = max(bins, key=lambda b: b.count)
        spoken = (
            f"Reliability of the label probabilities of {label}. In the fullest bin, {count(fullest.count)} labels, "
            f"the probability is {percent(fullest.confidence)} and the frequency {percent(fullest.accuracy.value)}."
        )
        charts.append(chart(label, reliability(bins, run.arm(name), spoken, low, "probability", "frequency")))
        rows.append(arm_line(run, name, [percent(error)]))
    return {"charts": charts, "heads": ["Model", "Calibration error"], "rows": rows}


def binned(predicted: Predicted, arm: str) -> list[Bin]:
    """Sort the labels of an arm by their probability into bins of equal width; empty ones are left out."""
    from scipy.special import expit

    nets = list(predicted.outputs[arm].values())
    targets = np.tile(predicted.targets.astype(np.float64), (len(nets), 1))
    known = ~np.isnan(targets)
    probability, truth = expit(np.concatenate(nets).astype(np.float64))[known], targets[known]
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    found = []
    for k in np.unique(place):
        inside = place == k
        frequency = float(truth[inside].mean())
        once = Interval(frequency, frequency, frequency)
        found.append(Bin(float(probability[inside].mean()), once, inside.sum() / len(nets)))
    return found


SECTION = Section("calibration", "Calibration", calibration, TEMPLATE, order=70)
