"""One candidate of a tournament: trained, measured on validation rows, timed; its facts lie in a file of its folder."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse import hashes, students
from stillhouse.data.targets import known
from stillhouse.engine import LOG
from stillhouse.errors import RejectedError, StillhouseError
from stillhouse.evaluation.cost import measure_cost
from stillhouse.files import write_atomic, write_json, write_npz
from stillhouse.pipeline.evaluation.predict import size_of_net
from stillhouse.pipeline.run.context import NOTHING, RunContext
from stillhouse.pipeline.run.folder import RunFolder, read_json, remove
from stillhouse.pipeline.run.progress import Advance
from stillhouse.pipeline.setup.set_up import PROBE, method_maker, student_factory
from stillhouse.pipeline.student.arms import Arm, Job
from stillhouse.pipeline.student.factory import fitted_name
from stillhouse.pipeline.student.figures import signed, statistics_of
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.pipeline.student.reading import rows_of_students, student_encoder
from stillhouse.pipeline.student.stages import Asked
from stillhouse.pipeline.student.train import Trainer
from stillhouse.pipeline.tuning.space import Choice
from stillhouse.store import Store

FACTS, COMPONENTS, RECIPE_FILE = "facts.json", "valid.npz", "recipe.toml"
RUNGS = (0.25, 0.5)  # parts of its steps after which a candidate that is not in the better half is stopped
COST_SECONDS = 0.4  # of timing one candidate
TIMED = 64  # rows
DONE, STOPPED, FAILED = "done", "stopped early", "failed"


class OutOfTimeError(StillhouseError):
    """The time of a tournament is over; what the candidate has done is not counted."""


class Halted(Exception):  # noqa: N818  # no error: a candidate ends early
    """A candidate was not in the better half."""


@dataclass(frozen=True)
class Candidate:
    """What is trained and measured.

    Attributes:
        context: of its run; ``context.run`` is the folder of its fit.
        arm: which rows, labels and answers it sees.
        seed: of its fit.
        words: how it differs from the recipe.
        folder: of its facts.
        earlier: by rung, what candidates before it had there.
        until: ``time.monotonic`` at which it is given up; None: never.
    """

    context: RunContext
    arm: Arm
    seed: int
    words: str
    folder: Path
    earlier: Mapping[int, list[float]]
    until: float | None = None
    choice: Choice | None = None  # of the space; None: a rival

    def measure(
        self, trainer: Trainer, store: Store | None, teacher: Asked | None, teachers: Any, advance: Advance
    ) -> None:
        """Train it, and write its facts."""
        if self.until is not None and time.monotonic() > self.until:
            return
        watch = Rungs(self)
        trainer.on_log = watch
        facts: dict[str, Any] = {"words": self.words}
        hashes.begin(self.folder)
        if self.choice is not None:
            facts |= {"own_student": self.choice.own_student, "own_methods": self.choice.own_methods}
            write_atomic(self.folder / RECIPE_FILE, self.choice.recipe.absolute().toml().encode())
        begun = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # advice on a setting that nobody chose
                trainer.fit(Job(self.arm, self.seed), store, teacher, advance)
            seconds = time.perf_counter() - begun
            facts |= {"state": DONE, "seconds": seconds} | self.judged(trainer, teachers)
        except Halted:
            facts |= {"state": STOPPED, "seconds": time.perf_counter() - begun}
        except OutOfTimeError:
            return
        except Exception as error:  # one that fails must not end the tournament
            facts |= {"state": FAILED, "why": f"{type(error).__name__}: {error}"}
        write_json(self.folder / FACTS, facts | {"rungs": {str(rung): value for rung, value in watch.passed.items()}})

    def judged(self, trainer: Trainer, teachers: Any) -> dict[str, Any]:
        """Figures on validation rows, size and speed of the trained student."""
        context = trainer.context_of(self.arm)
        net = trainer.trained(self.arm, self.seed, trainer.parts(self.arm, teachers))
        targets = context.data.source.targets[context.data.split.valid]
        rows = np.flatnonzero(known(targets))
        outputs = net_outputs(net, context.data.valid.inputs, context.task)[rows]
        found = statistics_of(context, outputs, targets[rows])
        asked = context.recipe.evaluation.measure
        if asked and asked not in found:  # another measure must not stand for it in the leaderboard
            raise RejectedError(f"its {asked} on the {len(rows)} validation rows is no number")
        first = next(iter(found))
        write_npz(self.folder / COMPONENTS, {"components": signed(context, first, found[first].components)})
        costs = measure_cost(net, context.data.valid.inputs[:TIMED], budget_seconds=COST_SECONDS)
        model = {}
        if self.arm.control.simple:
            card = trainer.simple_card(self.arm)["net"]
            model = {"setting": students.in_words(card["name"], card["settings"], context.task.link)}
        figures = {name: signed(context, name, float(one.components.mean())) for name, one in found.items()}
        return {
            "figures": figures,
            **{name: costs[name] for name in ("bytes", "ms_1", "ms_64")},
            **size_of_net(net),
            **model,
        }


class Rungs:
    """Looks at the validation figure as a fit goes on, and ends the fit that is not in the better half.

    Successive halving (Jamieson and Talwalkar, AISTATS 2016): after each rung the better half goes on, here of all
    candidates that came so far before this one.
    """

    def __init__(self, candidate: Candidate) -> None:
        self.candidate, self.passed = candidate, dict[int, float]()
        self.task = candidate.context.task

    def __call__(self, line: dict[str, Any]) -> None:
        """Take a line of metrics; raises ``Halted`` or ``OutOfTimeError``."""
        until = self.candidate.until
        if until is not None and time.monotonic() > until:
            raise OutOfTimeError("the time is over")
        if self.candidate.arm.control.teacher is None:
            return
        due = [rung for rung, part in enumerate(RUNGS) if line["step"] >= part * self.steps]
        for rung in due:
            if rung not in self.passed:
                self.passed[rung] = self.figure(line)
                if not goes_on(self.passed[rung], self.candidate.earlier.get(rung, [])):
                    raise Halted

    @property
    def steps(self) -> int:
        """Of the whole fit."""
        return self.candidate.context.recipe.training.steps or 0

    def figure(self, line: Mapping[str, Any]) -> float:
        """The measure of the headline in a line of metrics, else what training watches; more is better."""
        name = self.candidate.context.recipe.evaluation.measure or self.task.headline
        if f"valid_{name}" in line:
            return float(signed(self.candidate.context, name, line[f"valid_{name}"]))
        return -float(line[f"valid_{self.task.monitor}"])


def goes_on(value: float, earlier: list[float]) -> bool:
    """Whether a figure is in the better half of all that came so far, itself included.

    >>> goes_on(0.7, []), goes_on(0.7, [0.8]), goes_on(0.7, [0.8, 0.6]), goes_on(0.7, [0.8, 0.9])
    (True, False, True, False)
    """
    ranked = sorted([*earlier, value], reverse=True)
    return value >= ranked[(len(ranked) + 1) // 2 - 1]


class FitFolder(RunFolder):
    """The folder of a candidate's fit: what a trainer needs of a run folder."""

    def __init__(self, run: RunFolder, folder: Path, digest: str) -> None:
        self.folder, self.record = folder, {**run.record, "digest": digest}

    def fit_folder(self, arm: str, seed: int) -> Path:
        """The candidate's own."""
        return self.folder


