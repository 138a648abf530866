"""Each label separately: how often it is true, and how well teacher, control and student predict it."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.evaluation.statistics import auc
from stillhouse.reporting.folder import Array, Predicted, RunFiles
from stillhouse.reporting.parts import line
from stillhouse.reporting.wording import count, percent
from stillhouse.task import TEACHER, Section

SHOWN = 20  # lines; the others are collapsed

TEMPLATE = """
<p class="soft">The most frequent labels first. AUC: the chance that a row with the label is given a higher probability
than one without it, 50&nbsp;% is chance. F1: of the labels with a probability of one half or more. Students: mean over
the seeds.</p>
{{ table("Every label", it.heads, it.rows) }}
{% if it.folded %}
<details>
<summary>{{ it.folded | length }} more</summary>
{{ table("Every label, continued", it.heads, it.folded) }}
</details>
{% endif %}
"""


def labels(run: RunFiles) -> dict[str, Any] | None:
    """Return a line for each label."""
    arms = pictured(run)
    if (predicted := run.labelled) is None or not arms:
        return None
    targets = predicted.targets.astype(np.float64)
    known = ~np.isnan(targets)
    shares = np.where(known, targets, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    by_arm = {arm: _figures(predicted, arm, targets) for arm in arms}
    rows = []
    for k in np.argsort(-shares, kind="stable"):
        figures = [percent(float(by_arm[arm][which][k])) for which in range(2) for arm in arms]
        rows.append(line(run.names[k], [count(int(np.nansum(targets[:, k]))), percent(float(shares[k])), *figures]))
    heads = [f"{which}, {run.arm(arm).label.lower()}" for which in ("AUC", "F1") for arm in arms]
    return {"heads": ["Label", "Rows", "Prevalence", *heads], "rows": rows[:SHOWN], "folded": rows[SHOWN:]}


def pictured(run: RunFiles) -> list[str]:
    """Return those of teacher, control and student whose predictions are known."""
    names = dict.fromkeys((TEACHER, run.control or "", run.student))
    return [name for name in names if run.predicted and run.predicted.first(name) is not None]


def _figures(predicted: Predicted, arm: str, targets: Array) -> tuple[Array, Array]:
    """Return AUC (L,) and F1 (L,) of every label, the mean over the seeds; NaN where they are not defined."""
    areas, scores = [], []
    known, truth = ~np.isnan(targets), targets == 1
    for log_odds in predicted.outputs[arm].values():
        columns = zip(log_odds.astype(np.float64).T, known.T, truth.T, strict=True)
        areas.append([auc(values[some], true[some]).components.mean() if some.any() else np.nan
                      for values, some, true in columns])  # fmt: skip
        said = (log_odds >= 0) & known
        size = said.sum(0) + truth.sum(0)
        scores.append(np.where(size > 0, 2 * (said & truth).sum(0) / np.maximum(size, 1), np.nan))
    return np.mean(areas, axis=0), np.mean(scores, axis=0)


SECTION = Section("labels", "Labels", labels, TEMPLATE, order=60, heading="Every label")
