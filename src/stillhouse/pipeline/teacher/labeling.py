"""One teacher of a run: built or trained when it is first needed, asked once about every row, its answers kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.labels import counted_rows, only
from stillhouse.pipeline.run.progress import Advance, stage
from stillhouse.pipeline.run.workers import run_all
from stillhouse.pipeline.teacher.answers import AsModule, answers_of, ask_all, probe_of
from stillhouse.pipeline.teacher.build import NET_FILE, TEXT_MODELS, build_teacher, kind_of, own_kind, ready
from stillhouse.pipeline.teacher.fitted_texts import fit_texts, refuse_other_rows
from stillhouse.pipeline.teacher.train import TeacherNet
from stillhouse.recipe import Member
from stillhouse.reporting.wording import several
from stillhouse.store import Store
from stillhouse.task import TEACHER
from stillhouse.teachers import SKLEARN_NAMES, CrossFitted, EnsembleTeacher, ModuleTeacher, fit_sklearn, fold_of
from stillhouse.teachers.crossfit import renumbered, rows_seen, whole_of
from stillhouse.teachers.hub.tuning import merged
from stillhouse.teachers.sklearn import make_estimator
from stillhouse.teachers.stored import FEATURE
from stillhouse.types import Teacher, has_label, rows_with_label, withheld

FOLDS = 5  # of models of scikit-learn, where the recipe does not say; a net is a training for each, so none


class RunTeacher:
    """A teacher of a run, or one member of it.

    Args:
        context: of the run.
        arm: "teacher" or "teacher_same".
        visible: labels of the rows that it may learn from (``context.learning``), hidden where it may not see them.
        section: of the recipe; None: [teacher].
        given: what came from Python in its place.
        folder: where it is kept; None: named as the arm.
    """

    def __init__(
        self,
        context: RunContext,
        arm: str,
        visible: Tensor,
        section: Member | None = None,
        given: Any = None,
        folder: Path | None = None,
    ) -> None:
        self.context, self.learning, self.arm, self.visible = context, context.learning, arm, visible
        self.section: Member = section or context.recipe.teacher
        self.given = given if section is not None or arm != TEACHER else context.teacher
        self.folder = folder or context.run.folder / arm
        wanted = {path for _, m, _ in context.make_methods() for path in m.teacher_layers}
        self.layers = sorted(path for path in wanted if FEATURE + path != context.task.stored)
        if arm != TEACHER:  # what came ready has seen other labels: this one is trained here, on the student's own
            self.section = self.section.model_copy(update={"file": None})
        self.kind = kind_of(self.section, self.given)
        self.by_own_numbers: Teacher | None = None  # set when it is built
        self.members = self.make_members()

    def make_members(self) -> list[RunTeacher]:
        """The teachers whose answers are joined, each a teacher of its own."""
        if self.kind != "members":
            return []
        sections = self.context.recipe.teacher.member
        pairs = [(self.section, one) for one in self.given] if self.given else [(one, None) for one in sections]
        return [
            RunTeacher(self.context, self.arm, self.visible, section, given, self.folder / str(i))
            for i, (section, given) in enumerate(pairs)
        ]

    def enter(self, context: RunContext) -> None:
        """Go on in the same run with further training rows, which are asked like all others."""
        self.context = context
        for member in self.members:
            member.enter(context)

    def look_in(self, folder: Path) -> None:
        """Find in another folder what an earlier run has trained."""
        self.folder = folder
        for number, member in enumerate(self.members):
            member.look_in(folder / str(number))

    @property
    def label(self) -> str:
        """What the report calls it."""
        return self.context.task.others[self.arm].label

    @property
    def name(self) -> str:
        """The kind of model, by its name in the recipe."""
        if self.weights or (self.kind in ("net", "fitted here") and self.section.hub is None):
            return self.whole.name
        if (gguf := getattr(self.section, "gguf", None)) is not None:
            return str(gguf.name)
        return self.section.hub or (self.section.file.name if self.section.file else self.kind)

    @property
    def weights(self) -> Path | None:
        """The file of its net's weights, where [teacher] file names one."""
        file = self.section.file if self.kind == "file" else None
        return file if file is not None and file.suffix == NET_FILE else None

    @property
    def labels_seen(self) -> int | None:
        """Labels used to train it here; None for a teacher that was passed in."""
        return None if self.handed_over else int(rows_with_label(self.visible).sum())

    @property
    def seen(self) -> Tensor:
        """Labels of the student's training rows, hidden where this teacher may not see them."""
        if self.context.whole is None:
            return self.visible
        places, found = torch.from_numpy(self.context.places), withheld(self.context.data.train.targets)
        found[places >= 0] = self.visible[places[places >= 0]]
        return found

    @property
    def handed_over(self) -> bool:
        """Whether it came ready, from Python, a file, a hub folder or a service."""
        return all(m.handed_over for m in self.members) if self.members else ready(self.section, self.given)

    @property
    def fitted_here(self) -> bool:
        """Whether it is fitted in this run at once, a model of scikit-learn or of texts."""
        return self.kind in ("net", "fitted here") and self.name in (*SKLEARN_NAMES, *TEXT_MODELS)

    @property
    def whole(self) -> TeacherNet:
        """The net that sees every label this teacher may see."""
        return self.net_of(self.visible, self.folder)

    def net_of(self, visible: Tensor, folder: Path) -> TeacherNet:
        """A net of this teacher's kind that may see some labels."""
        return TeacherNet(self.learning, self.section, self.arm, self.layers, visible, folder)

    @cached_property
    def fold_of(self) -> NDArray[np.int64] | None:
        """For each training row the fold whose net does not see it, int64 (N,); None: one net answers all rows."""
        if self.section.folds is None or self.kind != "net" or self.fitted_here:
            return None
        seed, names = self.context.recipe.data.seed, self.context.spec.names
        return fold_of(self.visible.numpy(), self.section.folds, seed, self.name, names)

    @property
    def nets(self) -> list[TeacherNet]:
        """What is trained here by steps: the whole net, and one for each fold; empty for every other teacher."""
        if self.kind != "net" or self.fitted_here:
            return []
        kept = [] if self.fold_of is None else [torch.from_numpy(rows) for rows in rows_seen(self.fold_of)]
        folds = [self.net_of(only(self.visible, rows), self.folder / f"fold_{i}") for i, rows in enumerate(kept)]
        return [self.whole, *folds]

    @property
    def trainable(self) -> list[TeacherNet]:
        """Its nets, or its members', that no earlier, interrupted run has finished."""
        nets = [net for member in self.members for net in member.trainable] if self.members else self.nets
        return [net for net in nets if not net.trained]

    @property
    def folds(self) -> list[int]:
        """How many folds each teacher that is asked has left out in turn; 0: it answers the rows it has seen."""
        asked = self.teacher.teachers if isinstance(self.teacher, EnsembleTeacher) else [self.teacher]
        return [len(getattr(one, "folds", ())) for one in asked]

    def meet(self) -> None:
        """Ask a teacher that comes trained about a few rows, and build any other: what is wrong is refused at once."""
        for member in self.members:
            member.meet()
        if self.members or self.kind == "service":
            return
        if ready(self.section, self.given):
            _ = self.teacher
        elif self.name in TEXT_MODELS:
            refuse_other_rows(self.name, text=self.context.data.encoder.text is not None)
        elif self.fitted_here:
            make_estimator(self.context.task.teachers.ESTIMATORS, self.name, self.section.settings, seed=0)
        elif self.section.hub is None:
            self.whole.net()

    @property
    def forms(self) -> list[dict[str, Any]]:
        """What the answers of each teacher are that comes trained, and how that was decided."""
        asked = [member.forms for member in self.members]
        form = getattr(getattr(whole_of(self.teacher), "read", None), "form", {}) if self.handed_over else {}
        return [one for forms in asked for one in forms] if asked else [form] if form else []

    @cached_property
    def teacher(self) -> Teacher:
        """The teacher: given, loaded, fitted now (trees), or trained before (nets)."""
        context = self.context
        if self.members:
            return EnsembleTeacher(
                [m.teacher for m in self.members],
                context.task,
                context.recipe.teacher.combine,
                labels=self.seen,
                labelled_views=context.views.labelled,
            )
        if self.fitted_here:
            return self.fit_at_once()
        if self.weights is not None:
            loaded: Teacher = context.task.enter_teacher(self.answering(self.whole.load(self.weights)))
            return loaded
        if ready(self.section, self.given):
            ready_teacher = self.asked_here(build_teacher(context, self.section, self.given, self.layers))
            if self.kind != "service" and not context.task.streamed:
                ready_teacher.outputs(probe_of(context))  # what its answers are is decided here, once
            return cast(Teacher, context.task.enter_teacher(ready_teacher))
        whole, *folds = [self.answering(net.load()) for net in self.nets]
        return whole if self.fold_of is None else self.asked_here(CrossFitted(folds, self.fold_of, whole))

    def asked_here(self, teacher: Teacher) -> Teacher:
        """A teacher that answers out of fold, by the numbers of the student's rows in place of its own."""
        self.by_own_numbers = teacher
        return teacher if self.context.whole is None else renumbered(teacher, self.context.places)

    def of_all_rows(self) -> Teacher:
        """The teacher, asked by the numbers of all rows that it may learn from, not by those of the student's."""
        found: Teacher = self.teacher
        if not isinstance(getattr(found, "inner", found), CrossFitted):
            return found
        own = self.by_own_numbers
        assert own is not None
        return cast(Teacher, self.context.task.enter_teacher(own)) if self.handed_over else own

    def answering(self, net: nn.Module) -> ModuleTeacher:
        """A net as a teacher."""
        context, task = self.context, self.context.task
        precision, device = context.recipe.store.teacher_precision, context.device
        return ModuleTeacher(net, task, context.spec, self.layers, precision, kind=own_kind(task), device=device)

    def fit_at_once(self) -> Teacher:
        """A model of scikit-learn or of texts, fitted to the labels it may see, and once more without each fold."""
        context = self.learning
        labelled = torch.nonzero(has_label(self.visible)).flatten()
        rows, weights = counted_rows(context, self.visible, labelled)
        with context.run.timed("train teachers"), stage(f"{self.label}: {self.name}", 1, "fits") as advance:
            labels, folds = self.visible if weights is None else only(self.visible, rows), self.section.folds or FOLDS
            if self.name in TEXT_MODELS:
                fitted = fit_texts(context, self.section, labels, weights, folds=folds)
            else:
                fitted = fit_sklearn(
                    self.name,
                    self.section.settings,
                    context.data.train.inputs,
                    labels,
                    weights,
                    task=context.task,
                    spec=context.spec,
                    folds=folds,
                    seed=context.recipe.data.seed,
                )
            advance(1)
        return self.asked_here(fitted)

    @property
    def is_net(self) -> bool:
        """Whether a net answers rows that no teacher was trained on."""
        return isinstance(whole_of(self.teacher), ModuleTeacher)

    @property
    def module(self) -> nn.Module:
        """The teacher as a module from inputs to outputs, for the cost table."""
        whole = whole_of(self.teacher)
        return whole.module if isinstance(whole, ModuleTeacher) else AsModule(whole)

    @property
    def example(self) -> Tensor:
        """Two rows as it reads them."""
        return self.context.data.train.inputs[:2]

    def origin(self) -> tuple[nn.Module, dict[str, Any]]:
        """The net that a student is cut out of, trained if it is trained already, and its card.

        Raises:
            UsageError: this teacher is no net.
        """
        if self.nets:
            net = self.whole.net() if self.trainable else self.module
        elif self.is_net:
            net = self.module
        else:
            raise UsageError("[student.derive] needs a teacher that is a net: a zoo name, a module, or [teacher] hub.")
        inner = merged(net)
        own = self.given is not None and not self.whole.of_hub(inner)
        return inner, {} if own else self.whole.card(inner)

    def ask(
        self, advance: Advance, share: Callable[[int], Iterable[int]] | None = None, folder: Path | None = None
    ) -> Store:
        """Its answers to every training row and view; asked now where they are not there yet.

        Args:
            advance: called with numbers of rows.
            share: of a store in parts; see ``teachers.label``.
            folder: of the run that the store belongs to; None: this one.
        """
        place = (folder or self.context.run.folder) / self.arm.replace(TEACHER, "store")
        return ask_all(self.teacher, self.context, self.layers, place, advance, share)

    def outputs(self, part: str) -> NDArray[np.float32]:
        """Its normalized outputs for the rows of "valid" or "test", (N, *shape)."""
        rows = getattr(self.context.data, part)
        ids = torch.full((len(rows.inputs),), -1)
        found = answers_of(self.teacher, self.context.task, rows.inputs, ids, self.context.raw(part))
        broken = np.asarray(np.isnan(found).reshape(len(found), -1).any(1))
        if broken.any():
            numbers = np.asarray(getattr(self.context.data.split, part))[broken]
            raise RejectedError(
                f"The teacher answered NaN, or infinity, for {len(numbers)} of the {len(found)} {part} rows; the first "
                f"are rows {', '.join(map(str, numbers[:5]))} of the data (counted from 0). Fix the teacher or those "
                "rows."
            )
        return found


def train_teachers(context: RunContext, teachers: Sequence[RunTeacher], workers: int) -> None:
    """Train the teachers that need it, side by side."""
    nets = [net for teacher in teachers for net in teacher.trainable]
    if nets:
        total = sum(net.budget.steps for net in nets)
        title = several(len(nets), "teacher")
        with context.run.timed("train teachers"), stage(title, total, "steps") as advance:
            run_all(nets, lambda net, report: net.train(report), workers, advance)


def ask_teachers(context: RunContext, teachers: Sequence[RunTeacher], workers: int) -> dict[str, Store]:
    """Train the teachers that need it, and ask each about every row and view; returns the stores by arm."""
    train_teachers(context, teachers, workers)
    stores = {}
    for teacher in teachers:
        context.views.ready()
        rows, views = len(context.data.train.targets), context.views.count
        built = teacher.teacher  # trees are fitted now, before the clock of the answers starts
        title = f"{teacher.label}: {several(views, 'view')} a row, {built.parameters:,} parameters"
        with context.run.timed("ask teachers"), stage(title, rows, "rows") as advance:
            stores[teacher.arm] = teacher.ask(advance)
    return stores
