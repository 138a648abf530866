"""The one sequence of a run; every verb runs it up to its own point.

set up -> train teachers and the first baseline -> examine the teacher -> ask it -> train students -> predict ->
score -> explain -> report
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.command import current
from stillhouse.data.columns import columns_line
from stillhouse.engine import device_of
from stillhouse.errors import UsageError
from stillhouse.evaluation import Predictions
from stillhouse.files import write_npz
from stillhouse.pipeline.evaluation.explain import Probe, explain
from stillhouse.pipeline.evaluation.groups import write_groups
from stillhouse.pipeline.evaluation.labels import TEST
from stillhouse.pipeline.evaluation.predict import Judge, ship
from stillhouse.pipeline.evaluation.score import judge, write_report
from stillhouse.pipeline.first_answers import ANSWERS, hold
from stillhouse.pipeline.made.facts import MadeFacts, are_told
from stillhouse.pipeline.made.training import MakerTraining, refuse_no_gradient
from stillhouse.pipeline.run.context import NOTHING, Given, RunContext
from stillhouse.pipeline.run.folder import PILOT, RunFolder, inherit
from stillhouse.pipeline.run.labels import only, visible_labels
from stillhouse.pipeline.run.overwrite import pilot_of
from stillhouse.pipeline.run.progress import Advance, say, stage
from stillhouse.pipeline.run.session import at_work
from stillhouse.pipeline.run.torchrun import check_processes, leading
from stillhouse.pipeline.run.whole import check_files
from stillhouse.pipeline.run.workers import run_all
from stillhouse.pipeline.setup.set_up import set_up
from stillhouse.pipeline.student.arms import Arm, Job, arms_of, missing_arms
from stillhouse.pipeline.student.logs import join_logs
from stillhouse.pipeline.student.more_steps import give_time
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.pipeline.student.reading import as_students_read
from stillhouse.pipeline.student.stages import Asked
from stillhouse.pipeline.student.train import Trainer
from stillhouse.pipeline.teacher.answers import asked_about
from stillhouse.pipeline.teacher.assistants import ask_assistants, logs_of, make_assistants
from stillhouse.pipeline.teacher.calibration import temperature_of
from stillhouse.pipeline.teacher.gate import NOTE, admit_teacher
from stillhouse.pipeline.teacher.labeling import RunTeacher, ask_teachers
from stillhouse.pipeline.teacher.served import JOURNAL
from stillhouse.pipeline.variants import ask, variants_of
from stillhouse.recipe import Recipe
from stillhouse.store import Store, unanswered
from stillhouse.taps import try_taps
from stillhouse.task import ALL_ROWS, TEACHER
from stillhouse.tasks.predictor import Deployed
from stillhouse.types import evaluating, in_eval

SHARED = (TEACHER, "store", JOURNAL)  # in a run folder: what runs of one teacher have in common
ANSWERED = "answered"  # the key in run.json of the teachers that have answered every row
SAME = "teacher_same"  # the arm of a teacher that is trained on the student's own labels
Work = Callable[[Advance], None]


class Distillation:
    """A run, from its recipe to its report; each stage does only what no earlier, interrupted call has done.

    Args:
        recipe: of the run.
        given: what came from Python.
        command: what reproduces the run; None: what the user typed.
        folder, parts: see ``set_up``.
        choose: changes the arms of the run.
    """

    def __init__(
        self,
        recipe: Recipe,
        given: Given = NOTHING,
        *,
        command: str | None = None,
        folder: Path | None = None,
        parts: dict[str, str] | None = None,
        choose: Callable[[RunContext, list[Arm]], list[Arm]] | None = None,
    ) -> None:
        typed = command or current()
        self.context = self.first_context = set_up(recipe, given, command=typed, folder=folder, parts=parts)
        self.trainer = Trainer(as_students_read(self.context))
        self.choose, self.given = choose, given

    @cached_property
    def teachers(self) -> dict[str, RunTeacher]:
        """The teachers by arm, not trained yet."""
        context = self.context
        recipe, main = context.recipe, RunTeacher(context, TEACHER, visible_labels(context.learning))
        context.students.origin = main.origin
        if recipe.controls.same_teacher and main.handed_over and recipe.teacher.name is None:
            raise UsageError("[controls] same_teacher trains a second teacher here and needs its `[teacher] name`.")
        found = {TEACHER: main}
        if recipe.controls.same_teacher and (main.handed_over or recipe.teacher.labels != "same"):
            found[SAME] = RunTeacher(
                context, SAME, only(context.learning.data.train.targets, context.learning.labelled)
            )
        check_layers(found.values(), context.data.train.inputs[:2])
        if context.students.derived is not None and context.student_text is not None:
            longest = context.student_text.example(1, torch.Generator().manual_seed(0))
            with torch.no_grad():  # it may have fewer positions than the students are to read
                in_eval(context.students.make())(longest)
        return found

    @cached_property
    def chains(self) -> dict[str, Any]:
        """By teacher, the assistants and generations behind it."""
        return {
            arm: make_assistants(self.context, self.trainer.context, teacher) for arm, teacher in self.teachers.items()
        }

    @cached_property
    def variants(self) -> dict[str, RunContext]:
        """The run with other training rows, against which made ones are judged."""
        chained = self.context.recipe.assistant or self.context.recipe.teacher.generations > 1
        found = {} if chained else variants_of(self.first_context, self.given, self.context.made)
        if self.teachers[TEACHER].members:  # their folds count the student's rows
            found.pop(ALL_ROWS, None)
        self.trainer.variants = {name: as_students_read(one) for name, one in found.items()}
        return found

    @cached_property
    def arms(self) -> list[Arm]:
        """The arms of this run."""
        arms = arms_of(self.context, list(self.teachers), self.variants)
        return arms if self.choose is None else self.choose(self.context, arms)

    def plan_fits(self) -> None:
        """Find what will be trained, and refuse what cannot be, before anything is."""
        _ = self.teachers, self.chains, self.arms
        if NOTE not in self.context.run.record:
            for teacher in self.teachers.values():
                teacher.meet()
        refuse_no_gradient(self.context, self.teachers[TEACHER])
        context, drawn = self.context, self.context.data.split
        parts = {"train": drawn.train, "valid": drawn.valid, "test": drawn.test, "labelled": drawn.labelled}
        write_npz(context.run.folder / "split.npz", parts)
        for arm, why in missing_arms(context, self.arms).items():
            context.run.leave_out(arm, why)
        self.hold_to_answers()
        write_groups(context)

    def hold_to_answers(self, folder: Path | None = None) -> None:
        """Refuse objects that look as they did in an earlier call and answer differently; see ``first_answers``."""
        context = self.context
        teacher = self.teachers[TEACHER].teacher if context.teacher is not None and TEACHER in self.teachers else None
        own = self.trainer.context if self.given.student is not None else None
        hold(context, teacher, own, (folder or context.run.folder) / ANSWERS)

    def train_teachers(self) -> None:
        """Train side by side what the gate compares: the teachers, and the first seed's baseline where rows can tell.

        Workers that would be idle train the baselines of the next seeds, which are needed anyway.
        """
        jobs: list[tuple[int, Work]] = [
            (net.budget.steps, net.train) for teacher in self.teachers.values() for net in teacher.trainable
        ]
        if jobs and self.context.students.derived is not None:  # what is cut out of a teacher waits for it
            self.work_off(jobs)
            jobs = []
        workers = self.trainer.workers
        if self.baseline is not None:
            seeds = [seed for seed in self.trainer.seeds if not self.trainer.finished(self.baseline, seed)]
            if seeds and seeds[0] == self.trainer.seeds[0]:
                for seed in seeds[: max(1, workers - len(jobs))]:
                    fit = partial(self.trainer.fit, Job(self.baseline, seed), None, None)
                    jobs.append((self.trainer.budget.steps, fit))
        if jobs:
            self.work_off(jobs)

    @cached_property
    def baseline(self) -> Arm | None:
        """The arm that the gate holds the teacher against; None where no validation row or no such arm can tell."""
        name, valid = self.context.task.baseline, len(self.context.data.valid.targets)
        return next((arm for arm in self.arms if arm.name == name), None) if valid else None

    def work_off(self, jobs: Sequence[tuple[int, Work]]) -> None:
        """Train teachers and controls side by side."""
        total = sum(steps for steps, _ in jobs)
        with self.context.run.timed("train teachers"), stage("teachers and controls", total, "steps") as advance:
            run_all(jobs, lambda job, report: job[1](report), self.trainer.workers, advance)

    def admit(self, *, accept: bool) -> None:
        """Examine the teacher; see ``teacher.gate``."""
        if not self.context.task.gates:
            return
        if NOTE not in self.context.run.record:
            self.train_teachers()
        control = self.baseline_net if self.context.task.streamed else self.baseline_outputs
        admit_teacher(self.context, self.teachers[TEACHER], control, accept=accept)

    def make(self) -> None:
        """Make the rows of makers that are trained against the teacher; rows that are there are not made again."""
        context = self.context
        if all(part.free for part in context.made):
            return
        teacher = self.teachers[TEACHER]
        self.work_off([(net.budget.steps, net.train) for net in teacher.trainable])
        self.context = made = MakerTraining(context, teacher).made()
        self.trainer.context = as_students_read(made)
        for one in self.teachers.values():
            one.enter(made)
        for known in ("arms", "chains", "variants"):  # they know the rows by number
            self.__dict__.pop(known, None)

    def baseline_outputs(self) -> NDArray[Any] | None:
        """Normalized outputs of the first seed's baseline on the validation rows; None without such rows."""
        net = self.baseline_net()
        return None if net is None else net_outputs(net, self.trainer.context.data.valid.inputs, self.context.task)

    def baseline_net(self) -> nn.Module | None:
        """The first seed's baseline; None without validation rows."""
        return None if self.baseline is None else self.trainer.trained(self.baseline, self.trainer.seeds[0])

    def ask(self, names: Sequence[str] | None = None) -> dict[str, Store]:
        """Ask the teachers about every training row; returns the stores of the first in each chain.

        Args:
            names: of the teachers; None: all.
        """
        chosen = [teacher for name, teacher in self.teachers.items() if names is None or name in names]
        found, run = ask_teachers(self.context, chosen, self.trainer.workers), self.context.run
        run.note(**{ANSWERED: sorted({*run.record.get(ANSWERED, ()), *found})})
        return found

    def taught(self, names: Sequence[str]) -> tuple[dict[str, Asked], dict[str, Store]]:
        """By first teacher, the last of each chain and its answers, with the confidence of the first fitted."""
        stores = ask_assistants(self.context, self.chains, self.ask(names), self.trainer.workers)
        for name in names:
            if not self.chains[name]:  # an assistant is trained on answers as they are, and has its own
                self.trainer.temperatures[name] = temperature_of(self.context, self.teachers[name], stores[name])
        return {name: (self.chains[name] or [teacher])[-1] for name, teacher in self.teachers.items()}, stores

    def train(self) -> None:
        """Ask the teachers whose answers are still needed, and train the students; what was lost is made again."""
        last, stores = self.answers(self.trainer.pending(self.arms), self.lost)
        if any(arm.control.seconds for arm in self.arms):
            main, size = self.teachers[TEACHER], self.trainer.budget.batch_size
            give_time(self.trainer.context, self.arms, asked_about(main.teacher), main.module, size)
        self.trainer.train(self.arms, last, stores)
        self.tell_made(stores)
        logs = [teacher.folder / "metrics.jsonl" for teacher in self.teachers.values()]
        logs += [*logs_of(self.chains), *self.trainer.logs(self.arms)]
        self.context.run.note(warnings=join_logs(self.context.run.folder, logs))
        self.trainer.note_retuned(self.arms)

    @property
    def lost(self) -> set[str]:
        """The teachers of whose weights, answers or made rows something is missing."""
        left, told = unanswered(self.context.run.folder), are_told(self.context)
        return {
            name
            for name, teacher in self.teachers.items()
            if teacher.trainable
            or not all(one.trained for one in self.chains[name])
            or name.replace(TEACHER, "store") in left
            or (name == TEACHER and not told)
        }

    def answers(
        self, jobs: Sequence[Job], more: AbstractSet[str] = frozenset()
    ) -> tuple[dict[str, Asked], dict[str, Store]]:
        """The teachers of some fits and of ``more``, and the answers of each and of each variant."""
        needed = {job.arm.control.teacher for job in jobs} | more
        last, stores = self.taught([name for name in self.teachers if name in needed])
        varied = {job.arm.control.variant for job in jobs if job.arm.control.teacher}
        varied |= {name.removeprefix("store_") for name in unanswered(self.context.run.folder)}
        own = {name: ask(self.teachers[TEACHER], name, one) for name, one in self.variants.items() if name in varied}
        return last, {**stores, **own}

    def follow(self, fits: Sequence[tuple[str, int]]) -> None:
        """Take part in some fits of another process, which has done all that comes before them."""
        arms = {arm.name: arm for arm in self.arms}
        jobs = [Job(arms[name], seed) for name, seed in fits]
        self.trainer.train_together(jobs, self.trainer.work(*self.answers(jobs)), lambda steps: None)

    def tell_made(self, stores: Mapping[str, Store]) -> None:
        """Write what is known of made rows (``made/``), where the run has some."""
        if self.context.made and TEACHER in stores:
            shipped = [arm for arm in self.arms if arm.name == self.context.task.shipped]
            with self.context.run.optional("the facts of the made rows"):
                MadeFacts(self.context, stores[TEACHER]).write(self.trainer, shipped, self.teachers)

    def tell_missing(self) -> None:
        """Say which fits are not there, where others are: shares were trained before, or a run was stopped."""
        every, left = self.trainer.jobs(self.arms), self.trainer.pending(self.arms)
        if left and len(left) < len(every):
            names, there = ", ".join(job.name for job in left), len(every) - len(left)
            say(f"{there} of {len(every)} fits are there. Missing: {names}.")

    def judge(self) -> dict[str, Any]:
        """Ask every net about the test rows and write the scores."""
        Judge(self.context, self.trainer, self.arms, self.teachers).predict()
        with self.context.run.timed("score"):
            return judge(self.context.run.folder)

    def explain(self) -> None:
        """Write what the student learned (``explanation.json``)."""
        with self.context.run.optional("explanation"):
            explain(self.context, self.trainer, self.arms, self.teachers)

    def report(self) -> None:
        """Write the page (``report.html``)."""
        with self.context.run.optional("report"):
            write_report(self.context.run.folder)

    def probe(self) -> Probe:
        """The nets of a judged run, to look into."""
        test = Predictions.load(self.context.run.folder / TEST)
        return Probe(self.context, self.trainer, self.arms, self.teachers, test)


