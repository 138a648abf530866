"""What a costly teacher's answers gain, by their number and by the choice of texts; writes docs/examples/asking.md.

python -m benchmarks.examples.asking            runs what is not run yet, then writes the page
python -m benchmarks.examples.asking --pages    only writes the page, from the run folders
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from benchmarks.examples.cases import newsgroups
from benchmarks.examples.example import PAGES, ROOT
from benchmarks.examples.markdown import fenced, table, with_interval
from benchmarks.examples.page import packages
from benchmarks.examples.picture import shoot
from benchmarks.examples.running import RECORD, note, prepare, recipe_of, run_folder

import stillhouse
from stillhouse import tasks
from stillhouse.command import reproduced_by
from stillhouse.pipeline.curve import FILE
from stillhouse.recipe import read
from stillhouse.reporting.figures import between, difference, interval, spelled, written
from stillhouse.reporting.folder import read_json
from stillhouse.reporting.wording import ABSENT, count, decimal

NAME = "asking"
ACCURACY = tasks.get("classification").measure("accuracy")
WAYS = {
    "random": "drawn by lot",
    "uncertainty": "those that a logistic regression on the labels is least sure of",
    "coreset": "those that lie farthest from all that were chosen before",
}
CALLS = (300, 600, 1000, 1600, 2300)  # the first: the labelled texts alone; the last: every text
ABOUT = """
The rows, labels, teacher and student of [20 Newsgroups](newsgroups.md): 300 labels, 2,000 unlabelled texts, a student
that looks words up and averages. Here the teacher is thought of as dear: it answers for the 300 labelled texts and for
some of the others. How many are worth it, and does it matter which?
"""
LIMITS = """
- One draw of labels and texts, and one draw by lot. The intervals are over seeds of the student and test rows, and each
  is wider than most of the differences between the ways: what is shown is that none of them wins by much here.
- Nothing was chosen by these figures. Whoever picks a number of calls from such a curve should draw it on validation
  rows.
- The pool is of the same groups as the test. A way that looks for what is far away may do harm where the pool holds
  texts of other kinds.
"""


class Way(NamedTuple):
    """One finished curve."""

    name: str
    points: list[dict[str, Any]]


def main() -> None:
    """Run the curves and write the page."""
    if "--pages" not in sys.argv:
        prepare(newsgroups.EXAMPLE)
        begun = time.monotonic()
        for way in WAYS:
            run(way)
        if "seconds" not in read_json(run_folder(NAME) / RECORD):
            note(run_folder(NAME), seconds=round(time.monotonic() - begun, 1))
    folder = run_folder(NAME)
    ways = [Way(name, read_json(folder / name / FILE)["calls"]) for name in WAYS]
    shoot(folder / "random" / "curve.html", PAGES / f"{NAME}.png")
    (PAGES / f"{NAME}.md").write_text("\n\n".join(page(ways)) + "\n", encoding="utf-8")


def run(way: str) -> None:
    """The curve of one way; points that an earlier call has finished are not run again."""
    made = read(recipe_of(NAME))
    place = {
        "teacher": made.teacher.model_copy(update={"ask": way}),
        "output": made.output.model_copy(update={"dir": run_folder(NAME) / way}),
        "store": made.store.model_copy(update={"dir": ROOT / str(made.store.dir)}),
    }
    with reproduced_by(command(way)):
        stillhouse.curve(made.model_copy(update=place), calls=CALLS)


def command(way: str) -> str:
    """The same curve by the command line."""
    numbers = ",".join(map(str, CALLS))
    recipe = recipe_of(NAME).relative_to(ROOT)
    return f"stillhouse curve {recipe} --calls {numbers} --teacher.ask {way} --output.dir runs/examples/{NAME}/{way}"


def page(ways: list[Way]) -> Iterator[str]:
    """The page, a paragraph at a time."""
    record = read_json(run_folder(NAME) / RECORD)
    yield "# 20 Newsgroups: how many answers of a costly teacher, and to which texts"
    yield f"*Written by `python -m benchmarks.examples.{NAME}`; every figure is read from the folders of its runs.*"
    yield ABOUT.strip()
    yield "\n".join(f"- `{name}`: {what}" for name, what in WAYS.items())
    yield f"![The page of the curve of texts drawn by lot]({NAME}.png)"
    yield "## Accuracy of the distilled student"
    heads = ["Answers", *(f"`{way.name}`" for way in ways)]
    columns = [{point["calls"]: point for point in way.points} for way in ways]
    yield table(heads, [[count(n), *(accuracy(c[n], "distilled") for c in columns)] for n in CALLS])
    first = ways[0].points[0]
    yield (
        f"The same student on the 300 labels alone: {accuracy(first, 'labels_only')}. The teacher: "
        f"{accuracy(first, 'teacher')}. In brackets: 95 % intervals, over 5 seeds and the 1,000 test rows."
    )
    yield "## Gain over the labels alone, in points"
    yield table(heads, [[count(n), *(gain(c[n]) for c in columns)] for n in CALLS])
    yield "## What this does not show"
    yield LIMITS.strip()
    yield "## Data"
    yield packages(newsgroups.EXAMPLE.origins)
    yield "## How to run it"
    yield fenced(f"python -m benchmarks.examples.{NAME}", "sh")
    yield f"That is, for each way, `{command('random')}`. The recipe, `docs/examples/{NAME}.toml`:"
    yield fenced(recipe_of(NAME).read_text(encoding="utf-8"), "toml")
    if "seconds" in record:
        yield f"All {len(WAYS) * len(CALLS)} points took {decimal(record['seconds'] / 60, 1)} minutes on 2 cores."


def accuracy(point: dict[str, Any], side: str) -> str:
    """With its interval."""
    found = interval(point["models"].get(side))
    return with_interval(written(ACCURACY, found), between(ACCURACY, found)) if found else ABSENT


def gain(point: dict[str, Any]) -> str:
    """With its interval and word."""
    found = interval(point["gain"])
    told = with_interval(*difference(ACCURACY, found)) if found else ABSENT
    return f"{told} {spelled(point['verdict'], None)}"


if __name__ == "__main__":
    main()
