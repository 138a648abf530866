"""What was known of the teacher before anything was distilled from it."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.figures import titled, written
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import line
from stillhouse.reporting.wording import count, typeset
from stillhouse.task import Section

TEMPLATE = """
<p>{{ badge(it.word, it.tone) }}</p>
{% for problem in it.problems %}
<p>{{ problem }}</p>
{% endfor %}
{% if it.rows %}
<p class="soft">{{ it.basis }} {{ it.rule }}</p>
{{ table("The teacher, before distillation", it.heads, it.rows) }}
{% endif %}
{% if it.facts %}
<details{% if not it.rows %} open{% endif %}><summary>What else was checked</summary>{{ facts(it.facts) }}</details>
{% endif %}
"""
RULE = "A teacher must be better than the student trained on the labels alone."

Fact = tuple[str, str]


def gate(run: RunFiles) -> dict[str, Any] | None:
    """Return the teacher's check: the comparison, what else was looked at, and what speaks against it."""
    found = run.run.get("teacher_gate")
    if not isinstance(found, dict) or not found:
        return None
    comparison, problems = found.get("comparison") or {}, found.get("problems") or []
    measures = [name for name, by_arm in comparison.items() if isinstance(by_arm, dict)]
    arms = run.in_order({arm for name in measures for arm in comparison[name]})
    word = "accepted all the same" if problems else "fit for distillation" if comparison else "not compared"
    return {
        "word": word,
        "tone": "bad" if problems else "good" if comparison else "open",
        "problems": [typeset(p["finding"]) for p in problems],
        "heads": ["Model", *(titled(run.measure(name)) for name in measures)],
        "rows": [
            line(run.arm(a).label, [written(run.measure(m), comparison[m].get(a)) for m in measures], arm=run.arm(a))
            for a in arms
        ],
        "basis": f"On the {count(comparison.get('rows'))} validation rows, one net each.",
        "rule": RULE,
        "facts": checks(found),
    }


def checks(found: dict[str, Any]) -> list[Fact]:
    """Return what was checked of any teacher, a line each."""
    rows: list[Fact] = []
    if found.get("comparison") is None:
        rows.append(("Better than labels only", f"not checked: {found.get('why', '')}."))
    rows += [("Its answers are read as", _form(form)) for form in found.get("answers") or []]
    if any(found.get("folds") or []):
        rows.append(("Rows it was trained on are answered", " and ".join(map(_folds, found["folds"]))))
    for key, name in (("deterministic", "Same rows asked twice"), ("steady", "Same rows in other batches")):
        if key in found:
            rows.append((name, "the same outputs" if found[key] else "other outputs"))
    shared = found.get("leakage") or {}
    for part, whole, name in (
        ("test_in_train", "test_rows", "Test rows that are also training rows"),
        ("test_in_labelled", "test_rows", "Test rows that are also labelled rows"),
        ("valid_in_train", "valid_rows", "Validation rows that are also training rows"),
    ):
        if part in shared:
            rows.append((name, f"{count(shared[part])} of {count(shared.get(whole))}"))
    return rows


def _form(form: dict[str, Any]) -> str:
    """What was decided about a teacher's answers, in words."""
    near = f", a row adds up to 1 within {form['tolerance']:g}" if "tolerance" in form else ""
    unit = f" in {form['unit']}" if "unit" in form else ""
    dtype = f" ({form['dtype']})" if "dtype" in form else ""
    return f"{form['kind'].replace('_', '-')}{unit}{dtype}, {form['decided']}{near}; columns: {form['columns']}"


def _folds(number: int) -> str:
    return f"by one of {count(number)} that did not see them" if number else "by itself"


SECTION = Section("teacher", "Teacher", gate, TEMPLATE, order=30, heading="The teacher, before distillation")
