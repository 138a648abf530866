"""The students of a run: the distilled one and its controls, paired by seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stillhouse import hashes, students
from stillhouse.data import Batches, Rows, StoredBatches
from stillhouse.engine import (
    ALONE,
    CHECKPOINT,
    LOG,
    Budget,
    Group,
    Step,
    describe,
    fit,
    read_weights,
    tensor_state,
    write_weights,
)
from stillhouse.errors import UsageError
from stillhouse.files import write_json
from stillhouse.pipeline.run.context import RunContext, budget_of
from stillhouse.pipeline.run.folder import read_json
from stillhouse.pipeline.run.labels import counted_rows
from stillhouse.pipeline.run.progress import Advance, say, show_metrics, stage
from stillhouse.pipeline.run.together import run_together
from stillhouse.pipeline.run.torchrun import announce
from stillhouse.pipeline.run.workers import default_workers, run_all, why_alone
from stillhouse.pipeline.student import calibration, more_steps, retuning
from stillhouse.pipeline.student.arms import Arm, Job, fits_of
from stillhouse.pipeline.student.classes import Answer, Classes
from stillhouse.pipeline.student.config import WEIGHTS, build
from stillhouse.pipeline.student.logs import BEFORE
from stillhouse.pipeline.student.on_policy import check_phase, in_phases
from stillhouse.pipeline.student.self_training import own_labels, rows_with_labels, steps_of_rounds
from stillhouse.pipeline.student.simple import Problem, choose, whole_texts
from stillhouse.pipeline.student.stages import Asked, Stage, head_of_states
from stillhouse.pipeline.student.step import matched_step, parts_card, ships_parts, with_parts
from stillhouse.recipe import BATCH
from stillhouse.reporting.wording import several
from stillhouse.store import Store
from stillhouse.teachers import StoredTeacher
from stillhouse.types import Batch, in_eval

CARD = "simple.json"  # in the folder of a simple model's fit: which it is
ROUNDS = "rounds.json"  # in the folder of a self-trained student: how many answers became labels


class Trainer:
    """Trains every arm on every seed with one budget; finished fits are not done again.

    Args:
        context: of the run, as its students read it.
    """

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.variants: Mapping[str, RunContext] = {}  # the run with other training rows, by name
        # A table has few rows, and a net soon knows them by heart: a control that did would be no rival.
        table = context.data.source.kind == "table" and context.task.supervised and context.watched is not None
        keep: Literal["last", "best"] = "best" if table else "last"
        self.budget = budget_of(context.recipe.training, len(context.data.train.targets), keep=keep)
        if self.budget.batch_size < BATCH and context.recipe.training.batch_size is None:
            rows = self.budget.batch_size
            say(f"There are {rows} training rows, so a batch has {rows} rows, not {BATCH}: see [training] batch_size.")
        check_phase(context.recipe, self.budget.steps)
        self.temperatures: dict[str, float] = {}  # by teacher, of its confidence; see ``teacher.calibration``
        self.on_log: Callable[[dict[str, Any]], None] = show_metrics  # gets each line of metrics
        self.seeds = context.recipe.training.seeds
        self.workers = context.recipe.training.workers or default_workers(context.device)
        why = why_alone()
        self.processes = context.recipe.training.processes
        if self.processes > 1 and context.fitted is not None:
            raise UsageError(
                f"{context.fitted!r} is fitted at once. Remove [training] devices and nodes, or take a net."
            )
        self.at_once = self.workers if why is None and self.processes == 1 else 1
        if self.at_once < self.workers and self.processes == 1:
            say(f"One fit at a time: {why}.")
        self.group: Group = ALONE  # the processes that train the present fit

    def budget_of(self, arm: Arm) -> Budget:
        """The budget of an arm: that of all, or with as many further steps as the teacher's time would have paid."""
        more = self.context.run.record.get(more_steps.NOTE, {}).get(arm.name, 0)
        return self.budget.part(self.budget.steps + more) if more else self.budget

    def jobs(self, arms: Sequence[Arm]) -> list[Job]:
        """All fits, the arms of one seed beside each other."""
        found = (Job(arm, seed) for seed in self.seeds for arm in arms if seed in arm.seeds(self.seeds))
        return [job for job in found if job.arm.control.trained]

    def pending(self, arms: Sequence[Arm]) -> list[Job]:
        """The fits that no earlier, interrupted run has finished."""
        return [job for job in self.jobs(arms) if not self.finished(*job)]

    def train(self, arms: Sequence[Arm], teachers: Mapping[str, Asked], stores: Mapping[str, Store]) -> None:
        """Train what is not trained yet; ``teachers`` by arm are the last of each chain, ``stores`` their answers."""
        run, jobs, work = self.context.run, self.pending(arms), self.work(teachers, stores)
        total = sum(self.budget_of(job.arm).steps for job in self.jobs(arms))
        left = sum(self.budget_of(job.arm).steps for job in jobs)
        with (
            run.timed("train students"),
            stage(several(fits_of(arms, self.seeds), "student"), total, "steps") as advance,
        ):
            advance(total - left)
            self.do(jobs, work, advance)
        run.note(engine=describe(self.budget.device, self.budget.precision, compile=self.budget.compile))

    def do(self, jobs: Sequence[Job], work: Callable[[Job, Advance], None], advance: Advance) -> None:
        """Do some fits: side by side, or each in all processes."""
        if any(job.arm.control.simple for job in jobs):
            _ = self.whole  # made here once, not by each worker
        run_all([job for job in jobs if not self.shared(job)], work, self.workers, advance)
        self.train_together([job for job in jobs if self.shared(job)], work, advance)

    def work(self, teachers: Mapping[str, Asked], stores: Mapping[str, Store]) -> Callable[[Job, Advance], None]:
        """What does a fit."""

        def fit(job: Job, advance: Advance) -> None:
            name = job.arm.control.teacher
            store = stores[job.arm.control.variant or name] if name else None
            self.fit(job, store, teachers[name] if name else None, advance)

        return fit

    def shared(self, job: Job) -> bool:
        """Whether several processes train a fit together."""
        return self.processes > 1 and self.context.fitted is None and not job.arm.control.simple

    def train_together(self, jobs: Sequence[Job], work: Callable[[Job, Advance], None], advance: Advance) -> None:
        """Do some fits one after the other, each in all processes; see ``run.together``."""

        def all_jobs(group: Group) -> None:
            self.group = group
            try:
                for job in jobs:
                    work(job, advance if group.leads else lambda steps: None)
            finally:
                self.group = ALONE

        timeout = self.context.recipe.training.timeout
        announce([(job.arm.name, job.seed) for job in jobs], timeout)
        if jobs:
            run_together(self.processes, all_jobs, self.context.device, timeout)

    def logs(self, arms: Sequence[Arm]) -> list[Path]:
        """Where the metrics of the fits are."""
        folders = [retuning.chosen(self.context.run.fit_folder(arm.name, seed)) for seed in self.seeds for arm in arms]
        return [log for folder in folders for log in (folder / LOG, *sorted(folder.glob(f"*/{LOG}")))]

    def finished(self, arm: Arm, seed: int) -> bool:
        """Whether this fit has ended, or there is none."""
        weights = self.weights_of(arm, seed)
        return not arm.control.trained or (weights.exists() and hashes.complete(weights.parent, deep=True))

    def weights_of(self, arm: Arm, seed: int) -> Path:
        """Where the weights of one student are."""
        return self.context.run.fit_folder(arm.name, seed) / WEIGHTS

    def fit(self, job: Job, store: Store | None, teacher: Asked | None, advance: Advance) -> None:
        """Train one student, or fit one rival."""
        context, arm = self.context, job.arm
        if self.group.leads:
            hashes.begin(context.run.fit_folder(arm.name, job.seed))
        temperature = self.temperatures.get(arm.control.teacher or "", 1.0)
        scale, head = context.recipe.training.disagreement, head_of_states(teacher)
        answers = StoredTeacher(store, scale, temperature, head) if store is not None else None
        if arm.control.simple:
            self.fit_simple(job, answers)
            advance(self.budget.steps)
        elif context.fitted is not None:
            net = self.self_fit(job) if arm.control.self_training else self.fit_soft(job, answers)
            self.keep(job, net)
            advance(self.budget.steps)
        else:
            self.fit_net(job, answers, teacher, advance)

    def fit_net(self, job: Job, answers: StoredTeacher | None, teacher: Asked | None, advance: Advance) -> None:
        """Train a net in steps, and again where it is a control and broken; what a resumed call needs stays till then.

        See ``retuning``.
        """
        (arm, seed), context = job, self.context
        folder, name = context.run.fit_folder(arm.name, seed), f"{arm.name}/{seed}"
        whole = Stage(arm.rows, arm.targets, self.budget_of(arm), folder, name)

        def again(number: int, budget: Budget) -> nn.Module:
            place = folder / retuning.FOLDER / str(number)
            part = whole._replace(budget=budget, folder=place, name=f"{name}/{retuning.FOLDER}/{number}")
            return self.train_net(job, part, None, None, lambda steps: None).cpu()

        net = self.train_net(job, whole, answers, teacher, advance).cpu()
        agreed = self.group.of_first
        if (
            teacher is None
            and (found := retuning.retuned(net, context, arm.targets, self.budget, again, agreed)) is not None
        ):
            write_json(folder / retuning.CARD, found.card)
            net = found.net
        if not self.group.leads:
            return
        self.keep(job, net)
        for file in (*folder.glob(f"*/**/{WEIGHTS}"), *folder.rglob(CHECKPOINT)):
            hashes.remove(file)

    def train_net(
        self, job: Job, whole: Stage, answers: StoredTeacher | None, teacher: Asked | None, advance: Advance
    ) -> nn.Module:
        """Train a net by a budget, in rounds where it trains itself; what ships of it."""
        if job.arm.control.self_training:
            return self.self_train(job, whole, advance)
        if self.context.recipe.on_policy.steps is not None and answers is not None and teacher is not None:
            return in_phases(self, job, whole, answers, teacher, advance)
        return self.fit_stage(job, self.step(job, answers, teacher), whole, answers, advance)

    def keep(self, job: Job, net: nn.Module) -> None:
        """Write the weights of a finished student, its confidence fitted to validation rows."""
        (arm, seed), context = job, self.context_of(job.arm)
        folder, found = context.run.fit_folder(arm.name, seed), None
        if context.recipe.student.calibrate == "temperature" and context.watched is not None:
            found = calibration.calibrate(net.cpu(), context.task, context.watched)
        if found is not None:
            write_json(folder / calibration.CARD, found.card)
        write_weights(folder / WEIGHTS, tensor_state(net) if found is None else found.weights)

    def note_retuned(self, arms: Sequence[Arm]) -> None:
        """Write into run.json which controls were broken and trained again, and say it."""
        found: dict[str, dict[str, Any]] = {}
        for arm in arms:
            cards = {
                arm.key(seed): retuning.card_of(self.weights_of(arm, seed).parent) for seed in arm.seeds(self.seeds)
            }
            if cards := {seed: card for seed, card in cards.items() if card}:
                found[arm.name] = {"sentence": retuning.sentence(arm.control.label, cards), "seeds": cards}
                say(found[arm.name]["sentence"])
        self.context.run.note(retuned=found)

    def calibration_of(self, arm: Arm, seed: int) -> dict[str, Any]:
        """How the confidence of a finished student was fitted; empty where it was not."""
        file = self.context.run.fit_folder(arm.name, seed) / calibration.CARD
        return read_json(file) if file.exists() else {}

    def fit_stage(
        self, job: Job, step: Step, part: Stage, answers: StoredTeacher | None, advance: Advance
    ) -> nn.Module:
        """Train a student in place by one budget; what ships of it."""
        ask = answers.outputs if answers else None
        return self.fit_on(job, step, part, self.stored(job, step, part, answers), ask, advance)

    def stored(self, job: Job, step: Step, part: Stage, answers: StoredTeacher | None) -> StoredBatches:
        """The training rows of a part of a fit, in their order."""
        context = self.context_of(job.arm)
        views = context.views
        shown = views.count if answers else views.labelled  # without a teacher a view without a label teaches nothing
        rows, weights = counted_rows(context, part.targets, part.rows)
        stream = context.stream(rows, batch_size=part.budget.batch_size, seed=job.seed, views=shown)
        own = Classes(step.student)
        return StoredBatches(Rows(context.data.train.inputs, own.targets(part.targets), weights), stream, views)

    def fit_on(
        self, job: Job, step: Step, part: Stage, batches: Batches, ask: Answer | None, advance: Advance
    ) -> nn.Module:
        """Train a student in place on some batches, with a teacher's answers in its own classes; what ships of it."""
        context, own = self.context_of(job.arm), Classes(step.student)
        return fit(
            step,
            batches,
            part.budget,
            folder=part.folder,
            identity=f"{context.run.record['digest']}/{part.name}",
            answer=own.answer(ask) if ask else None,
            valid=own.rows(context.watched),
            validation=context.task.validation,
            monitor=context.task.monitor,
            tags={"arm": job.arm.name, "seed": job.seed} | ({BEFORE: part.before} if part.before else {}),
            advance=advance,
            on_log=self.on_log,
            group=self.group,
            seed=job.seed,
        )

    def self_train(self, job: Job, whole: Stage, advance: Advance) -> nn.Module:
        """Train a student without a teacher, in rounds; a finished round is not done again."""
        step, rounds = self.step(job, None, None), steps_of_rounds(whole.budget.steps)

        def train_round(number: int, steps: int, targets: Tensor) -> nn.Module:
            folder = whole.folder / f"round-{number}"
            there = float((folder / WEIGHTS).exists())
            if self.group.of_first([there])[0]:
                step.student.load_state_dict(read_weights(folder / WEIGHTS)[0])
                advance(steps)
            elif steps:
                budget, before = whole.budget.part(steps), sum(rounds[: number - 1])
                part = Stage(rows_with_labels(targets), targets, budget, folder, f"{whole.name}/{number}", before)
                write_weights(folder / WEIGHTS, tensor_state(self.fit_stage(job, step, part, None, advance)))
            return step.student.cpu()

        return self.in_rounds(job, rounds, whole.folder, train_round)

    def self_fit(self, job: Job) -> nn.Module:
        """As ``self_train``, of a student that is fitted at once."""

        def fit_round(number: int, steps: int, targets: Tensor) -> nn.Module:
            arm = job.arm._replace(rows=rows_with_labels(targets), targets=targets)
            return self.fit_soft(Job(arm, job.seed), None)

        folder = self.context.run.fit_folder(job.arm.name, job.seed)
        return self.in_rounds(job, steps_of_rounds(self.budget.steps), folder, fit_round)

    def in_rounds(
        self, job: Job, rounds: Sequence[int], folder: Path, fit_round: Callable[[int, int, Tensor], nn.Module]
    ) -> nn.Module:
        """The student after all rounds; each is given its number, steps and targets, with answers of the one before."""
        net, facts = fit_round(1, rounds[0], job.arm.targets), []
        for number, steps in enumerate(rounds[1:], 2):
            targets, fact = own_labels(in_eval(net), self.context, job.arm.targets)
            targets = self.group.first_tensor(targets)
            facts.append(fact)
            net = fit_round(number, steps, targets)
        write_json(folder / ROUNDS, {"rounds": facts})
        return net

    @cached_property
    def whole(self) -> RunContext:
        """The run as its simple models read it."""
        return whole_texts(self.context)

    def context_of(self, arm: Arm) -> RunContext:
        """The run as the nets of an arm read it."""
        if arm.control.variant is not None:
            return self.variants[arm.control.variant]
        return self.whole if arm.control.simple else self.context

    def fit_simple(self, job: Job, answers: StoredTeacher | None) -> None:
        """Choose a simple model and fit it to the labels, or to the teacher's answers."""
        (arm, seed), context = job, self.whole
        rows, weights = counted_rows(context, arm.targets, arm.rows)
        inputs, every = context.data.train.inputs, torch.arange(len(arm.targets))
        soft = self.soft_targets(Batch(inputs, arm.targets, every, torch.zeros_like(every)), answers)
        members = context.simple(taught=answers is not None)
        chosen = choose(context, members, Problem(inputs, soft, arm.targets, rows, weights), seed)
        folder = context.run.fit_folder(arm.name, seed)
        card = {"name": chosen.member.name, "settings": chosen.member.settings, "shape": list(inputs.shape[1:])}
        write_json(folder / CARD, {"net": card, "seconds": chosen.seconds, "tried": chosen.tried})
        self.keep(job, chosen.net)

    def simple_card(self, arm: Arm) -> dict[str, Any]:
        """The simple model that was chosen: ``net``, how to build it; ``seconds`` of its fit; ``tried``."""
        file = self.context.run.fit_folder(arm.name, arm.seeds(self.seeds)[0]) / CARD
        return read_json(file)

    def soft_targets(self, batch: Batch, answers: StoredTeacher | None) -> Tensor:
        """The targets of models that are fitted at once: labels, the teacher's answers, or both by their weights."""
        context, outputs = self.context, answers.whole(batch) if answers else None
        label_weight, method_weight = context.recipe.training.label_weight, sum(w for *_, w in context.make_methods())
        found: Tensor = context.task.soft_targets(batch.targets, outputs, context.spec, label_weight, method_weight)
        return found

    def fit_soft(self, job: Job, answers: StoredTeacher | None) -> nn.Module:
        """A student that is fitted at once to every row and view that the arm may see."""
        arm = job.arm
        context = self.context_of(arm)
        views = context.views
        assert context.fitted is not None
        rows, weights = counted_rows(context, arm.targets, arm.rows)
        shown = range(views.count if answers else views.labelled)
        inputs, targets = [], []
        for number in shown:
            view = torch.full_like(rows, number)
            inputs.append(views.apply(context.data.train.inputs[rows], rows, view))
            labels = views.targets(arm.targets[rows], view)
            targets.append(self.soft_targets(Batch(inputs[-1], labels, rows, view), answers))
        return students.fit_soft(
            context.fitted,
            inputs=torch.cat(inputs),
            targets=torch.cat(targets),
            weights=None if weights is None else weights[rows].repeat(len(shown)),
            settings=context.students.card["settings"],
            seed=job.seed,
            link=context.task.link,
        )

    def step(self, job: Job, answers: StoredTeacher | None, teacher: Asked | None) -> Step:
        """The student as its seed initialises it, the same in every arm, and the arm's methods."""
        context, (arm, seed) = self.context_of(job.arm), job
        control, student = arm.control, self.start(arm, seed)
        if control.step is not None:
            step: Step = control.step(student, context)
        elif answers is None or teacher is None:
            step = Step(student, loss=context.task.loss, label_smoothing=control.smoothing_of(context))
        else:
            step = matched_step(student, context, answers, teacher)
        torch.manual_seed(seed)  # adapters drew random numbers: dropout must be paired between the arms too
        return step

    def start(self, arm: Arm, seed: int) -> nn.Module:
        """A student before its training; what is drawn follows the seed."""
        torch.manual_seed(seed)
        return self.context.students.scratch() if arm.control.scratch else self.context.students.make()

    def trained(self, arm: Arm, seed: int, parts: dict[str, Any] | None = None) -> nn.Module:
        """A finished student, loaded, in eval mode; ``parts`` from ``Trainer.parts``, where its methods ship some."""
        if not arm.control.trained:
            return in_eval(self.start(arm, seed))
        if arm.control.simple:
            student = build(self.simple_card(arm)["net"], self.context.spec.width)
        else:
            student = self.context.students.make()
        student = with_parts(student, parts) if parts else student
        student = calibration.Tempered(student) if self.calibration_of(arm, seed).get("tempered") else student
        student.load_state_dict(read_weights(self.weights_of(arm, seed))[0])
        return in_eval(student)

    def parts(self, arm: Arm, teachers: Mapping[str, Asked]) -> dict[str, Any]:
        """How to build again what the arm's methods ship with the student; empty where it is the student alone."""
        name = arm.control.teacher
        if name is None or arm.control.simple or not any(ships_parts(m) for _, m, _ in self.context.make_methods()):
            return {}
        answers = StoredTeacher(teachers[name].ask(lambda rows: None), head=head_of_states(teachers[name]))
        return parts_card(self.context, answers, teachers[name])
