"""The students of a run: the distilled one and its controls, paired by seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse import students
from stillhouse.data import Rows, Stream
from stillhouse.engine import CHECKPOINT, LOG, Step, describe, fit, read_log, read_weights, tensor_state, write_weights
from stillhouse.errors import UsageError
from stillhouse.files import write_atomic
from stillhouse.pipeline.context import Ingredients, budget_of
from stillhouse.pipeline.labels import only
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.run.progress import Advance, stage
from stillhouse.pipeline.run.workers import default_workers, run_all
from stillhouse.pipeline.student.factory import soft_targets
from stillhouse.pipeline.student.step import matched_step, parts_card, ships_parts, with_parts
from stillhouse.pipeline.teacher.assistants import Link, logs_of, make_chain, teach_links
from stillhouse.pipeline.teacher.labeling import Teaching, teach_all
from stillhouse.pipeline.teacher.train import WEIGHTS
from stillhouse.recipe import Recipe
from stillhouse.store import Store
from stillhouse.teachers import StoredTeacher
from stillhouse.types import Batch


class Arm(NamedTuple):
    """One way to train the student."""

    name: str
    eligible: Tensor  # int64: training rows it is trained on
    targets: Tensor  # int64 (N,): labels it may see, -1 elsewhere
    teacher: str | None  # the teacher arm whose answers it matches
    smoothing: float | None = None  # of its labels, where it is not [training] label_smoothing
    scratch: bool = False  # begun at random, where the student has given or derived weights


def make_arms(recipe: Recipe, have: Ingredients, *, same_teacher: bool) -> list[Arm]:
    """The arms of a run, in the order of the table."""
    known = have.data.train.targets
    everything, labelled = torch.arange(len(known)), have.labelled
    seen = only(known, labelled)
    arms = [Arm("labels_only", labelled, seen, None), Arm("distilled", everything, seen, "teacher")]
    if recipe.controls.label_smoothing:
        arms.append(Arm("smoothed", labelled, seen, None, recipe.controls.label_smoothing))
    with_label = torch.nonzero(known >= 0).flatten()
    if recipe.controls.all_labels and len(with_label) > len(labelled):
        arms.append(Arm("all_labels", with_label, known, None))
    if same_teacher:
        arms.append(Arm("distilled_same", everything, seen, "teacher_same"))
    if recipe.controls.from_scratch:
        if not have.students.pretrained:
            raise UsageError(
                "[controls] from_scratch compares with a student that begins at random, and this one does already. "
                "Take it out, or give the student weights: [student] start or derive."
            )
        arms.append(Arm("scratch", labelled, seen, None, scratch=True))
        arms.append(Arm("distilled_scratch", everything, seen, "teacher", scratch=True))
    return arms


class Trainer:
    """Trains every arm on every seed with one budget; finished fits are not done again."""

    def __init__(self, run: RunFolder, recipe: Recipe, have: Ingredients, teachings: Sequence[Teaching]) -> None:
        self.run, self.recipe, self.have = run, recipe, have
        self.teachings = {t.arm: t for t in teachings}
        self.chains: dict[str, Sequence[Link]] = {t.arm: make_chain(run, recipe, have, t) for t in teachings}
        self.budget = budget_of(recipe.training, len(have.data.train.targets))

    def train(self, arms: Sequence[Arm]) -> None:
        """Train what is not trained yet, the arms of one seed beside each other."""
        seeds = self.recipe.training.seeds
        jobs = [(arm, seed) for seed in seeds for arm in arms if not self.finished(arm, seed)]
        total = len(arms) * len(seeds) * self.budget.steps
        workers = self.recipe.training.workers or default_workers()
        asked = [self.teachings[name] for name in dict.fromkeys(arm.teacher for arm, _ in jobs if arm.teacher)]
        stores = teach_links(self.run, self.chains, teach_all(self.run, asked, workers), workers)
        with self.run.timed("train students"), stage(f"{len(arms) * len(seeds)} students", total, "steps") as advance:
            advance(total - len(jobs) * self.budget.steps)
            run_all(jobs, lambda job, told: self.fit(*job, stores.get(job[0].teacher or ""), told), workers, advance)
        logs = [t.folder / LOG for t in self.teachings.values()] + logs_of(self.chains)
        logs += [self.run.fit_folder(a.name, s) / LOG for s in seeds for a in arms]
        lines = "".join(path.read_text(encoding="utf-8") for path in logs if path.exists())
        write_atomic(self.run.folder / LOG, lines.encode())
        self.run.note(engine=describe(self.budget.precision, compile=self.budget.compile))
        self.run.note(warnings=[found for path in logs for found in warnings_of(path)])

    def finished(self, arm: Arm, seed: int) -> bool:
        """Whether this fit has ended."""
        return (self.run.fit_folder(arm.name, seed) / WEIGHTS).exists()

    def fit(self, arm: Arm, seed: int, store: Store | None, advance: Advance) -> None:
        """One student."""
        folder = self.run.fit_folder(arm.name, seed)
        answers = StoredTeacher(store, self.recipe.training.disagreement) if store is not None else None
        if self.have.fitted is not None:
            write_weights(folder / WEIGHTS, tensor_state(self.fit_soft(self.have.fitted, arm, seed, answers)))
            advance(self.budget.steps)
            return
        step = self.step(arm, seed, answers)
        views = self.have.views
        shown = views.count if answers else views.labelled  # without a teacher a view without a label teaches nothing
        stream = Stream(arm.eligible, batch_size=self.budget.batch_size, seed=seed, views=shown)
        trained = fit(
            step,
            Rows(self.have.data.train.inputs, arm.targets),
            stream,
            views,
            self.budget,
            folder=folder,
            identity=f"{self.run.record['digest']}/{arm.name}/{seed}",
            answer=answers.outputs if answers else None,
            valid=self.have.data.valid,
            tags={"arm": arm.name, "seed": seed},
            advance=advance,
        )
        write_weights(folder / WEIGHTS, tensor_state(trained))
        (folder / CHECKPOINT).unlink(missing_ok=True)

    def fit_soft(self, name: str, arm: Arm, seed: int, answers: StoredTeacher | None) -> nn.Module:
        """A student that is fitted at once: every row and view that the arm may see, with what it is to say of them."""
        views, data, training = self.have.views, self.have.data, self.recipe.training
        weight = sum(w for _, _, w in self.have.make_methods())
        inputs, targets = [], []
        for number in range(views.count if answers else views.labelled):
            rows = arm.eligible
            view = torch.full_like(rows, number)
            inputs.append(views.apply(data.train.inputs[rows], rows, view))
            labels = views.targets(arm.targets[rows], view)
            said = answers.whole(Batch(inputs[-1], labels, rows, view)) if answers else None
            targets.append(soft_targets(labels, said, training.label_weight, weight, self.have.classes))
        return students.fit_soft(
            name,
            inputs=torch.cat(inputs),
            targets=torch.cat(targets),
            weights=None,
            settings=self.have.students.card["settings"],
            seed=seed,
        )

    def step(self, arm: Arm, seed: int, answers: StoredTeacher | None) -> Step:
        """The student as its seed initialises it, the same in every arm, and the arm's methods."""
        student = self.begun(arm, seed)
        training = self.recipe.training
        if arm.teacher is None or answers is None:
            smoothing = training.label_smoothing if arm.smoothing is None else arm.smoothing
            step = Step(student, label_smoothing=smoothing)
        else:
            links = self.chains[arm.teacher]
            last = links[-1] if links else self.teachings[arm.teacher]
            step = matched_step(student, self.have, training, answers, last.module)
        torch.manual_seed(seed)  # adapters drew random numbers: dropout must be paired between the arms too
        return step

    def begun(self, arm: Arm, seed: int) -> nn.Module:
        """A student before its training; what is drawn follows the seed."""
        torch.manual_seed(seed)
        return self.have.students.scratch() if arm.scratch else self.have.students.make()

    def trained(self, arm: Arm, seed: int) -> nn.Module:
        """A finished student, loaded, in eval mode."""
        student, parts = self.have.students.make(), self.parts(arm)
        student = with_parts(student, parts) if parts else student
        student.load_state_dict(read_weights(self.run.fit_folder(arm.name, seed) / WEIGHTS)[0])
        return student.eval()

    def parts(self, arm: Arm) -> dict[str, Any]:
        """How to build again what the arm's methods ship with the student; empty where it is the student alone."""
        if arm.teacher is None or not any(ships_parts(m) for _, m, _ in self.have.make_methods()):
            return {}
        teaching = self.teachings[arm.teacher]
        answers = StoredTeacher(teaching.ask(lambda rows: None))
        return parts_card(self.recipe.method, self.have, answers, teaching.module)


def warnings_of(log: Path) -> list[dict[str, Any]]:
    """What the engine warned of in one fit: arm, seed, step and message."""
    lines = [line for line in read_log(log) if "warning" in line]
    return [{"arm": x["arm"], "seed": x["seed"], "step": x["step"], "message": x["warning"]} for x in lines]
