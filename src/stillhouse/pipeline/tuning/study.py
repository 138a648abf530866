"""The tournament: one teacher asked once, rivals and candidates trained on its answers, compared on validation rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from stillhouse import hashes, tasks
from stillhouse.data.targets import known
from stillhouse.errors import UsageError
from stillhouse.pipeline.distill import SAME, Distillation, inherit_pilot
from stillhouse.pipeline.run.context import Given, RunContext
from stillhouse.pipeline.run.folder import STUDY, remove
from stillhouse.pipeline.run.progress import Advance, say, stage
from stillhouse.pipeline.run.session import at_work
from stillhouse.pipeline.run.workers import run_all
from stillhouse.pipeline.student.arms import Arm, arms_of
from stillhouse.pipeline.student.reading import as_students_read
from stillhouse.pipeline.student.train import Trainer
from stillhouse.pipeline.tuning.candidate import DONE, RECIPE_FILE, Candidate, context_of, read_facts, tidy
from stillhouse.pipeline.tuning.clock import Before, Clock, Moment
from stillhouse.pipeline.tuning.leaderboard import Row, best_of, row_of, write_leaderboard
from stillhouse.pipeline.tuning.sampler import FILE, SAMPLER, Drawn, Journal, at_rungs, generation
from stillhouse.pipeline.tuning.space import space_of, starts
from stillhouse.recipe import AUTO, Recipe, read
from stillhouse.reporting.wording import several
from stillhouse.students import Member
from stillhouse.task import TEACHER

TRIALS, RIVALS = "trials", "rivals"
MOST = 10_000  # candidates, where only time is a limit


class Limits(NamedTuple):
    """How long a tournament goes on.

    Attributes:
        trials: candidates at most; None: as many as the time allows.
        until: ``time.monotonic`` at which the whole command is to end; None: no limit.
        seeds: of the winner's run at most; None: those of the recipe.
    """

    trials: int | None = None
    until: float | None = None
    seeds: int | None = None


@dataclass(frozen=True)
class Winner:
    """The candidate that won, and what its run needs."""

    recipe: Recipe  # with the settings of the winner; seeds and folder are those of the user's recipe
    given: Given
    row: Row
    study: Path


def run_study(recipe: Recipe, given: Given, limits: Limits, *, accept: bool) -> Winner:
    """Hold the tournament of a recipe in ``study`` of its run folder, or go on with it.

    Raises:
        UsageError: there is no labelled validation row, or nothing to compare.
    """
    refuse_unsupervised(recipe)
    folder, begun = recipe.output.dir / STUDY, Moment.now()
    with at_work(folder, given):
        study = Study(of_study(recipe, folder), given, limits, recipe)
        study.clock.set_up(begun, Moment.now())
        study.prepare(accept=accept)
        study.play()
        return study.finish(recipe, given)


def of_study(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe of the tournament: one seed that the final run does not use, and the arms that it compares."""
    controls = {"all_labels": False, "same_teacher": False, "from_scratch": False, "label_smoothing": 0.0}
    update: dict[str, Any] = {
        "output": recipe.output.model_copy(update={"dir": folder}),
        "controls": recipe.controls.model_copy(update=controls),
        "training": recipe.training.model_copy(update={"seeds": [max(recipe.training.seeds) + 1]}),
    }
    if recipe.student.name == AUTO:
        update["student"] = recipe.student.model_copy(update={"name": None})
    return recipe.model_copy(update=update)


def refuse_trained_makers(context: RunContext) -> None:
    """Refuse a maker that is trained against the teacher: a tournament asks it once.

    Raises:
        UsageError: names the maker and what to do.
    """
    trained = [part.name for part in context.made if not part.free]
    if trained:
        raise UsageError(
            f"[[made]] {trained[0]!r} is trained against the teacher, and a tournament asks it once. Take a maker that "
            "needs no training (`stillhouse makers` lists all), or run `stillhouse distill`."
        )


