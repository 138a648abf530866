"""Makers that are trained: rounds against a frozen student, whose rows are all kept."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from stillhouse import hashes, writing
from stillhouse.archives import open_npz
from stillhouse.data import Prepared, Rows, StoredBatches, Views
from stillhouse.data.encoders.made import kept_rows, with_rows
from stillhouse.data.source import Raw
from stillhouse.engine import CHECKPOINT, Budget, fit
from stillhouse.errors import UsageError
from stillhouse.files import write_npz
from stillhouse.makers import base as makers
from stillhouse.pipeline.made.alarms import alarms_of, class_facts, row_facts
from stillhouse.pipeline.made.entries import APART, form_of, numbers_of, raw_arrays
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.progress import say, stage
from stillhouse.pipeline.student.step import matched_step
from stillhouse.pipeline.teacher.answers import answers_of
from stillhouse.recipe import MadeEntry
from stillhouse.task import TEACHER
from stillhouse.teachers import StoredTeacher
from stillhouse.teachers.differentiable import differentiable
from stillhouse.types import in_eval, withheld

if TYPE_CHECKING:
    from stillhouse.pipeline.teacher.labeling import RunTeacher

FOLDER = "made"  # of the run folder: rows that were made, kept for audit, never exported
SCOUT = "scout"  # in the name of the store of its answers, where the run's own views do not do
PROBE = 16  # rows on which a teacher that is differentiated must answer as it does otherwise


def folder_of(run: Path, index: int, entry: MadeEntry) -> Path:
    """Where the rows of an entry are."""
    return run / FOLDER / f"{index}-{entry.name}"


def trains(entry: MadeEntry) -> bool:
    """Whether the maker of an entry is trained."""
    return issubclass(makers.get(entry.name), makers.Trained)


class MakerTraining:
    """The rounds of all entries of a run whose makers are trained.

    Args:
        context: of the run, with rows of free makers in place of those that are made here.
        teacher: of the run, trained.
    """

    def __init__(self, context: RunContext, teacher: RunTeacher) -> None:
        self.context, self.teacher = context, teacher
        self.form = told_form(context)

    def made(self) -> RunContext:
        """The context with the rows of each entry, each entry behind the one before."""
        context, data, parts = self.context, real_of(self.context), []
        for index, (entry, part) in enumerate(zip(context.recipe.made, context.made, strict=True)):
            start = len(data.train.targets)
            sizes: tuple[int, ...] = ()
            if part.free:
                numbers = context.data.split.train[part.start : part.stop]
                data = with_rows(data, context.data.source.take(numbers))
            else:
                rounds = self.rounds(index, entry, data)
                sizes = tuple(0 if raw is None else len(raw) for raw in rounds)
                data = joined(data, [raw for raw in rounds if raw is not None])
            parts.append(part._replace(start=start, stop=len(data.train.targets), rounds=sizes))
        pool = None if context.views.pool is None else data.train.inputs
        return replace(context, data=data, made=tuple(parts), views=replace(context.views, pool=pool))

    def rounds(self, index: int, entry: MadeEntry, data: Prepared) -> list[Raw | None]:
        """The raw rows of each round of an entry, None where they are left out; ``data``: the rows before it."""
        folder, maker = folder_of(self.context.run.folder, index, entry), makers.make(entry.name, **entry.settings)
        assert isinstance(maker, makers.Trained)
        hashes.begin(folder)
        found: list[Raw] = []
        scout: nn.Module | None = None
        sizes = [entry.count // entry.rounds + (r < entry.count % entry.rounds) for r in range(entry.rounds)]
        for number, size in enumerate(sizes):
            file = folder / f"round-{number}.npz"
            if number and maker.scout_steps and not file.exists():
                scout = self.scout(folder, number, maker, joined(data, found))
            if not file.exists():
                ids = numbers_of(index, size, sum(sizes[:number]))
                raw = self.round(index, entry, maker, number, scout, ids)
                taken = with_rows(data, raw)
                rows = np.arange(len(taken.source) - len(raw), len(taken.source))
                write_npz(file, raw_arrays(taken.source, rows))
                writing.remove(folder / f"round-{number}" / CHECKPOINT)
            found.append(self.read(file))
        return [*found] if not entry.drop_alarmed else self.without_alarms(entry, data, found)

    def without_alarms(self, entry: MadeEntry, data: Prepared, found: list[Raw]) -> list[Raw | None]:
        """The rounds, None where one has an alarm; where all have one, the first stays."""
        kept: list[Raw | None] = []
        before = None
        for number, raw in enumerate(found):
            rows = with_rows(data, raw)
            inputs = rows.train.inputs[-len(raw) :]
            numbers = rows.split.train[-len(raw) :]
            ids, shown = torch.full((len(raw),), -1), rows.source.shown(numbers)
            outputs = torch.from_numpy(answers_of(self.teacher.teacher, self.context.task, inputs, ids, shown))
            real = real_of(self.context).train.inputs
            told = row_facts(inputs, rows.source.row_hashes(numbers), real)
            told |= class_facts(outputs) if self.context.task.link == "softmax" else {}
            alarms = alarms_of(told, before, self.context.spec.names)
            before = told
            kept.append(None if alarms else raw)
            if alarms and len(found) > 1:
                say(f"! [[made]] {entry.name!r}, round {number + 1} is left out: {alarms[0]}.")
        if all(raw is None for raw in kept):
            say(f"! [[made]] {entry.name!r}: each round has an alarm, and a run needs rows, so the first stays.")
            kept[0] = found[0]
        return kept

    def read(self, file: Path) -> Raw:
        """Raw rows of a round that was made."""
        hashes.check(file)
        with open_npz(file) as held:
            arrays = {name: held[name] for name in held.files}
        if set(arrays) == {"rows"}:
            rows: Raw = arrays["rows"]
            return rows
        return self.form.from_cells(arrays)

    def round(
        self, index: int, entry: MadeEntry, maker: makers.Trained, number: int, scout: nn.Module | None, ids: Any
    ) -> Raw:
        """One round: train the maker and make its rows; no two entries train the same generator."""
        folder = folder_of(self.context.run.folder, index, entry)
        context, title = self.context, f"making rows: {entry.name}, round {number + 1} of {entry.rounds}"
        with context.run.timed("make rows"), stage(title, maker.steps, "steps") as advance:
            shop = makers.Workshop(
                self.form,
                self.asked(entry) if makers.GRADIENT in maker.needs else None,
                context.spec.width,
                scout,
                number,
                context.recipe.data.seed + index * APART,
                folder / f"round-{number}",
                f"{context.run.record['digest']}/{folder.name}/{number}",
                advance=advance,
                say=say,
                **self.real(maker),
            )
            return maker.make_round(shop, ids)

    def real(self, maker: makers.Trained) -> dict[str, Any]:
        """Encoded real rows and the teacher's outputs for them, where a maker needs them."""
        own = real_of(self.context)
        if makers.ROWS not in maker.needs:
            return {}
        rows = torch.arange(len(own.train.inputs))
        shown = self.context.shown(rows.numpy())
        answers = answers_of(self.teacher.teacher, self.context.task, own.train.inputs, rows, shown)
        return {"real": own.train.inputs, "answers": torch.from_numpy(answers)}

    def asked(self, entry: MadeEntry) -> nn.Module:
        """The teacher, frozen, with a gradient to its inputs.

        Raises:
            UsageError: it cannot be differentiated; the message names makers that need no gradient.
        """
        found = differentiable(self.teacher.teacher, self.context.data.train.inputs[:PROBE])
        if found is None:
            raise no_gradient(entry, self.form, self.teacher.name)
        return found

    def scout(self, folder: Path, number: int, maker: makers.Trained, data: Prepared) -> nn.Module:
        """A student of the rows so far, frozen; it is no student of the comparison."""
        context = self.context
        teacher, views = copy.copy(self.teacher), context.views
        if views.pool is not None:  # each row is mixed with others, and later rounds bring more of these
            views = Views("none", 1, 0.0, context.recipe.data.seed)
            teacher.arm = f"{TEACHER}_{SCOUT}"
        teacher.context = own = replace(context, data=data, made=(), views=views)
        rows = len(data.train.targets)
        with context.run.timed("ask teachers"), stage("the teacher answers made rows", rows, "rows") as advance:
            answers = StoredTeacher(teacher.ask(advance))
        steps = maker.scout_steps
        seed = scout_seed(context.recipe.data.seed * 1000 + number, context.recipe.training.seeds)
        torch.manual_seed(seed)
        training = context.recipe.training
        budget = Budget(steps, min(training.batch_size or 128, rows), training.lr, training.weight_decay, device="cpu")
        step = matched_step(context.students.make(), own, answers, self.teacher)
        every = torch.arange(rows)
        stream = own.stream(every, batch_size=budget.batch_size, seed=seed, views=own.views.count)
        where = folder / f"scout-{number}"
        with context.run.timed("make rows"), stage(f"scout of round {number + 1}", steps, "steps") as advance:
            trained = fit(
                step,
                StoredBatches(Rows(data.train.inputs, withheld(data.train.targets)), stream, own.views),
                budget,
                folder=where,
                identity=f"{context.run.record['digest']}/{folder.name}/scout/{number}",
                answer=answers.outputs,
                tags={"arm": f"made/{folder.name}/scout", "seed": number},
                advance=advance,
            )
        return in_eval(trained).requires_grad_(False)


