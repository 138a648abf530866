"""What is known of made rows: classes, confidence, duplicates, how far they are from real ones; and alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from stillhouse import hashes
from stillhouse.data import Prepared
from stillhouse.files import write_json, write_npz
from stillhouse.makers import base as makers
from stillhouse.pipeline.made.alarms import alarms_of, class_facts, row_facts
from stillhouse.pipeline.made.entries import raw_arrays
from stillhouse.pipeline.made.training import FOLDER, folder_of
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.progress import say
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.store import Store
from stillhouse.teachers import StoredTeacher
from stillhouse.types import Batch, withheld

if TYPE_CHECKING:
    from torch import nn

    from stillhouse.pipeline.student.arms import Arm
    from stillhouse.pipeline.student.train import Trainer
    from stillhouse.pipeline.teacher.labeling import RunTeacher

FILE, SHOWN, ROWS = "made.json", "shown.npz", "rows.npz"
PICTURED = 40  # rows of a round


class MadeFacts:
    """Facts of all made rows of a run.

    Args:
        context: of the run, with all rows.
        store: the teacher's answers to them.
    """

    def __init__(self, context: RunContext, store: Store) -> None:
        self.context = context
        train = context.data.train
        self.outputs = context.task.normalize(all_answers(context.data, StoredTeacher(store)))
        # Distances are to all real rows that there are, also to those that only the teacher may use.
        self.real = train.inputs[: context.real_rows] if context.whole is None else context.whole.train.inputs
        numbers = context.data.split.train
        self.words = context.data.source.row_hashes(numbers)

    def write(self, trainer: Trainer, shipped: Sequence[Arm], teachers: Mapping[str, RunTeacher]) -> None:
        """Write ``made.json``, the rows for audit and those that the report shows; warn of alarms.

        Args:
            trainer: of the run.
            shipped: the arm whose first student is compared with the teacher, if there is one.
            teachers: of the run; what methods add to a student is built again from their answers.
        """
        context, told = self.context, []
        hashes.begin(context.run.folder / FOLDER)
        for index, (entry, part) in enumerate(zip(context.recipe.made, context.made, strict=True)):
            folder, maker = folder_of(context.run.folder, index, entry), makers.get(entry.name)
            hashes.begin(folder)
            numbers = context.data.split.train[part.start : part.stop]
            write_npz(folder / ROWS, raw_arrays(context.data.source, numbers))
            start, before, rounds = part.start, None, []
            for number, size in enumerate(part.rounds or (part.stop - part.start,)):
                if not size:  # left out for its alarm
                    continue
                before = self.of(start, start + size, before)
                rounds.append({"round": number + 1} | before)
                self.show(folder, number, start, start + size)
                for alarm in before["alarms"]:
                    say(f"! [[made]] {entry.name!r}, round {number + 1}: {alarm}.")
                start += size
            paper = "" if maker.paper is None else str(maker.paper)
            told.append({"name": entry.name, "prior": maker.prior, "paper": paper, "rounds": rounds})
        agreement = {}
        if shipped:
            student = trainer.trained(shipped[0], trainer.seeds[0], trainer.parts(shipped[0], teachers))
            agreement = self.agreement(student, trainer.context.data.train.inputs)
        seconds = {k: v for k, v in context.run.record.get("seconds", {}).items() if k in ("make rows", "ask teachers")}
        answers = len(self.outputs) * context.views.count
        facts = {"schema": 1, "made": told, "agreement": agreement, "seconds": seconds, "answers": answers}
        write_json(context.run.folder / FOLDER / FILE, facts | {"real_rows": context.real_rows})

    def of(self, start: int, stop: int, before: dict[str, Any] | None) -> dict[str, Any]:
        """The facts of some training rows, with their alarms."""
        facts = {"rows": stop - start} | row_facts(
            self.context.data.train.inputs[start:stop], self.words[start:stop], self.real
        )
        if self.context.task.link == "softmax":
            facts |= class_facts(self.outputs[start:stop])
        return facts | {"alarms": alarms_of(facts, before, self.context.spec.names)}

    def show(self, folder: Any, number: int, start: int, stop: int) -> None:
        """Keep a few rows of a round for the report, in the order of the teacher's classes or first output."""
        chosen = np.unique(np.linspace(start, stop - 1, min(PICTURED, stop - start)).astype(np.int64))
        own = self.outputs[chosen]
        order = own.argmax(1) if self.context.task.link == "softmax" else own[:, 0]
        chosen = chosen[np.argsort(order.numpy(), kind="stable")]
        numbers = self.context.data.split.train[chosen]
        shown = self.context.data.encoder.preview(self.context.data.source.take(numbers))
        classes = self.outputs[chosen].argmax(1).numpy() if self.context.task.link == "softmax" else np.empty(0)
        write_npz(folder / f"{number}-{SHOWN}", {"rows": numbers, "classes": classes, **shown})

    def agreement(self, student: nn.Module, inputs: Tensor) -> dict[str, float]:
        """Share of rows on which student and teacher have the same likeliest class, of made and of real rows.

        Args:
            student: of the run.
            inputs: all training rows, as students read them.
        """
        if self.context.task.link != "softmax":
            return {}
        real, total = self.context.real_rows, len(self.outputs)
        found = {}
        for name, (start, stop) in {"real": (0, real), "made": (real, total)}.items():
            rows = np.unique(np.linspace(start, max(stop - 1, start), min(1000, stop - start)).astype(np.int64))
            if stop > start:
                own = net_outputs(student, inputs[rows], self.context.task)
                found[name] = float((own.argmax(1) == self.outputs[rows].argmax(1).numpy()).mean())
        return found


def are_told(context: RunContext) -> bool:
    """Whether all that is known of a run's made rows is there; true of a run without any."""
    run = context.run.folder
    folders = [folder_of(run, index, entry) for index, entry in enumerate(context.recipe.made)]
    return not context.made or all(hashes.complete(one, deep=True) for one in (run / FOLDER, *folders))


def all_answers(data: Prepared, answers: StoredTeacher) -> Tensor:
    """The teacher's answers to every training row as it is, (N, *shape)."""
    rows = torch.arange(len(data.train.inputs))
    batch = Batch(data.train.inputs, withheld(data.train.targets), rows, torch.zeros_like(rows))
    return answers.whole(batch)