class Study:
    """A tournament in its folder.

    Args:
        recipe: of the tournament.
        given: what came from Python.
        limits: when it ends.
        whole: the user's recipe, whose arms the winner's run has.
    """

    def __init__(self, recipe: Recipe, given: Given, limits: Limits, whole: Recipe) -> None:
        self.run = Distillation(recipe, given)
        self.context, self.folder, self.limits = self.run.context, recipe.output.dir, limits
        refuse_without_labels(self.context)
        refuse_trained_makers(self.context)
        inherit_pilot(self.run, self.folder.parent)
        self.seed = self.run.trainer.seeds[0]
        self.journal = journal_of(self.folder, self.context)
        arms = {arm.name: arm for arm in arms_of(self.context, [TEACHER])}
        self.shipped = arms[self.context.task.shipped]
        self.rivals = [arm for name, arm in arms.items() if arm.control.simple or name in self.context.task.rivals]
        names = [TEACHER, SAME] if whole.controls.same_teacher else [TEACHER]
        full = arms_of(replace(self.context, recipe=self.context.task.settle(whole)), names)
        trained = [arm for arm in full if arm.control.trained and not arm.control.simple]
        alone = any(arm.control.self_training for arm in trained)
        self.clock = Clock(limits.until, len(trained), self.run.trainer.at_once, self_trained=alone)
        # What is fitted at once is not kept: the run fits it again, and a teacher with the same labels besides.
        main = self.run.teachers[TEACHER]
        self.trained_again = int(any(one.fitted_here for one in main.members or [main])) + (len(names) - 1)

    def prepare(self, *, accept: bool) -> None:
        """Train the rivals and the teacher, and ask it: once, for all candidates."""
        run = self.run
        run.plan_fits()
        self.measure_rivals([arm for arm in self.rivals if arm.control.teacher is None])
        run.admit(accept=accept)
        self.last, self.stores = run.taught([TEACHER])
        self.measure_rivals([arm for arm in self.rivals if arm.control.teacher is not None])
        self.clock.begin(self.before())

    def before(self) -> Before:
        """What the winner's run will do again, as long as it took here."""
        facts = {arm.name: read_facts(self.folder / RIVALS / arm.name) or {} for arm in self.rivals}
        seconds = {name: found.get("seconds", 0.0) for name, found in facts.items()}
        spent = self.context.run.record["seconds"]
        again = sum(seconds[arm.name] for arm in self.rivals if arm.control.simple)
        again += spent.get("train teachers", 0.0) * self.trained_again + spent.get("teacher gate", 0.0)
        alone = [seconds[a.name] for a in self.rivals if a.control.self_training]
        labels = seconds.get(self.context.task.baseline or "", 0.0)
        rounds = max(1.0, alone[0] / labels) if alone and labels else 1.0
        return Before(again, rounds)

    def measure_rivals(self, arms: Sequence[Arm]) -> None:
        """Train and measure arms that are no candidates."""
        found = [
            Candidate(self.context, arm, self.seed, arm.control.label, self.folder / RIVALS / arm.name, {})
            for arm in arms
        ]
        if any(arm.control.simple for arm in arms):
            _ = self.run.trainer.whole  # made here once, not by each worker
        self.measure([one for one in found if read_facts(one.folder) is None], several(len(arms), "rival"))

    def measure(self, candidates: Sequence[Candidate], title: str) -> None:
        """Train and measure candidates side by side."""
        if not candidates:
            return

        def work(one: Candidate, advance: Advance) -> None:
            rival = one.context is self.context
            trainer = self.run.trainer if rival else self.trainer_of(one.context)
            name = one.arm.control.teacher
            store, teacher = (self.stores[name], self.last[name]) if name else (None, None)
            one.measure(trainer, store, teacher, self.run.teachers, lambda steps: None)
            advance(1)

        with self.context.run.timed("train students"), stage(title, len(candidates), "students") as advance:
            run_all(candidates, work, self.run.trainer.workers, advance)

    def trainer_of(self, context: RunContext) -> Trainer:
        """The trainer of one candidate."""
        training = context.recipe.training.model_copy(update={"workers": 1})  # it is in a worker already
        alone = replace(context, recipe=context.recipe.model_copy(update={"training": training}))
        trainer = Trainer(as_students_read(alone))
        trainer.temperatures = self.run.trainer.temperatures
        return trainer

    def play(self) -> None:
        """Draw and try candidates, a generation at a time, until the limits are met."""
        space = space_of(self.context)
        first = starts(space, self.rival_model())
        last = self.limits.trials or MOST
        while len(self.journal.trials) < last and not self.clock.over(self.best):
            earlier, until = self.journal.trials, self.clock.search_until(self.best)
            drawn = generation(space, first, earlier, last, self.seed)
            candidates = [self.candidate(one, at_rungs(earlier), until) for one in drawn]
            title = f"candidates {drawn[0].number} to {drawn[-1].number}"
            self.measure([one for one in candidates if read_facts(one.folder) is None], title)
            if not self.keep(drawn):
                return

    def candidate(self, drawn: Drawn, rungs: dict[int, list[float]], until: float | None) -> Candidate:
        """What is trained of a point that was drawn."""
        folder = self.folder / TRIALS / str(drawn.number)
        context = context_of(self.context, drawn.choice, folder)
        return Candidate(context, self.shipped, self.seed, drawn.choice.words, folder, rungs, until, drawn.choice)

    def keep(self, drawn: Sequence[Drawn]) -> bool:
        """Add what became of a generation to the study, in the order of numbers; whether all of it has ended."""
        for one in drawn:
            folder = self.folder / TRIALS / str(one.number)
            facts = read_facts(folder)
            if facts is None:
                return False
            self.journal.add(one, facts)
            tidy(folder)
        return True

    def rival_model(self) -> Member | None:
        """The simple model that was chosen for the teacher's answers; None: there is none."""
        taught = [arm for arm in self.rivals if arm.control.simple and arm.control.teacher is not None]
        for arm in taught:
            if (read_facts(self.folder / RIVALS / arm.name) or {}).get("state") == DONE:
                net = self.run.trainer.simple_card(arm)["net"]
                return Member(net["name"], net["settings"])
        return None

    @property
    def rows(self) -> list[Row]:
        """The leaderboard: rivals, and candidates by number."""
        found = [row_of(arm.name, read_facts(self.folder / RIVALS / arm.name)) for arm in self.rivals]
        numbers = sorted(int(path.name) for path in (self.folder / TRIALS).glob("[0-9]*"))
        found += [row_of(number, read_facts(self.folder / TRIALS / str(number))) for number in numbers]
        return [row for row in found if row is not None]

    @property
    def best(self) -> Row | None:
        """The candidate that would win now."""
        return best_of(self.rows, self.context.recipe.student.budget)

    def finish(self, recipe: Recipe, given: Given) -> Winner:
        """Choose the winner, and write the leaderboard.

        Raises:
            UsageError: no candidate has ended, or none is within the budget.
        """
        fast = [row for row in self.rows if row.number is None or self.clock.allows(row)]
        budget = self.context.recipe.student.budget
        row = best_of(fast, budget) or best_of(self.rows, budget)
        if row is not None and row not in fast:
            say("The run of the winner will take longer than the time that is left: no candidate is fast enough.")
        if row is None:
            raise UsageError(nothing_won(self.rows, self.folder, self.clock.enough()))
        write_leaderboard(self.folder, self.context, self.rows, row, SAMPLER)
        file = self.folder / TRIALS / str(row.number) / RECIPE_FILE
        hashes.check(file)
        chosen = read(file)
        update = {name: getattr(recipe, name) for name in ("output", "controls", "store", "evaluation")}
        seeds = self.clock.seeds(row, recipe.training.seeds[: self.limits.seeds])
        self.clock.tell(row, len(seeds))
        update["training"] = chosen.training.model_copy(update={"seeds": seeds, "workers": recipe.training.workers})
        facts = read_facts(self.folder / TRIALS / str(row.number)) or {}
        own = given._replace(
            student=given.student if facts["own_student"] else None,
            methods=given.methods if facts["own_methods"] else None,
        )
        return Winner(chosen.model_copy(update=update), own, row, self.folder)


