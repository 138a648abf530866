"""Rows that were made: what they look like, their classes, and how far they are from real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillhouse.archives import open_npz
from stillhouse.reporting.folder import Gallery, RunFiles, read_json
from stillhouse.reporting.parts import line
from stillhouse.reporting.rows import pictures, shown
from stillhouse.reporting.wording import count, percent
from stillhouse.task import Section

TEXTS = 8  # rows of a round that are shown, where they are no pictures

TEMPLATE = """
<p>{{ it.intro }}</p>
<p class="soft">Made rows are not private: a maker that was fitted to real rows, or trained against a teacher that has
seen them, may show parts of them. The rows are kept in <code>made/</code> for audit and are never exported; treat them
as training data. The distance to the nearest real row is an indicator and no guarantee.</p>
{{ table("Made rows", it.heads, it.rows) }}
{% for alarm in it.alarms %}<p><strong>Alarm.</strong> {{ alarm }}</p>{% endfor %}
{% for one in it.rounds %}
<h3>{{ one.title }}</h3>
<p class="soft">{{ one.prior }}</p>
{% if one.pictures %}
<p>{% for picture in one.pictures %}<img src="{{ picture.image }}" alt="{{ picture.alt }}" width="48" height="48">
{% endfor %}</p>
{% else %}
<ul class="cards">{% for card in one.cards %}
<li class="card">{{ row_input(card, "Made row") }}{{ row_columns(card) }}</li>
{% endfor %}</ul>
{% endif %}
{% if one.classes %}
<details><summary>Classes and confidence</summary>
{{ table("The teacher's classes", ["Class", "Rows"], one.classes) }}
{{ table("The teacher's confidence", ["Probability of its class", "Rows"], one.histogram) }}
</details>
{% endif %}
{% endfor %}
"""


def made(run: RunFiles) -> dict[str, Any] | None:
    """Return the rounds of all makers; None where no row was made."""
    facts = read_json(run.folder / "made" / "made.json")
    if not facts:
        return None
    rows, rounds, alarms = [], [], []
    for index, maker in enumerate(facts["made"]):
        for place, told in enumerate(maker["rounds"]):
            number, several = told.get("round", place + 1) - 1, len(maker["rounds"]) > 1
            title = f"{maker['name']}, round {number + 1}" if several or number else str(maker["name"])
            rows.append(line(title, cells(told)))
            alarms += [f"{title}: {alarm}." for alarm in told["alarms"]]
            file = run.folder / "made" / f"{index}-{maker['name']}" / f"{number}-shown.npz"
            rounds.append(a_round(run, title, maker, told, file))
    heads = ["Maker", "Rows", "Entropy of classes", "Confidence", "Duplicates", "Nearest real", "Real to real"]
    return {"intro": intro(facts), "heads": heads, "rows": rows, "rounds": rounds, "alarms": alarms}


def cells(told: dict[str, Any]) -> list[str]:
    """Return the figures of a round, as cells of a line."""
    near = [f"{told[name]:.3g}" if told.get(name) is not None else "–" for name in ("near_real", "real_to_real")]
    sure = [percent(told[name], 0) if name in told else "–" for name in ("entropy", "confidence")]
    return [count(told["rows"]), *sure, percent(told["duplicates"], 0), *near]


def intro(facts: dict[str, Any]) -> str:
    """Return what was made, asked and learned, in sentences."""
    total = sum(told["rows"] for maker in facts["made"] for told in maker["rounds"])
    seconds = facts["seconds"].get("make rows")
    real, answers = facts["real_rows"], facts["answers"]
    text = f"{total:,} rows were made beside {real:,} real ones; the teacher gave {answers:,} answers."
    text += f" Trained makers took {seconds:,.0f} s." if seconds else ""
    agreement = facts["agreement"]
    if "made" in agreement:
        text += f" The student agrees with it on {percent(agreement['made'])} of the made rows"
        text += f" and on {percent(agreement['real'])} of the real ones." if "real" in agreement else "."
    return text


def a_round(run: RunFiles, title: str, maker: dict[str, Any], told: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return one round as the template shows it."""
    found: dict[str, Any] = {"title": title, "prior": f"What somebody had to know: {maker['prior']}."}
    found["prior"] += f" {maker['paper']}." if maker["paper"] else ""
    found |= {"pictures": [], "cards": [], "classes": [], "histogram": []}
    names = [str(name) for name in run.scores.get("classes", [])]
    if file.exists():
        with open_npz(file) as held:
            arrays = {name: held[name] for name in held.files}
        gallery = Gallery(arrays["rows"], arrays["inputs"], tuple(map(str, arrays.get("columns", ()))))
        drawn, classes = pictures(gallery), arrays["classes"]
        alts = [f"Made row, {names[c] if c < len(names) else c}" for c in classes.tolist()] or ["Made row"] * len(drawn)
        found["pictures"] = [{"image": image, "alt": alt} for image, alt in zip(drawn, alts, strict=False)]
        few = range(0 if drawn else min(TEXTS, len(gallery.rows)))
        found["cards"] = [shown(gallery, k, drawn) | {"row": int(gallery.rows[k])} for k in few]
    if "classes" in told:
        shares = enumerate(told["classes"])
        found["classes"] = [line(names[c] if c < len(names) else str(c), [percent(share)]) for c, share in shares]
        width = 100 // len(told["histogram"])
        bins = enumerate(told["histogram"])
        found["histogram"] = [line(f"{k * width} to {(k + 1) * width} %", [percent(share)]) for k, share in bins]
    return found


SECTION = Section("made", "Made rows", made, TEMPLATE, order=105, heading="The rows that were made")
