"""What the student learned besides outputs: inner layers, attributions, the student as rules, influential rows."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.figures import between, interval
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import Cell, arm_line, line
from stillhouse.reporting.rows import pictures, shown
from stillhouse.reporting.wording import ABSENT, capital, count, decimal, in_units, number, percent
from stillhouse.task import Measure, Section

WRITTEN = 10  # rules up to this number of lines stand open
CEILING = "ceiling"  # of full.json: two seeds of the student
SCALE = "The last line compares two seeds of one student: so much alike are nets that differ by chance alone."

TEMPLATE = """
{% if it.layers.rows %}
{{ table("Agreement of the inner layers", it.layers.heads, it.layers.rows, "Agreement with the teacher inside the
nets: 1 is the same. " ~ it.layers.last) }}
{% endif %}
{% if it.layers.why %}
<p class="note">The last hidden layers were not compared. {{ it.layers.why }}</p>
{% endif %}
{% if it.attribution %}
<div class="later">
<h3>Do they look at the same parts of a row?</h3>
{% if it.attribution.why %}
<p class="note">{{ it.attribution.why }}</p>
{% else %}
<p class="soft">Rank correlation of attributions for the teacher’s output, mean over {{ it.attribution.count }} test
rows, by several methods and several baselines. No single one is the right one.</p>
{{ table("Agreement of attributions", it.attribution.heads, it.attribution.rows) }}
{% endif %}
</div>
{% endif %}
{% if it.surrogate %}
<div class="later">
<h3>The student as rules</h3>
{% if it.surrogate.own %}
<p>The student is a decision tree of {{ it.surrogate.leaves }} leaves. These are its rules, in raw units.</p>
{% else %}
<p>A decision tree of {{ it.surrogate.leaves }} leaves that imitates the student {{ it.surrogate.does }} <b>{{
it.surrogate.fidelity }}</b>{% if it.surrogate.interval %} ({{ it.surrogate.interval }}){% endif %}{{
it.surrogate.beside }}. <span class="soft">It is a summary of the student, not the student{% if it.surrogate.accuracy
%}: the tree itself has {{ it.surrogate.accuracy }} right{% endif %}.</span></p>
{% endif %}
<details{% if it.surrogate.open %} open{% endif %}><summary>The rules, in raw units</summary><pre
tabindex="0"><code>{{ it.surrogate.rules }}</code></pre></details>
</div>
{% endif %}
{% if it.taught %}
<div class="later">
<h3>The rows that helped most</h3>
<p class="soft">Training rows on which one step of distillation would lower the loss of the control on the {{
it.taught.held_out }} rows most (TracIn, last layer). {{ it.taught.helping }} of the training rows help; {{
it.taught.unlabelled }} of all help comes from rows without a label.</p>
<details><summary>Show the first {{ it.taught.cards | length }}</summary>
<ul class="cards">
{% for card in it.taught.cards %}
<li class="card">
{{ row_input(card, "Training row " ~ card.row) }}
<p>The teacher gives {{ card.given }}. <span class="soft">{{ card.labelled }} row {{ card.row }}{% if card.truth %},
truly {{ card.truth }}{% endif %}; {{ card.share }} of all help.</span></p>
{{ row_columns(card) }}
</li>
{% endfor %}
</ul>
</details>
</div>
{% endif %}
"""


def handed_over(run: RunFiles) -> dict[str, Any] | None:
    """Return all that ``explanation.json`` and ``full.json`` say of what was handed over by any teacher."""
    told = run.explanation
    found = {
        "layers": _layers(run, told.get("cka") or {}),
        "attribution": _attribution(run, run.full.get("attribution") or {}),
        "surrogate": _surrogate(told.get("surrogate")),
        "taught": _taught(run, told.get("taught") or {}),
    }
    layers = found["layers"] or {}
    empty = not (layers["rows"] or layers["why"])
    return None if empty and not any(v for k, v in found.items() if k != "layers") else found


def ceiling(run: RunFiles) -> str:
    """Return the name of the line that shows how far two seeds of the student agree."""
    return f"Two seeds of the {run.arm(run.student).label.lower()} student"


def _layers(run: RunFiles, told: dict[str, Any]) -> dict[str, Any]:
    """Return how far the last hidden layers of students and teacher agree, beside the ceiling of two seeds."""
    aligned = told.get("with_teacher") or {}
    rows = [
        arm_line(run, name, [decimal(aligned[name], 2)]) | {"label": f"{run.arm(name).label} and teacher"}
        for name in run.in_order(aligned)
    ]
    if number(told.get("between_seeds")) is not None:
        rows.append(line(ceiling(run), [decimal(told["between_seeds"], 2)]))
    last = SCALE if number(told.get("between_seeds")) is not None else ""
    heads = ["Pair", "Alignment of the last hidden layer (linear CKA)"]
    return {"heads": heads, "rows": rows, "last": last, "why": str(told.get("why", ""))}


def _attribution(run: RunFiles, told: dict[str, Any]) -> dict[str, Any] | None:
    """Return a line for each way of attribution, a column for each pair of nets."""
    if told.get("why"):
        return {"why": str(told["why"])}
    # A ceiling alone says nothing of the teacher: one without a gradient can only be asked by occlusion.
    ways = [way for way in told.get("ways") or [] if set(way["pairs"]) - {CEILING}]
    if not ways:
        return None
    named = {name for way in ways for name in way["pairs"]}
    pairs = [*reversed(run.in_order(named - {CEILING})), *({CEILING} & named)]
    rows = [
        line(
            capital(str(way["method"])),
            [_correlation(way["pairs"].get(pair)) for pair in pairs],
            small=f", baseline: {way['baseline']}" if way["baseline"] else "",
        )
        for way in ways
    ]
    heads = ["Method", *(ceiling(run) if p == CEILING else f"{run.arm(p).label} and teacher" for p in pairs)]
    return {"why": "", "heads": heads, "rows": rows, "count": count(told.get("rows"))}


def _correlation(figure: Any) -> Cell:
    found = interval(figure)
    if found is None:
        return ABSENT
    return {"value": decimal(found.value, 2), "interval": f"{decimal(found.low, 2)} to {decimal(found.high, 2)}"}


def _surrogate(told: dict[str, Any] | None) -> dict[str, Any] | None:
    rules = str((told or {}).get("rules", ""))
    if told is None or not rules:
        return None
    tree = {"leaves": count(told.get("leaves")), "rules": rules, "open": rules.count("\n") < WRITTEN}
    fidelity, discrete = interval(told.get("fidelity")), number(told.get("majority")) is not None
    if fidelity is None:
        return tree | {"own": True}
    majority = f"; always giving the student’s most frequent class would on {percent(told.get('majority'))}"
    return tree | {
        "own": False,
        "does": "gives the same output on" if discrete else "explains this share of the variance of its outputs:",
        "beside": majority if discrete else "",
        "fidelity": percent(fidelity.value),
        "interval": between(Measure("", "share"), fidelity),
        "accuracy": percent(told["accuracy"]) if number(told.get("accuracy")) is not None else "",
    }


def _taught(run: RunFiles, told: dict[str, Any]) -> dict[str, Any] | None:
    """Return the training rows that helped most, each as what it is."""
    entries: list[dict[str, Any]] = told.get("rows") or []
    if not entries or run.taught is None or len(run.taught.rows) != len(entries):
        return None
    drawn = pictures(run.taught)
    return {
        "unlabelled": percent(told.get("unlabelled_share"), 0),
        "helping": percent(told.get("helping"), 0),
        "held_out": "validation" if told.get("held_out") == "valid" else "test",
        "cards": [_card(entry) | shown(run.taught, k, drawn) for k, entry in enumerate(entries)],
    }


def _card(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "row": int(entry["row"]),
        "share": percent(entry.get("share"), 2),
        "labelled": "Labelled" if entry.get("labelled") else "Unlabelled",
        "truth": f"'{entry['label']}'" if entry.get("label") is not None else "",
        "given": ", ".join(filter(None, map(_given, entry["teacher"]))),
    }


def _given(output: dict[str, Any]) -> str:
    """Say one output of the teacher: a class with its probability, or a named value."""
    if "probability" not in output:
        return f"'{output.get('name')}' {in_units(output.get('value'))}"
    return f"'{output['class']}' {percent(output['probability'], 0)}" if output["probability"] >= 0.005 else ""


SECTION = Section("explanation", "Handed over", handed_over, TEMPLATE, order=120, heading="What the student learned")
