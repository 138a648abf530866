"""The same beginnings, continued by the text itself, the teacher and the student of the first seed of each arm."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.wording import decimal, percent
from stillhouse.task import Section
from stillhouse.tasks.language_modelling.samples import TEXT

TEMPLATE = """
<p>The beginnings of {{ it.documents }} test texts, each continued for {{ it.new_tokens }} tokens at most by draws from
the net's own distribution, of the first seed. <em>Repeated</em>: pieces of four tokens that stand in the same
continuation before.</p>
<table><thead><tr><th></th><th>Tokens, mean</th><th>Wrote the end</th><th>Repeated</th></tr></thead><tbody>
{% for row in it.rows %}<tr><th>{{ row.label }}</th><td>{{ row.tokens }}</td><td>{{ row.ended }}</td>
<td>{{ row.repeated }}</td></tr>
{% endfor %}</tbody></table>
{% for one in it.samples %}
<details{% if loop.first %} open{% endif %}><summary>{{ one.prompt }} ...</summary>
<table class="wide"><tbody>
{% for row in one.rows %}<tr><th>{{ row.label }}</th><td style="text-align: left; white-space: pre-wrap">{{ row.text }}</td></tr>
{% endfor %}</tbody></table></details>
{% endfor %}
"""  # noqa: E501


def values(run: Any) -> dict[str, Any] | None:
    """The statistics and the texts; None where the run has none."""
    found = run.samples.get("nets")
    if not found:
        return None
    labels = {name: "the text itself" if name == TEXT else run.arm(name).label for name in found}
    names = [TEXT, *run.in_order(name for name in found if name != TEXT)]
    rows = [
        {
            "label": labels[name],
            "tokens": decimal(found[name]["tokens"], 1),
            "ended": percent(found[name]["ended"], 0),
            "repeated": percent(found[name]["repeated"], 1),
        }
        for name in names
    ]
    samples = [
        {"prompt": prompt, "rows": [{"label": labels[name], "text": found[name]["texts"][i]} for name in names]}
        for i, prompt in enumerate(run.samples["prompts"])
    ]
    return {"rows": rows, "samples": samples, **{key: run.samples[key] for key in ("documents", "new_tokens")}}


SAMPLES = Section("samples", "What they write", values, TEMPLATE, 33)