def context_of(context: RunContext, choice: Choice, folder: Path) -> RunContext:
    """The run of a candidate: rows, teacher and answers are those of the study; student, methods and budget its own."""
    recipe = choice.recipe
    made: dict[str, Any] = {"recipe": recipe, "run": FitFolder(context.run, folder, recipe.digest())}
    if choice.views != context.views.count:
        made["views"] = replace(context.views, count=choice.views)
    if not choice.own_methods:
        made["make_methods"] = method_maker(recipe.method, context.task)
    if not choice.own_student:
        read = student_encoder(recipe.student, None, context.data, context.views)
        rows = rows_of_students(context.data, read, PROBE)
        students = student_factory(recipe, NOTHING, context.spec, context.task.link, context.data, rows)
        made |= {"students": students, "student_text": read}
        made |= {"fitted": fitted_name(recipe, students.card, context.task)}
    return replace(context, **made)


def read_facts(folder: Path) -> dict[str, Any] | None:
    """What a finished candidate left; None where it has not finished."""
    file = folder / FACTS
    if not file.exists():
        return None
    return read_json(file)


def tidy(folder: Path) -> None:
    """Remove what only an unfinished fit needs: weights and checkpoints; facts, figures of the rows and log stay."""
    for path in folder.glob("*"):
        if path.name not in (FACTS, COMPONENTS, RECIPE_FILE, LOG, hashes.NAME):
            remove(path)
            hashes.remove(path)
