"""Where the run comes from: recipe, versions, hashes, and the command that makes it again."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.render import Verbatim
from stillhouse.reporting.wording import ABSENT, count, decimal
from stillhouse.task import Section

ELSEWHERE = ("command", "student")  # of run.json, shown in a place of its own
TABLES = (
    ("Data", "data"),
    ("Budget", "budget"),
    ("Seconds of each stage", "seconds"),
    ("Versions", "versions"),
    ("Hashes", "hashes"),
)

TEMPLATE = """
{% if it.command %}
<p class="soft">The command that reproduces this run:</p>
<pre class="wrap"><code>{{ it.command }}</code></pre>
{% endif %}
{% if it.recipe %}
<details><summary>The recipe, every default written out</summary><pre><code>{{ it.recipe }}</code></pre></details>
{% endif %}
{% if it.made %}
<details><summary>How the student was made</summary><pre><code>{{ it.made }}</code></pre></details>
{% endif %}
{% for group in it.groups %}
<details><summary>{{ group.title }}</summary>{{ facts(group.rows) }}</details>
{% endfor %}
"""


def provenance(run: RunFiles) -> dict[str, Any] | None:
    """Return the command, the recipe, how the student was made, and all facts."""
    given = run.run.get("command", "")
    command = " ".join(map(str, given)) if isinstance(given, list) else str(given)
    made = "\n".join(map(str, run.run.get("student") or []))  # cut out of its teacher: a line a tensor
    found = {"command": Verbatim(command), "recipe": Verbatim(run.recipe), "made": Verbatim(made), "groups": facts(run)}
    return found if any(found.values()) else None


def facts(run: RunFiles) -> list[dict[str, Any]]:
    """Return versions, hashes, data facts, budget and seconds, each a titled list of names and values."""
    own = [(n, text_of(v)) for n, v in run.run.items() if not isinstance(v, dict) and n not in ELSEWHERE]
    groups: list[dict[str, Any]] = [{"title": "This run", "rows": own}] if own else []
    for title, key in TABLES:
        table = run.scores.get(key) or run.run.get(key)
        if isinstance(table, dict) and table:
            groups.append({"title": title, "rows": [(n, text_of(v)) for n, v in flat(table)]})
    return groups


def flat(table: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    """Return nested tables as paths of names and values."""
    rows: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = f"{path} · {key}" if path else str(key)
        rows += flat(value, name) if isinstance(value, dict) else [(name, value)]
    return rows


def text_of(value: Any) -> str:
    """Return a value of a run's files as text."""
    if isinstance(value, list):
        return ", ".join(text_of(v) for v in value)
    if value is None:
        return ABSENT
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return count(value) if isinstance(value, int) else decimal(value, 4 if abs(value) < 1 else 2)


SECTION = Section("provenance", "Provenance", provenance, TEMPLATE, order=200)