def distill_run(
    recipe: Recipe,
    given: Given = NOTHING,
    *,
    accept_teacher: bool = False,
    inherited: Mapping[str, Path] = MappingProxyType({}),
) -> RunFolder:
    """The whole sequence; a run that was stopped is resumed.

    Args:
        recipe: ``output.dir`` is the run folder.
        given: what came from Python.
        accept_teacher: continue with a teacher that is not better than its student.
        inherited: folders and files of an earlier run that would be the same here, by their name in the run folder.
    """
    wanted = recipe.training
    check_processes(wanted.devices, wanted.nodes, device_of(wanted.device).type == "cuda")
    with leading(wanted.timeout), at_work(recipe.output.dir, given):
        run = Distillation(recipe, given)
        inherit(inherited, recipe.output.dir)
        inherit_pilot(run, recipe.output.dir)
        if run.context.column_types:
            say(columns_line(run.context.column_types))
        check_files(run.context.run.folder)
        run.plan_fits()
        run.tell_missing()
        run.admit(accept=accept_teacher)
        run.make()
        run.train()
        run.judge()
        run.explain()
        run.report()
    return run.context.run


def inherit_pilot(run: Distillation, folder: Path) -> None:
    """Take over what a pilot in ``folder`` has trained and asked; a store of fewer rows is asked about the others."""
    context = run.context
    pilot = pilot_of(folder, context.recipe, context.run.record["parts"])
    if pilot is not None:
        context.run.note(**{PILOT: True})
        inherit({name: pilot / name for name in SHARED}, context.run.folder)


