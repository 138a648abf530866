"""Changes of classes, labels or groups of rows, worst first: what the sections of several tasks draw alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stillhouse.reporting.charts import bar_row
from stillhouse.reporting.figures import Interval, between, difference, differing, interval, written
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import Forest, with_figures
from stillhouse.reporting.wording import capital, count, p_value
from stillhouse.task import Measure

ROWS_SHOWN = 16  # of a table; the others are folded away
GROUP = "group:"  # before the name of a column by which rows are grouped

TEMPLATE = """
<p class="soft">A mean can hide a part of the rows that pays for it. The verdicts allow for the number of parts tested
(Holm).</p>
{% for note in it.notes %}
<p>{{ note }}</p>
{% endfor %}
{% for group in it.groups %}
<div class="later">{{ plot_table(group.caption, group.first, group) }}</div>
{% if group.folded %}
<details>
<summary>{{ group.folded | length }} more</summary>
{{ plot_table(group.caption ~ ", continued", group.first, dict(group, rows=group.folded)) }}
</details>
{% endif %}
{% endfor %}
"""


def changes(run: RunFiles, parts: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the change of each part of the rows against the teacher and against the control, worst first.

    Args:
        run: the run's files.
        parts: what one entry of a list of parts is called, such as "class"; groups that the user names have their own.
    """
    measure = run.measure(run.part_measure)
    found = run.models.get(run.student, {}).get("harm")
    if not found:
        return None
    groups = [
        _table(run, other, kind(part, parts), entries, measure)
        for other, lists in (found.get("against") or {}).items()
        for part, entries in lists.items()
        if with_figures(entries)
    ]
    worst = [
        _worst(run, kind(part, parts), entry, measure)
        for part, entry in (found.get("worst") or {}).items()
        if interval(entry)
    ]
    return {"groups": groups, "notes": worst} if groups or worst else None


def kind(part: str, parts: Mapping[str, str]) -> str:
    """Return what one entry of a list is called.

    >>> kind("group:site", {}), kind("classes", {"classes": "class"})
    ('site', 'class')
    """
    return parts.get(part, part.removeprefix(GROUP))


def _worst(run: RunFiles, name: str, entry: dict[str, Any], measure: Measure) -> str:
    figure = interval(entry)
    ends = between(measure, figure)
    inside = f" ({ends})" if ends else ""
    label = run.arm(run.student).label.lower()
    value = f"{measure.label} {written(measure, figure)}{inside}"
    return f"Worst {name} of the {label} student: '{entry.get('name')}', {value}."


def _table(run: RunFiles, other: str, name: str, entries: list[dict[str, Any]], measure: Measure) -> dict[str, Any]:
    found = with_figures(entries)
    forest = Forest(measure, found)
    rows = [_row(run, forest, entry, figure) for entry, figure in found]
    student, against = run.arm(run.student).label.lower(), run.arm(other).label.lower()
    return forest.shown(rows[:ROWS_SHOWN], run.confidence, "Verdict, all together") | {
        "caption": f"{differing(measure)}, for each {name}, {student} against {against}, worst first",
        "first": capital(name),
        "folded": rows[ROWS_SHOWN:],
    }


def _row(run: RunFiles, forest: Forest, entry: dict[str, Any], figure: Interval) -> dict[str, Any]:
    value, ends = difference(forest.measure, figure)
    name = str(entry.get("name", ""))
    spoken = f"{name}: {value}, interval {ends}, {count(entry.get('rows'))} rows"
    plot = bar_row(figure, forest.scale, "tone-bad" if figure.value < 0 else "tone-good", spoken)
    first = next(iter(run.comparisons), {}) if run.part_measure == run.headline else run.scores
    return forest.row(entry, figure, plot, first.get("margin"), name=name, p=p_value(entry.get("p_holm")))
