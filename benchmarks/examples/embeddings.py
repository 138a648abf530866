"""Embeddings: one teacher, a student that looks words up and one of two layers; writes docs/examples/embeddings.md.

python -m benchmarks.examples.embeddings            runs what is not run yet, then writes the page
python -m benchmarks.examples.embeddings --pages    only writes the page, from the run folders
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.examples.example import DATA, PAGES, ROOT
from benchmarks.examples.markdown import bullets, fenced, table, with_interval
from benchmarks.examples.page import packages, word
from benchmarks.examples.picture import shoot
from benchmarks.examples.running import note, recipe_of, run_folder
from benchmarks.examples.texts import TEST, TRAIN, origins, prepare

import stillhouse
from stillhouse import tasks
from stillhouse.command import reproduced_by
from stillhouse.recipe import read
from stillhouse.reporting.figures import between, spelled, titled, written
from stillhouse.reporting.folder import RunFiles, read_json
from stillhouse.reporting.wording import count, decimal, milliseconds, timed

NAME = "embeddings"
SCORES = "scores.json"
STUDENTS = {"embeddings": "a table of word vectors and one matrix", "embeddings_layers": "two of the teacher's layers"}
ABOUT = """
all-MiniLM-L6-v2 turns a text into 384 numbers (Reimers and Gurevych; 22.6 million parameters, six layers). Two students
learn to give the same vectors for 20 Newsgroups texts, by the cosine, without any label: one averages a vector for each
token and multiplies by one matrix; the other keeps two of the teacher's own layers with their weights. Beside each the
same student, from the same start and on the same budget, is trained without the teacher by contrast (SimCSE, Gao, Yao,
Chen 2021), and the student as it began is judged too. So are two models without any net, both of whole texts: TF-IDF
with a decomposition (SVD), which needs no teacher, and TF-IDF with a ridge regression to the teacher's vectors.
"""
LIMITS = """
- The training texts are of the same newsgroups as the held-out ones. An embedder for other texts must be distilled on
  such texts.
- The control by contrast has the learning rate of the distilled student, which was searched for on neither side. For
  the word table a tenth of it and three times as much were tried too, on the training texts: neither brings the control
  near the distilled student.
- The two students had different budgets, as each section says, the one of two layers a short one: they are compared
  with their own controls, not with each other.
- The runs shared their machine with other work. Teacher and student took turns when they were timed, so that the ratio
  of their speeds holds better than the speeds do.
- SimCSE was made for large corpora and large batches; this control says what the student's owner gets from these same
  texts in the same number of steps, not what contrast can do.
