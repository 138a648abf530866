"""How close the probabilities of each student are to its teacher's, with the upper limits of agreement."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.figures import cell, interval, titled
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import head, line
from stillhouse.reporting.wording import ABSENT
from stillhouse.task import Section

AGREEMENT = "agreement"
MEASURES = (
    AGREEMENT,
    "agreement_teacher_right",
    "agreement_teacher_wrong",
    "negative_flips",
    "positive_flips",
    "rank_correlation",
    "total_variation",
    "kl",
    "kl_teacher_right",
    "kl_teacher_wrong",
)
CEILINGS = {
    "between_seeds": "Ceiling: agreement of two seeds of the same student",
    "second_teacher": "Ceiling: agreement of the two teachers",
}

TEMPLATE = """
<p class="soft">How close each student is to its teacher. Agreement where the teacher is wrong means that the student
learned the teacher's mistake.</p>
{{ table("Fidelity", it.heads, it.rows) }}
"""


def fidelity(run: RunFiles) -> dict[str, Any] | None:
    """Return a line for each measure, a column for each student."""
    names = [n for n in run.shown_arms if run.models[n].get("fidelity")]
    if not names:
        return None
    found = [run.models[n]["fidelity"] for n in names]
    rows = [
        line(titled(run.measure(k)), [cell(run.measure(k), f.get(k)) for f in found])
        for k in MEASURES
        if any(interval(f.get(k)) for f in found)
    ]
    for key, name in CEILINGS.items():
        cells = [cell(run.measure(AGREEMENT), (f.get("ceiling") or {}).get(key)) for f in found]
        if any(c["value"] != ABSENT for c in cells):
            rows.append(line(name, cells))
    return {"heads": ["Measure", *(head(run.arm(n)) for n in names)], "rows": rows}


SECTION = Section("fidelity", "Fidelity", fidelity, TEMPLATE, order=90)