def scout_seed(start: int, judged: Sequence[int]) -> int:
    """The first seed from this one that no judged student has: what makers are trained against is none of these."""
    return next(seed for seed in count(start) if seed not in judged)


def refuse_no_gradient(context: RunContext, teacher: RunTeacher) -> None:
    """Refuse a teacher that trained makers cannot use, before anything is trained.

    Raises:
        UsageError: names makers that need no gradient.
    """
    wanting = (one for one in context.recipe.made if makers.GRADIENT in makers.make(one.name, **one.settings).needs)
    entry = next(wanting, None)
    if entry is None or teacher.nets:  # a net that is trained here answers with its outputs
        return
    asked = None if teacher.members or not teacher.handed_over or teacher.kind == "service" else teacher.teacher
    if asked is None or differentiable(asked, context.data.train.inputs[:PROBE]) is None:
        raise no_gradient(entry, told_form(context), teacher.name)


def no_gradient(entry: MadeEntry, form: makers.Form, teacher: str) -> UsageError:
    """The error for a teacher that cannot be differentiated."""
    free = ", ".join(makers.free(form, plain=False)) or "none for such rows"
    return UsageError(
        f"[[made]] {entry.name!r} needs a teacher that can be differentiated: a net whose answers are its outputs. The "
        f"teacher {teacher!r} cannot be. These makers need only its answers: {free}."
    )


def told_form(context: RunContext) -> makers.Form:
    """What makers are told of the rows of a run."""
    return form_of(real_of(context), context.whole, classes=context.task.link == "softmax")


def real_of(context: RunContext) -> Prepared:
    """The data of a run without the rows that were made."""
    data, count = context.data, context.real_rows
    if not context.made:
        return data
    return kept_rows(data, replace(data.split, train=data.split.train[:count]))


def joined(data: Prepared, rows: Sequence[Raw]) -> Prepared:
    """The data with the rows of some rounds behind them."""
    for raw in rows:
        data = with_rows(data, raw)
    return data