def label_run(recipe: Recipe, given: Given = NOTHING) -> dict[str, Any]:
    """The sequence up to the teacher's stored answers; folder, rows, views and bytes of the store."""
    with at_work(recipe.output.dir, given):
        run = Distillation(recipe, given)
        inherit_pilot(run, recipe.output.dir)
        run.plan_fits()
        run.make()
        store = run.ask([TEACHER])[TEACHER]
    return {"store": str(store.folder), "rows": store.rows, "views": store.views, "bytes": store.nbytes}


def fit_student(recipe: Recipe, given: Given) -> Deployed:
    """The sequence for one student alone: no control, no gate, no judgement. It is shipped into the run folder."""
    with at_work(recipe.output.dir, given):
        run = Distillation(
            recipe, given, choose=lambda context, arms: [a for a in arms if a.name == context.task.shipped]
        )
        run.plan_fits()
        run.make()
        run.train()
        return ship(run.context, run.trainer, run.arms[0], run.teachers)


def check_layers(teachers: Any, inputs: Tensor) -> None:
    """Refuse a layer of a teacher that does not exist or does not run, before anything is trained."""
    for teacher in teachers:
        if teacher.layers:
            net = teacher.whole.net() if teacher.kind == "net" else teacher.module
            with evaluating(net):
                try_taps(net, teacher.layers, inputs)