- Speed is measured from token ids to vectors; cutting a text into tokens comes on top and is the same for all.
"""


class Done(NamedTuple):
    """One finished run."""

    name: str
    folder: Path
    scores: dict[str, Any]
    record: dict[str, Any]


def main() -> None:
    """Run both recipes and write the page."""
    if "--pages" not in sys.argv:
        data = ROOT / DATA
        data.mkdir(parents=True, exist_ok=True)
        if not (data / "20newsgroups.csv").exists():
            prepare("20newsgroups", data, TRAIN, TEST)
        for name in STUDENTS:
            run(name)
    done = [Done(n, run_folder(n), *(read_json(run_folder(n) / f) for f in (SCORES, "run.json"))) for n in STUDENTS]
    shoot(done[0].folder / "report.html", PAGES / f"{NAME}.png")
    (PAGES / f"{NAME}.md").write_text("\n\n".join(page(done)) + "\n", encoding="utf-8")


def run(name: str) -> None:
    """One recipe; what an earlier call has finished is not done again."""
    recipe, begun = recipe_of(name), time.monotonic()
    finished = (run_folder(name) / SCORES).exists()
    made = read(recipe)
    output = made.output.model_copy(update={"dir": run_folder(name)})
    place = {"output": output, "store": made.store.model_copy(update={"dir": ROOT / str(made.store.dir)})}
    with reproduced_by(f"stillhouse distill {recipe.relative_to(ROOT)}"):
        stillhouse.distill(made.model_copy(update=place))
    if not finished:
        note(run_folder(name), seconds=round(time.monotonic() - begun, 1), cores=os.cpu_count())


def page(done: list[Done]) -> Iterator[str]:
    """The page, a paragraph at a time."""
    yield "# Embeddings: a sentence model into a word table, and into two of its layers"
    yield (
        f"*Written by `python -m benchmarks.examples.{NAME}` from the runs of "
        f"{str(done[0].record.get('started', ''))[:10]}; every number below is read from their run folders.*"
    )
    yield ABOUT.strip()
    yield f"![The top of the report of the word table]({NAME}.png)"
    for one in done:
        yield from student(one)
    yield "## What this does not show"
    yield LIMITS.strip()
    yield "## Data"
    yield packages(origins("20newsgroups"))
    facts, scores = done[0].record["data"], done[0].scores
    yield (
        f"{count(facts['train'])} training texts, {count(facts['test'])} held-out ones of the official test part, cut "
        f"at {facts['tokens']['teacher']} tokens for the teacher and at {facts['tokens']['students']} for the word "
        "table. Every held-out text is a query among the other held-out ones; the rank "
        f"correlation is over {count(scores['pairs'])} pairs of them. The categories are the {len(facts['classes'])} "
        "newsgroups."
    )
    yield "## How to run it"
    yield fenced(f"python -m benchmarks.examples.{NAME}", "sh")
    for one in done:
        yield f"`{one.record.get('command', '')}`, the recipe `docs/examples/{one.name}.toml`:"
        yield fenced(recipe_of(one.name).read_text(encoding="utf-8"), "toml")
    libraries = [f"{name} {found}" for name, found in done[0].scores["versions"].items()]
    yield f"With {', '.join(libraries)}."


def student(one: Done) -> Iterator[str]:
    """Verdict, models and cost of one student."""
    scores, run = one.scores, RunFiles(tasks.get("embedding"), one.folder, one.scores)
    yield f"## Into {STUDENTS[one.name]}: {spelled(scores['verdict'], scores['margin'], run.measure(run.headline))}"
    yield f"> {scores['sentence']}"
    rest = scores["comparisons"][1:]
    yield bullets(f"**{word(run, entry)}**: {entry['sentence']}" for entry in rest)
    if scores["warnings"]:
        yield bullets(scores["warnings"])
    heads = [titled(run.measure(key)) for key in run.main_measures]
    yield table(["Model", *heads], [[run.arm(n).label, *figures(run, n)] for n in run.shown_arms])
    yield (
        f"Students are the mean of {len(scores['seeds'])} seeds. In brackets: {run.confidence} intervals, over "
        "seeds and held-out texts."
    )
    yield from costs(one)


def figures(run: RunFiles, arm: str) -> Iterator[str]:
    """The figures of one model, a cell each."""
    for name in run.main_measures:
        measure, found = run.measure(name), run.figure(arm, name)
        yield with_interval(written(measure, found), between(measure, found))


def costs(one: Done) -> Iterator[str]:
    """Size and speed of both nets, and how long it took."""
    found = one.scores["costs"]
    heads = ["On one thread", "Parameters", "Bytes", "ms for 1 text", "ms for 64 texts", "Texts a second"]
    rows = [
        [side.capitalize(), count(c["parameters"]), count(c["bytes"]), milliseconds(c["ms_1"]),
         milliseconds(c["ms_64"]), count(c["rows_per_second"])]
        for side, c in ((s, found[s]) for s in ("teacher", "student"))
    ]  # fmt: skip
    yield table(heads, rows)
    if clocks := timed(found):
        yield clocks
    spent = one.record["seconds"]
    stages = ", ".join(f"{stage} {decimal(seconds / 60, 1)}" for stage, seconds in spent.items())
    yield (
        f"Minutes on {os.cpu_count()} cores: {stages}. The teacher's answers lie in a store that both runs share: only "
        "the first to come asks."
    )
    budget = one.scores["budget"]
    texts = budget["steps"] * budget["batch_size"]
    yield (
        f"Every student was trained for {count(budget['steps'])} steps of {budget['batch_size']} texts, "
        f"{decimal(texts / one.record['data']['train'], 1)} times the training texts."
    )


if __name__ == "__main__":
    main()
