"""One teacher of a run: made when it is first needed, asked once, its answers kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.pipeline.context import Ingredients
from stillhouse.pipeline.labels import only
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.run.progress import Advance, stage
from stillhouse.pipeline.run.workers import run_all
from stillhouse.pipeline.teacher.answers import AsModule, answers_of, ask_all
from stillhouse.pipeline.teacher.build import NET_FILE, appoint, kind_of, ready
from stillhouse.pipeline.teacher.train import TeacherNet
from stillhouse.recipe import Member, Recipe
from stillhouse.store import Store
from stillhouse.teachers import SKLEARN_NAMES, CrossFitted, EnsembleTeacher, ModuleTeacher, fit_sklearn, fold_of
from stillhouse.teachers.crossfit import rows_seen, whole_of
from stillhouse.teachers.hub.nets import TokenNet
from stillhouse.teachers.hub.tuning import merged
from stillhouse.types import Teacher

FOLDS = 5  # of models of scikit-learn, where the recipe does not say; a net is a training for each, so none


class Teaching:
    """A teacher arm, or one member of it.

    Args:
        run: the run folder.
        recipe: the recipe.
        have: the run's ingredients.
        arm: "teacher" or "teacher_same".
        visible: int64 (N,) labels of the training rows, -1 where this teacher may not see them.
        section: what the recipe says of it; None: [teacher].
        given: what came from Python in its place.
        folder: where it is kept; None: named as the arm.
    """

    def __init__(
        self,
        run: RunFolder,
        recipe: Recipe,
        have: Ingredients,
        arm: str,
        visible: Tensor,
        section: Member | None = None,
        given: Any = None,
        folder: Path | None = None,
    ) -> None:
        self.run, self.recipe, self.have, self.arm, self.visible = run, recipe, have, arm, visible
        self.section: Member = section or recipe.teacher
        self.given = given if section is not None or arm != "teacher" else have.teacher
        self.folder = folder or run.folder / arm
        self.layers = sorted({path for _, m, _ in have.make_methods() for path in m.teacher_layers})
        if arm != "teacher":  # what came ready has seen other labels: this one is trained here, on the student's own
            self.section = self.section.model_copy(update={"file": None})
        self.kind = kind_of(self.section, self.given)
        self.members = self.make_members()

    def make_members(self) -> list[Teaching]:
        """The teachers whose answers are joined, each a teacher of its own."""
        if self.kind != "members":
            return []
        sections = self.recipe.teacher.member
        pairs = [(self.section, one) for one in self.given] if self.given else [(one, None) for one in sections]
        return [
            Teaching(self.run, self.recipe, self.have, self.arm, self.visible, section, given, self.folder / str(i))
            for i, (section, given) in enumerate(pairs)
        ]

    def look_in(self, folder: Path) -> None:
        """Find in another folder what an earlier run has trained."""
        self.folder = folder
        for number, member in enumerate(self.members):
            member.look_in(folder / str(number))

    @property
    def name(self) -> str:
        """The kind of model that teaches, by its name in the recipe."""
        weights = self.kind == "file" and self.section.file is not None and self.section.file.suffix == NET_FILE
        if weights or (self.kind in ("net", "fitted here") and self.section.hub is None):
            return self.whole.name
        return self.section.hub or (self.section.file.name if self.section.file else self.kind)

    @property
    def labels_seen(self) -> int | None:
        """Labels used to train it here; None for a teacher that was handed over."""
        return None if self.handed_over else int((self.visible >= 0).sum())

    @property
    def handed_over(self) -> bool:
        """Whether it came ready, from Python, a file, a hub folder or a service."""
        return all(m.handed_over for m in self.members) if self.members else ready(self.section, self.given)

    @property
    def fitted_here(self) -> bool:
        """Whether it is a model of scikit-learn that is fitted in this run."""
        return self.kind in ("net", "fitted here") and self.name in SKLEARN_NAMES

    @property
    def whole(self) -> TeacherNet:
        """The net that sees every label this teacher may see."""
        return self.net_of(self.visible, self.folder)

    def net_of(self, visible: Tensor, folder: Path) -> TeacherNet:
        """A net of this teacher's kind that may see some labels."""
        return TeacherNet(self.run, self.recipe, self.have, self.section, self.arm, self.layers, visible, folder)

    @cached_property
    def fold_of(self) -> NDArray[np.int64] | None:
        """For each training row the fold whose net does not see it, int64 (N,); None: one net answers all rows."""
        if self.section.folds is None or self.kind != "net" or self.fitted_here:
            return None
        return fold_of(self.visible.numpy(), self.section.folds, self.recipe.data.seed, self.name)

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

    @cached_property
    def teacher(self) -> Teacher:
        """The teacher: given, loaded, fitted now (trees), or trained before (nets)."""
        if self.members:
            return EnsembleTeacher(
                [m.teacher for m in self.members],
                self.have.task,
                self.recipe.teacher.combine,
                labels=self.visible,
                labelled_views=self.have.views.labelled,
            )
        if self.fitted_here:
            return self.fit_trees()
        weights = self.section.file if self.kind == "file" else None
        if weights is not None and weights.suffix == NET_FILE:
            return self.answering(self.whole.load(weights))
        if ready(self.section, self.given):
            data = self.have.data
            return appoint(
                self.section,
                self.given,
                task=self.have.task,
                spec=self.have.spec,
                decode=data.encoder.decode,
                probe=data.source.take(data.split.train[:4]),
                layers=self.layers,
                precision=self.recipe.store.teacher_precision,
                folder=self.run.folder,
            )
        whole, *folds = [self.answering(net.load()) for net in self.nets]
        return whole if self.fold_of is None else CrossFitted(folds, self.fold_of, whole)

    def answering(self, net: nn.Module) -> ModuleTeacher:
        """A net as a teacher."""
        return ModuleTeacher(net, self.have.task, self.have.spec, self.layers, self.recipe.store.teacher_precision)

    def fit_trees(self) -> Teacher:
        """A model of scikit-learn, fitted to the labels it may see, and once more without each fold."""
        section, inputs, seed = self.section, self.have.data.train.inputs, self.recipe.data.seed
        with self.run.timed("train teachers"), stage(f"{self.arm}: {self.name}", 1, "fit") as advance:
            fitted = fit_sklearn(
                self.name,
                section.settings,
                inputs,
                self.visible,
                task=self.have.task,
                spec=self.have.spec,
                folds=section.folds or FOLDS,
                seed=seed,
            )
            advance(1)
        return fitted

    @property
    def is_net(self) -> bool:
        """Whether a net answers rows that no teacher was trained on."""
        return isinstance(whole_of(self.teacher), ModuleTeacher)

    @property
    def module(self) -> nn.Module:
        """The teacher as a module from inputs to logits, for the cost table."""
        whole = whole_of(self.teacher)
        return whole.module if isinstance(whole, ModuleTeacher) else AsModule(whole)

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
        own = self.given is not None and not isinstance(inner, TokenNet)
        return inner, {} if own else self.whole.card(inner)

    def ask(self, advance: Advance) -> Store:
        """Its answers to every training row and view; asked now where they are not there yet."""
        folder = self.run.folder / self.arm.replace("teacher", "store")
        return ask_all(self.teacher, self.have, self.recipe, self.layers, folder, advance)

    def log_probs(self, part: str) -> np.ndarray:
        """Normalised log-probabilities float32 (N, C) of the rows of "valid" or "test"."""
        inputs, raw = getattr(self.have.data, part).inputs, self.have.raw(part)
        return answers_of(self.teacher, inputs, torch.full((len(inputs),), -1), raw)


def teach_all(run: RunFolder, teachings: Sequence[Teaching], workers: int) -> dict[str, Store]:
    """Train the teachers that need it, side by side, and ask each about every row and view; returns the stores."""
    to_train = [net for t in teachings for net in t.trainable]
    if to_train:
        total = sum(net.budget.steps for net in to_train)
        with run.timed("train teachers"), stage(f"training {len(to_train)} teacher(s)", total, "steps") as advance:
            run_all(to_train, lambda net, told: net.train(told), workers, advance)
    stores = {}
    for teaching in teachings:
        teaching.have.views.ready()
        rows, views = len(teaching.visible), teaching.have.views.count
        made = teaching.teacher  # trees are fitted now, before the clock of the answers starts
        title = f"{teaching.arm}: {views} views a row, {made.parameters:,} parameters"
        with run.timed("ask teachers"), stage(title, rows, "rows") as advance:
            stores[teaching.arm] = teaching.ask(advance)
    return stores
