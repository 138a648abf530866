"""The page of an example, written from its run folder: no number stands here that the run has not left there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.examples.example import PAGES, ROOT, Example, Origin
from benchmarks.examples.markdown import bullets, fenced, table, with_interval, words
from benchmarks.examples.picture import shoot
from benchmarks.examples.running import RECORD, recipe_of

from stillhouse.pipeline import Run
from stillhouse.reporting import summary
from stillhouse.reporting.figures import between, spelled, titled, written
from stillhouse.reporting.folder import RunFiles, read, read_json
from stillhouse.reporting.wording import count, decimal, milliseconds, timed

LEARNED = {"softmax": "{} classes. ", "sigmoid": "{} labels. ", "identity": ""}  # from a task's outputs


def write(name: str, example: Example, folder: Path) -> Path:
    """Write ``docs/examples/NAME.md`` and, where there is a browser, ``NAME.png``; returns the page."""
    picture, path = PAGES / f"{name}.png", PAGES / f"{name}.md"
    if (folder / "report.html").exists():
        shoot(folder / "report.html", picture)
    run = read(folder, Run(folder).task)
    pictured = picture.name if picture.exists() else None
    path.write_text(page(name, example, run, pictured), encoding="utf-8")
    return path.relative_to(ROOT)


def page(name: str, example: Example, run: RunFiles, picture: str | None) -> str:
    """The whole page as Markdown."""
    record = read_json(run.folder / RECORD)
    parts = [
        f"# {example.title}",
        f"*Written by `python -m benchmarks.examples {name}` from the run of {_date(run)}; every figure of a model "
        "below is read from its run folder.*",
        example.about.strip(),
        f"![The top of the run's report]({picture})" if picture else "",
        *verdict(run),
        *models(run),
        *gate(run, record),
        example.extra(run).strip() if example.extra else "",
        f"## What this does not show\n\n{example.limits.strip()}" if example.limits else "",
        *data(example, run, record),
        *commands(name, run),
        *costs(run, record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict(run: RunFiles) -> Iterator[str]:
    """The headline, the sentence of every comparison as it stands in ``scores.json``, and the warnings."""
    scores = run.scores
    found = scores.get("comparisons", [])
    margin = next((entry.get("margin") for entry in found), None)
    yield f"## Verdict: {spelled(str(scores['verdict']), margin, run.measure(run.headline))}"
    yield f"> {scores['sentence']}"
    others = [entry for entry in found if entry["sentence"] != scores["sentence"]]
    if others:
        yield bullets(f"**{word(run, entry)}**: {entry['sentence']}" for entry in others)
    if warned := summary.warnings(run):
        yield "What to know before leaning on it:"
        yield bullets(warned)


def models(run: RunFiles) -> Iterator[str]:
    """The arms with what they saw and their figures."""
    scores = run.scores
    seeds, rows = len(scores.get("seeds", [])), scores.get("test_rows")
    yield "## Models"
    sides: dict[str, dict[str, Any]] = scores.get("saw") or {}
    known = [name for name in run.shown_arms if name in sides]
    lines = [_arm(run, name, sides[name]) for name in known]
    heads = ["Model", "Labels", "Unlabelled rows", *(titled(run.measure(key)) for key in run.main_measures)]
    yield table(heads, lines)
    students = f"Students are the mean of {seeds} seeds. " if seeds > 1 else ""
    yield f"{students}In brackets: {run.confidence} intervals, over seeds and the {count(rows)} test rows."


def _arm(run: RunFiles, name: str, side: dict[str, Any]) -> list[str]:
    """One row of the table of models."""
    model = f": {side['model']}" if side.get("model") else ""
    cells = [run.arm(name).label + model, count(side.get("labels")), count(side.get("unlabelled"))]
    for key in run.main_measures:
        measure, figure = run.measure(key), run.figure(name, key)
        cells.append(with_interval(written(measure, figure), between(measure, figure)))
    return cells


def word(run: RunFiles, entry: dict[str, Any]) -> str:
    """The verdict of a comparison in words."""
    return spelled(str(entry["verdict"]), entry.get("margin"), run.measure(str(entry.get("measure"))))


def gate(run: RunFiles, record: dict[str, Any]) -> Iterator[str]:
    """What was known of the teacher before it was used; the refusal as it was printed, where there was one."""
    found = run.run.get("teacher_gate") or {}
    against = found.get("comparison")
    if refusal := record.get("refusal"):
        yield "## The teacher was refused"
        yield f"`{refusal['command']}` ended with exit code {refusal['exit_code']} and said:"
        yield fenced(refusal["message"], "text")
        yield f"The figures of this page come from `{run.run['command']} --accept-teacher`."
    if against:
        yield "### The teacher before it was used"
        keys = [key for key, by_arm in against.items() if isinstance(by_arm, dict) and key != "difference"]
        rows = [
            [run.arm(arm).label, *(written(run.measure(key), against[key].get(arm)) for key in keys)]
            for arm in run.in_order({arm for key in keys for arm in against[key]})
        ]
        heads = [f"On the {count(against['rows'])} validation rows", *(titled(run.measure(key)) for key in keys)]
        yield table(heads, rows)


def data(example: Example, run: RunFiles, record: dict[str, Any]) -> Iterator[str]:
    """Where the rows come from, and how they were divided."""
    yield "## Data"
    versions = record.get("packages", {})
    yield packages(example.origins, versions)
    facts = run.run.get("data", {})
    learned = LEARNED[run.task.link].format(len(facts["classes"]))
    yield (
        f"{learned}{count(facts['train'])} training rows, of which "
        f"{count(facts['labelled'])} keep their label for the student; {count(facts['valid'])} validation rows, for "
        f"the check of the teacher and for choosing; {count(facts['test'])} test rows, touched once."
    )


def packages(origins: Sequence[Origin], versions: Mapping[str, str] | None = None) -> str:
    """The packages behind a page, in the versions of its run; None: those that are installed."""
    heads = ["Package", "Version", "Licence as stated", "What is taken from it"]
    found = {o.package: o.found() if versions is None else versions.get(o.package, "") for o in origins}
    return words(heads, [[o.package, found[o.package], o.licence, o.what] for o in origins])


def commands(name: str, run: RunFiles) -> Iterator[str]:
    """How the demonstration is run again, and its recipe."""
    recipe = recipe_of(name)
    yield "## How to run it"
    yield fenced(f"python -m benchmarks.examples {name}", "sh")
    yield f"That prepares the data and runs `{run.run.get('command', '')}`. The recipe, `{recipe.relative_to(ROOT)}`:"
    yield fenced(recipe.read_text(encoding="utf-8"), "toml")


def costs(run: RunFiles, record: dict[str, Any]) -> Iterator[str]:
    """Size and speed, what was asked of the teacher, how long it took, and with what."""
    yield "## Cost"
    known = [(side, run.costs[side]) for side in ("teacher", "student") if side in run.costs]
    keys = [k for k in ("parameters", "bytes", "ms_1", "ms_64") if any(k in cost for _, cost in known)]
    heads = {
        "parameters": "Parameters (of trees: nodes)",
        "bytes": "Bytes",
        "ms_1": "ms for 1 row",
        "ms_64": "ms for 64 rows",
    }
    write = {"parameters": count, "bytes": count, "ms_1": milliseconds, "ms_64": milliseconds}
    yield table(
        ["", *(heads[k] for k in keys)],
        [[side.capitalize(), *(write[k](cost.get(k) or None) for k in keys)] for side, cost in known],
    )
    if clocks := timed(run.costs):
        yield clocks
    if "teacher_calls" in run.costs:
        calls = count(run.costs["teacher_calls"])
        yield f"The teacher answered {calls} rows and views, once; the answers are kept."
    if "seconds" in record:
        minutes = decimal(record["seconds"] / 60, 1)
        yield f"The whole demonstration took {minutes} minutes on {record['cores']} cores."
    libraries = [f"{name} {found}" for name, found in run.run.get("versions", {}).items()]
    yield f"With {', '.join(libraries)}."


def _date(run: RunFiles) -> str:
    return str(run.run.get("started", ""))[:10]