def nothing_won(rows: Sequence[Row], folder: Path, seconds: int) -> str:
    """Why there is no winner, and what to do."""
    failed = next((row.why for row in rows if row.why), None)
    if any(row.number is not None and row.state == DONE for row in rows):
        return (
            "No candidate is within [student.budget]. Raise the limit, with another [output] dir or `--overwrite`; or "
            "try more candidates: the same command goes on."
        )
    return (
        f"No candidate of the tournament in {folder} has ended"
        + (f"; one failed with {failed}" if failed else "")
        + f". Give it more time, here `--time {seconds}`, or fewer `[training] steps`: the same command goes on with "
        "what is done."
    )


def journal_of(folder: Path, context: RunContext) -> Journal:
    """The journal of a study; one of another run, which was overwritten, is removed with its candidates."""
    identity = xxhash.xxh3_64_hexdigest(repr((context.run.record["digest"], context.run.record["parts"])).encode())
    journal = Journal(folder, identity)
    if journal.continues:
        return journal
    hashes.remove(folder / FILE)
    for name in (TRIALS, RIVALS):
        remove(folder / name)
    return Journal(folder, identity)


def refuse_unsupervised(recipe: Recipe) -> None:
    """Refuse a task that has no labels, or too many outputs a row to keep those of each candidate.

    Raises:
        UsageError: says what to run in its place.
    """
    task = tasks.get(recipe.task.name)
    if task.streamed:
        raise UsageError(
            f"Neither a tournament nor a pilot keeps the answers of its students to windows of text (task "
            f"{task.name!r}). Run recipes by `stillhouse distill` with other flags, such as `--training.lr 0.002 "
            "--output.dir runs/b`; `stillhouse compare` shows the runs side by side."
        )
    if not task.supervised:
        raise UsageError(
            f"A tournament compares students by labelled validation rows, and a run of the task {task.name!r} has "
            "none: all its rows train or are held out for the judgement. Run its recipe by `stillhouse distill`; "
            "`stillhouse compare` shows several such runs side by side."
        )


def refuse_without_labels(context: RunContext) -> None:
    """Refuse a run whose candidates nothing can compare.

    Raises:
        UsageError: no validation row has a label.
    """
    targets = context.data.source.targets[context.data.split.valid]
    if not known(targets).any():
        raise UsageError(
            "A tournament compares students on labelled validation rows, and this run has none. Set `[data] valid = "
            "0.1`."
        )
