"""How close each student is to its teacher, in the statistics that people compare quantised models by."""

from __future__ import annotations

from typing import Any

from stillhouse.evaluation.sentences import figure
from stillhouse.task import TEACHER, Section
from stillhouse.tasks.language_modelling import arms, measures

COLUMNS = (
    measures.KL, measures.REVERSE, measures.RMS, measures.AGREEMENT, measures.ACCEPTANCE, measures.KNOWN,
)  # fmt: skip

TEMPLATE = """
<p>{{ it.documents }} documents with {{ it.tokens }} tokens, {{ it.bytes }} bytes of text. Means over tokens; the
intervals come from resampling documents.</p>
<table><thead><tr><th></th>{% for name in it.columns %}<th>{{ name }}</th>{% endfor %}<th>KL: median, 90 %, 99 %</th>
</tr></thead><tbody>
{% for row in it.rows %}<tr><th>{{ row.label }}</th>{% for cell in row.cells %}<td>{{ cell }}</td>{% endfor %}
<td>{{ row.quantiles }}</td></tr>
{% endfor %}</tbody></table>
"""


def values(run: Any) -> dict[str, Any] | None:
    """The table; None where the run has no such scores."""
    scores = run.scores
    if "documents" not in scores:
        return None
    rows = []
    for arm, control in arms.CONTROLS.items():
        model = scores["models"].get(arm)
        if model is None or arm == TEACHER:
            continue
        rows.append(
            {
                "label": control.label,
                "cells": [figure(model["measures"][name]) if name in model["measures"] else "" for name in COLUMNS],
                "quantiles": _quantiles(model.get("kl_quantiles", {})),
            }
        )
    names = [measures.MEASURES[name].label for name in COLUMNS]
    facts = {name: f"{scores[name]:,}" for name in ("documents", "tokens", "bytes")}
    return {"rows": rows, "columns": names, **facts}


def _quantiles(by_seed: dict[str, dict[str, float]]) -> str:
    if not by_seed:
        return ""
    keys = next(iter(by_seed.values()))
    return ", ".join(f"{sum(one[key] for one in by_seed.values()) / len(by_seed):.3g}" for key in keys)


CLOSENESS = Section("closeness", "Closeness to the teacher", values, TEMPLATE, 32)
