"""The test rows on which student and teacher disagree most, with what both give for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from stillhouse.reporting.folder import Array, RunFiles
from stillhouse.reporting.parts import line
from stillhouse.reporting.rows import MOST_ROWS, pictures, shown
from stillhouse.reporting.wording import in_units
from stillhouse.task import TEACHER, Section

FIRST = 9  # cards that stand open
MOST_OUTPUTS = 8  # of a row, where each output is shown

TEMPLATE = """
{% macro cards(rows) %}
<ul class="cards">
{% for card in rows %}
<li class="card">
{{ row_input(card, "Test row " ~ card.row ~ card.alt) }}
<p>{{ card.sentence }} <span class="soft">Row {{ card.row }}.</span></p>
{% if card.lines %}
<table>
<thead><tr>{% for head in it.heads %}<th scope="col"{% if not loop.first %} class="number figure-column"{% endif %}>{{
head }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in card.lines %}
<tr><th scope="row">{{ row.label }}{{ row.plot }}</th>{% for value in row.cells %}<td class="number">{{ value
}}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% if card.hangs %}
<dl class="hangs">
{% for net in card.hangs %}
<dt>Words that move the {{ net.name }}</dt><dd>{% for word, effect in net.words %}{{ word }}&nbsp;<span
class="number">{{ effect }}</span>{% if not loop.last %}, {% endif %}{% endfor %}</dd>
{% endfor %}
</dl>
{% endif %}
{{ row_columns(card) }}
</li>
{% endfor %}
</ul>
{% endmacro %}
<p class="soft">Test rows, worst first, with the outputs of the student of the first seed. {{ it.key }}</p>
{% if it.moved %}
<p class="soft">Marked are the words whose removal, one at a time, changes the log-probability of the teacher’s class
most: T for the teacher, S for the student; + where the word speaks for that class, − where against it. The figures
are nats. Of a text, at most its first 64 words were tried.{% if "teacher" not in it.moved %} The teacher was not
asked again for this.{% endif %}</p>
{% endif %}
{{ cards(it.cards[:it.first]) }}
{% if it.cards | length > it.first %}
<details><summary>{{ it.cards | length - it.first }} more</summary>{{ cards(it.cards[it.first:]) }}</details>
{% endif %}
"""


class Told(NamedTuple):
    """What a card says of a row beside its inputs."""

    sentence: str
    lines: list[dict[str, Any]]  # of its table: label, cells and plot, under the heads
    alt: str = ""  # what follows the row's number where an image cannot be seen


Tell = Callable[
    [RunFiles, int, Array, Array], Told
]  # place in the predictions, student's and teacher's outputs (N, ...)


def cards(run: RunFiles, tell: Tell, heads: list[str], key: str = "") -> dict[str, Any] | None:
    """Return one card a row: its inputs, and what teacher and shipped student (first seed) give for it.

    Args:
        run: the run's files.
        tell: says what nets give for a row.
        heads: of the columns of the table in a card.
        key: how the drawings in it are read.
    """
    if run.gallery is None or run.predicted is None:
        return None
    teacher, student = run.predicted.first(TEACHER), run.predicted.first(run.student)
    if teacher is None or student is None:
        return None
    position = {int(row): i for i, row in enumerate(run.predicted.rows)}
    drawn = pictures(run.gallery)
    found = []
    for k, row in enumerate(run.gallery.rows[:MOST_ROWS]):
        at = position.get(int(row))
        if at is not None:
            told = tell(run, at, student, teacher)._asdict()
            found.append(told | {"row": int(row)} | shown(run.gallery, k, drawn))
    if not found:
        return None
    moved = {net["name"] for card in found for net in card["hangs"]}
    return {"cards": found, "first": FIRST, "heads": heads, "key": key, "moved": sorted(moved)}


def values(run: RunFiles, at: int, student: Array, teacher: Array) -> Told:
    """Say each named output of a row as a number: the true one, the student's and the teacher's."""
    names, nets = run.names, (student, teacher)
    if any(net.shape[1] != len(names) for net in nets) or run.predicted is None:
        return Told("", [])
    targets = np.asarray(run.predicted.targets, dtype=np.float64).reshape(len(student), -1)
    truth = targets[at] if targets.shape[1] == len(names) else np.full(len(names), np.nan)
    apart = np.argsort(-np.abs(student[at] - teacher[at]), kind="stable")[:MOST_OUTPUTS]
    lines = []
    for c in apart:
        three = [float(truth[c]), float(student[at, c]), float(teacher[at, c])]
        size = max((abs(v) for v in three if np.isfinite(v)), default=None)
        lines.append(line(names[c], [in_units(v, size) for v in three]) | {"plot": ""})
    return Told("", lines)


def gallery(run: RunFiles) -> dict[str, Any] | None:
    """Return the cards of a task whose outputs are shown as numbers, or not at all where they have no names."""
    return cards(run, values, ["Output", "True", "Student", "Teacher"])


SECTION = Section(
    "gallery", "Disagreements", gallery, TEMPLATE, order=140, heading="Where student and teacher disagree most"
)
