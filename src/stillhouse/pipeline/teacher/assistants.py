"""Nets between the first teacher and the student: assistants of sizes between, and earlier generations of the student.

Both are trained by the same engine with the run's own methods, views and labels, each by the answers of the one before,
and are then asked as any teacher is.

Teacher assistant: Mirzadeh, Farajtabar, Li, Levine, Matsukawa, Ghasemzadeh, "Improved Knowledge Distillation via
Teacher Assistant", AAAI 2020. Born-again generations: Furlanello, Lipton, Tschannen, Itti, Anandkumar, "Born Again
Neural Networks", ICML 2018; there teacher and student are of one kind, here the first teacher may be any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse import hashes
from stillhouse.data import Rows, StoredBatches
from stillhouse.engine import CHECKPOINT, LOG, Budget, fit, read_weights, tensor_state, write_weights
from stillhouse.errors import UsageError
from stillhouse.pipeline.run.context import RunContext, budget_of
from stillhouse.pipeline.run.labels import counted_rows, only
from stillhouse.pipeline.run.progress import Advance, show_metrics, stage
from stillhouse.pipeline.run.user_code import CODE
from stillhouse.pipeline.run.workers import run_all
from stillhouse.pipeline.student.config import WEIGHTS
from stillhouse.pipeline.student.factory import make_students
from stillhouse.pipeline.student.step import matched_step, ships_parts
from stillhouse.pipeline.teacher.answers import ask_all
from stillhouse.pipeline.teacher.labeling import RunTeacher
from stillhouse.recipe import StudentSection
from stillhouse.reporting.wording import several
from stillhouse.store import Store
from stillhouse.taps import EMBEDDING
from stillhouse.task import TEACHER
from stillhouse.teachers import ModuleTeacher, StoredTeacher


class Assistant:
    """One net of a chain, ``name`` "assistant_1" or "generation_1": trained as the student is, by the one before."""

    def __init__(
        self,
        context: RunContext,
        before: RunTeacher | Assistant,
        name: str,
        make: Callable[[], nn.Module],
        budget: Budget,
    ) -> None:
        self.context, self.before = context, before
        self.name, self.make, self.budget = name, make, budget
        self.arm: str = before.arm
        self.layers: list[str] = before.layers
        self.folder: Path = context.run.folder / "links" / self.arm / name

    @property
    def trained(self) -> bool:
        """Whether its training has ended."""
        return (self.folder / WEIGHTS).exists() and hashes.complete(self.folder)

    def train(self, store: Store, advance: Advance) -> None:
        """Train it on every row by the answers of the one before, with the labels that the student sees."""
        context, net, seed = self.context, self.fresh(), self.context.recipe.data.seed
        answers, data = StoredTeacher(store), context.data
        step = matched_step(net, context, answers, self.before)
        torch.manual_seed(seed)
        targets = only(data.train.targets, context.labelled)
        chosen, weights = counted_rows(context, targets, torch.arange(len(targets)))
        stream = context.stream(chosen, batch_size=self.budget.batch_size, seed=seed, views=context.views.count)
        rows = Rows(data.train.inputs, targets, weights)
        trained = fit(
            step,
            StoredBatches(rows, stream, context.views),
            self.budget,
            folder=self.folder,
            identity=f"{context.run.record['digest']}/{self.arm}/{self.name}",
            answer=answers.outputs,
            valid=context.watched,
            validation=context.task.validation,
            monitor=context.task.monitor,
            tags={"arm": self.name if self.arm == TEACHER else f"{self.name}_same", "seed": "-"},
            advance=advance,
            on_log=show_metrics,
        )
        write_weights(self.folder / WEIGHTS, tensor_state(trained))
        hashes.remove(self.folder / CHECKPOINT)

    def fresh(self) -> nn.Module:
        """The net before training."""
        torch.manual_seed(self.context.recipe.data.seed)
        return self.make()

    @cached_property
    def teacher(self) -> ModuleTeacher:
        """The trained net as a teacher."""
        net = self.fresh()
        net.load_state_dict(read_weights(self.folder / WEIGHTS)[0])
        return ModuleTeacher(net, self.context.task, self.context.spec, self.layers, device=self.context.device)

    @property
    def module(self) -> nn.Module:
        """The trained net."""
        return self.teacher.module

    @property
    def example(self) -> Tensor:
        """Two rows as it reads them."""
        return self.context.data.train.inputs[:2]

    def ask(self, advance: Advance) -> Store:
        """Its answers to every training row and view; asked now where they are not there yet."""
        return ask_all(self.teacher, self.context, self.layers, self.folder / "store", advance)

    def card(self) -> dict[str, Any]:
        """Its entry in ``run.json``."""
        labels = len(self.context.labelled)
        return {"name": self.name, "first": self.arm, "parameters": self.teacher.parameters, "labels": labels}


def make_assistants(context: RunContext, students: RunContext, first: RunTeacher) -> list[Assistant]:
    """The nets behind a first teacher, in order: the assistants, then all generations but the last.

    Args:
        context: of the run; assistants read the rows as the teacher does.
        students: the run as its students read it.
        first: the teacher.

    Raises:
        UsageError: a method matches layers, which a chain of different nets does not share.
    """
    recipe, rows = context.recipe, len(context.data.train.targets)
    planned: list[tuple[str, RunContext, Callable[[], nn.Module], Budget]] = []
    for number, assistant in enumerate(recipe.assistant, 1):
        made = make_students(
            StudentSection(name=assistant.name, settings=assistant.settings),
            None,
            shape=tuple(context.data.train.inputs.shape[1:]),
            outputs=context.spec.width,
            vocabulary=None if context.data.encoder.text is None else context.data.encoder.text.vocabulary,
            allow_code=assistant.name.startswith(CODE),
            rows=context.data.train.inputs,
        )
        planned.append(
            (
                f"assistant_{number}",
                context,
                made.make,
                budget_of(assistant.training or recipe.training, rows, recipe.training.device),
            )
        )
    own = budget_of(recipe.training, rows)
    planned += [(f"generation_{n}", students, context.students.make, own) for n in range(1, recipe.teacher.generations)]
    if planned:
        refuse_fixed_layers(context)
    chain: list[Assistant] = []
    for name, read, make, budget in planned:
        chain.append(Assistant(read, chain[-1] if chain else first, name, make, budget))
    return chain


def refuse_fixed_layers(context: RunContext) -> None:
    """Refuse methods that match layers by path: the nets of a chain have different ones."""
    for name, method, _ in context.make_methods():
        if ships_parts(method) or {*method.student_layers, *method.teacher_layers} - {EMBEDDING}:
            raise UsageError(
                f"[[method]] {name!r} matches layers of one teacher and one student, but [[assistant]] or "
                "`[teacher] generations` put further nets between them. Match what every net has, such as "
                '`[[method]] name = "hinton"` or `"embedding"`, or remove the chain.'
            )


def ask_assistants(
    context: RunContext, chains: Mapping[str, Sequence[Assistant]], stores: Mapping[str, Store], workers: int
) -> dict[str, Store]:
    """Train and ask the assistants one after the other, those of different first teachers side by side.

    Args:
        context: of the run.
        chains: by first teacher, its assistants; all of the same length.
        stores: by first teacher, its answers.
        workers: the largest number of processes.

    Returns:
        By first teacher, the answers of the last in its chain.
    """
    now = dict(stores)
    for level in zip(*(chains[arm] for arm in stores), strict=True):
        to_train = [assistant for assistant in level if not assistant.trained]
        if to_train:
            title, total = f"training {level[0].name}", sum(one.budget.steps for one in to_train)
            with context.run.timed("train teachers"), stage(title, total, "steps") as advance:
                run_all(to_train, lambda one, report: one.train(now[one.arm], report), workers, advance)
        for one in level:
            title = f"{one.name}: {several(context.views.count, 'view')} a row, {one.teacher.parameters:,} parameters"
            with context.run.timed("ask teachers"), stage(title, len(context.data.train.targets), "rows") as advance:
                now[one.arm] = one.ask(advance)
    if any(chains.values()):
        context.run.note(chain=[one.card() for arm in stores for one in chains[arm]])
    return now


def logs_of(chains: Mapping[str, Sequence[Assistant]]) -> list[Path]:
    """Where the assistants' metrics are."""
    return [one.folder / LOG for chain in chains.values() for one in chain]
