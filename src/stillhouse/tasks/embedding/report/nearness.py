"""The meaning of the figures of embedders, and the number of texts and pairs behind them."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import arm_line
from stillhouse.reporting.wording import count, number
from stillhouse.task import Section

TEMPLATE = """
<ul>
<li>Every test text is a query among the other test texts; nearness is the cosine.</li>
{% if it.labelled %}
<li>Categories: {{ it.labelled }} texts have one. No model saw them.</li>
{% endif %}
{% if it.pairs %}
<li>The rank correlation is Spearman’s, of the cosines of {{ it.pairs }} pairs of test texts by both nets.</li>
{% endif %}
</ul>
{% if it.rows %}
{{ table("Dimensions", ["Model", "Dimensions"], it.rows) }}
{% endif %}
"""


def nearness(run: RunFiles) -> dict[str, Any]:
    """Return the counts, and the length of each model's vectors."""
    rows = [
        arm_line(run, name, [count(width)])
        for name in run.shown_arms
        if (width := number(run.models[name].get("width"))) is not None
    ]
    labelled, pairs = (number(run.scores.get(key)) for key in ("labelled_rows", "pairs"))
    return {"labelled": count(labelled) if labelled else "", "pairs": count(pairs) if pairs else "", "rows": rows}


SECTION = Section("nearness", "Nearness", nearness, TEMPLATE, order=60, heading="What the figures mean")
