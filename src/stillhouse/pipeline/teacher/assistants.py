"""Teachers between the first one and the student: assistants of sizes between, and earlier generations of the student.

Both are nets trained by the same engine with the run's own methods, views and labels, each by the answers of the one
before, and then asked as any teacher is.

Teacher assistant: Mirzadeh, Farajtabar, Li, Levine, Matsukawa, Ghasemzadeh, "Improved Knowledge Distillation via
Teacher Assistant", AAAI 2020. Born-again generations: Furlanello, Lipton, Tschannen, Itti, Anandkumar, "Born Again
Neural Networks", ICML 2018; there teacher and student are of one kind, here the first teacher may be any.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stillhouse.data import Rows, Stream
from stillhouse.engine import CHECKPOINT, LOG, Budget, fit, read_weights, tensor_state, write_weights
from stillhouse.errors import UsageError
from stillhouse.pipeline.context import Ingredients, budget_of
from stillhouse.pipeline.labels import only
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.run.progress import Advance, stage
from stillhouse.pipeline.run.workers import run_all
from stillhouse.pipeline.student.factory import NetMaker, make_students
from stillhouse.pipeline.student.step import matched_step, ships_parts
from stillhouse.pipeline.teacher.answers import ask_all
from stillhouse.pipeline.teacher.labeling import Teaching
from stillhouse.pipeline.teacher.train import WEIGHTS
from stillhouse.pipeline.user_code import CODE
from stillhouse.recipe import Recipe, StudentSection
from stillhouse.store import Store
from stillhouse.taps import EMBEDDING
from stillhouse.teachers import ModuleTeacher, StoredTeacher


class Link:
    """One net of a chain: it learns as the student does, from the one before, and teaches the one after.

    Args:
        run: the run folder.
        recipe: the recipe.
        have: the run's ingredients.
        before: who teaches it.
        name: as logs and folders call it: "assistant_1", "generation_1".
        make: builds the net.
        budget: what its training may spend.
    """

    def __init__(
        self,
        run: RunFolder,
        recipe: Recipe,
        have: Ingredients,
        before: Teaching | Link,
        name: str,
        make: NetMaker,
        budget: Budget,
    ) -> None:
        self.run, self.recipe, self.have, self.before = run, recipe, have, before
        self.name, self.make, self.budget = name, make, budget
        self.arm: str = before.arm
        self.layers: list[str] = before.layers
        self.folder: Path = run.folder / "links" / self.arm / name

    @property
    def trained(self) -> bool:
        """Whether its training has ended."""
        return (self.folder / WEIGHTS).exists()

    def train(self, store: Store, advance: Advance) -> None:
        """Train it on every row by the answers of the one before, with the labels that the student sees."""
        net, data, seed = self.fresh(), self.have.data, self.recipe.data.seed
        answers = StoredTeacher(store)
        step = matched_step(net, self.have, self.recipe.training, answers, self.before.module)
        torch.manual_seed(seed)
        everything = torch.arange(len(data.train.targets))
        trained = fit(
            step,
            Rows(data.train.inputs, only(data.train.targets, self.have.labelled)),
            Stream(everything, batch_size=self.budget.batch_size, seed=seed, views=self.have.views.count),
            self.have.views,
            self.budget,
            folder=self.folder,
            identity=f"{self.run.record['digest']}/{self.arm}/{self.name}",
            answer=answers.outputs,
            valid=data.valid,
            tags={"arm": self.name if self.arm == "teacher" else f"{self.name}_same", "seed": "-"},
            advance=advance,
        )
        write_weights(self.folder / WEIGHTS, tensor_state(trained))
        (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def fresh(self) -> nn.Module:
        """The net before training."""
        torch.manual_seed(self.recipe.data.seed)
        return self.make()

    @cached_property
    def teacher(self) -> ModuleTeacher:
        """The trained net as a teacher."""
        net = self.fresh()
        net.load_state_dict(read_weights(self.folder / WEIGHTS)[0])
        return ModuleTeacher(net, self.have.task, self.have.spec, self.layers)

    @property
    def module(self) -> nn.Module:
        """The trained net."""
        return self.teacher.module

    def ask(self, advance: Advance) -> Store:
        """Its answers to every training row and view; asked now where they are not there yet."""
        return ask_all(self.teacher, self.have, self.recipe, self.layers, self.folder / "store", advance)

    def card(self) -> dict[str, Any]:
        """What ``run.json`` says of it."""
        labels = len(self.have.labelled)
        return {"name": self.name, "first": self.arm, "parameters": self.teacher.parameters, "labels": labels}


def make_chain(run: RunFolder, recipe: Recipe, have: Ingredients, first: Teaching) -> list[Link]:
    """The links behind a first teacher, in order: the assistants, then all generations but the last.

    Raises:
        UsageError: a method asks for what a chain of different nets does not have.
    """
    shape, rows = tuple(have.data.train.inputs.shape[1:]), len(have.data.train.targets)
    planned: list[tuple[str, NetMaker, Budget]] = []
    for number, assistant in enumerate(recipe.assistant, 1):
        section = StudentSection(name=assistant.name, settings=assistant.settings)
        vocabulary = getattr(have.data.encoder, "vocabulary", None)
        own_code = assistant.name.startswith(CODE)
        make = make_students(
            section, None, shape=shape, classes=have.classes, vocabulary=vocabulary, allow_code=own_code
        ).make
        budget = budget_of(assistant.training or recipe.training, rows)
        planned.append((f"assistant_{number}", make, budget))
    own = budget_of(recipe.training, rows)
    planned += [(f"generation_{n}", have.students.make, own) for n in range(1, recipe.teacher.generations)]
    if planned:
        refuse_fixed_layers(have)
    links: list[Link] = []
    for name, make, budget in planned:
        links.append(Link(run, recipe, have, links[-1] if links else first, name, make, budget))
    return links


def refuse_fixed_layers(have: Ingredients) -> None:
    """A chain's nets have different layers, and a method's paths name those of one pair."""
    for name, method, _ in have.make_methods():
        if ships_parts(method) or {*method.student_layers, *method.teacher_layers} - {EMBEDDING}:
            raise UsageError(
                f"[[method]] {name!r} matches layers of one teacher and one student, and [[assistant]] or "
                "`[teacher] generations` put further nets between them. Match what every net has, such as "
                '`[[method]] name = "hinton"` or `"embedding"`, or take the chain away.'
            )


def teach_links(
    run: RunFolder, chains: dict[str, Sequence[Link]], stores: dict[str, Store], workers: int
) -> dict[str, Store]:
    """Train and ask the links one after the other, those of different first teachers side by side.

    Args:
        run: the run folder.
        chains: by first teacher, its links; all of one length.
        stores: by first teacher, its answers.
        workers: processes at most.

    Returns:
        By first teacher, the answers of the last in its chain.
    """
    now = dict(stores)
    for level in zip(*(chains[arm] for arm in stores), strict=True):
        to_train = [link for link in level if not link.trained]
        if to_train:
            title, total = f"training {level[0].name}", sum(link.budget.steps for link in to_train)
            with run.timed("train teachers"), stage(title, total, "steps") as advance:
                run_all(to_train, lambda link, told: link.train(now[link.arm], told), workers, advance)
        for link in level:
            title = f"{link.name}: {link.have.views.count} views a row, {link.teacher.parameters:,} parameters"
            with run.timed("ask teachers"), stage(title, len(link.have.data.train.targets), "rows") as advance:
                now[link.arm] = link.ask(advance)
    if any(chains.values()):
        run.note(chain=[link.card() for arm in stores for link in chains[arm]])
    return now


def logs_of(chains: dict[str, Sequence[Link]]) -> list[Path]:
    """Where the links' metrics are."""
    return [link.folder / LOG for links in chains.values() for link in links]
