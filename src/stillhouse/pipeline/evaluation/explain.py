"""What the student learned, found with the trained nets; cheap enough for every run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stillhouse.data.targets import known
from stillhouse.evaluation import Predictions
from stillhouse.evaluation.explanation import embedding, linear_cka
from stillhouse.evaluation.predictions import Floats
from stillhouse.evaluation.surrogate import fit_surrogate
from stillhouse.files import write_json, write_npz
from stillhouse.pipeline.evaluation.labels import TEST
from stillhouse.pipeline.evaluation.predict import preview
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.folder import LEFT_OUT, read_json
from stillhouse.pipeline.student.arms import Arm
from stillhouse.pipeline.student.load import rules
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.pipeline.student.train import Trainer
from stillhouse.pipeline.teacher.labeling import RunTeacher
from stillhouse.students.trees import TreeEnsemble
from stillhouse.task import OUTPUTS, TEACHER
from stillhouse.teachers import StoredTeacher
from stillhouse.types import Batch, withheld

EXPLANATION, TAUGHT = "explanation.json", "taught.npz"
TAUGHT_ROWS = 12
MOST_ROWS = 2000  # rows whose inner pictures are compared, or that a tree is fitted to: more say no more
NO_LAYER = "it has no linear classifier whose input could be compared"


class Probe:
    """Looks into the nets of a finished run; ``test``: every net's answers to the test rows."""

    def __init__(
        self,
        context: RunContext,
        trainer: Trainer,
        arms: Sequence[Arm],
        teachers: Mapping[str, RunTeacher],
        test: Predictions,
    ) -> None:
        self.context, self.trainer, self.teachers, self.test = context, trainer, teachers, test
        self.students = trainer.context  # the run as its students read it
        self.arms = {arm.name: arm for arm in arms}
        self.seeds = trainer.seeds
        self.teacher: RunTeacher = teachers[TEACHER]
        self.student, self.baseline = context.task.shipped, context.task.baseline
        # The students compared with the teacher; a run without labels has no baseline.
        self.shown = tuple(arm for arm in (self.baseline, self.student) if arm in self.arms)

    def explain(self) -> None:
        """Write ``explanation.json`` and ``taught.npz``."""
        told = self.told()
        write_json(
            self.context.run.folder / EXPLANATION,
            {
                "schema": 1,
                "rows": len(self.test.targets),
                **told,
                "cka": self.part("the comparison of the inner layers", self.alignment),
                "taught": self.part("the rows that helped most", self.taught),
                "surrogate": self.part("the student as rules", self.surrogate, shown=False),
            },
        )

    def part(self, name: str, make: Callable[[], dict[str, Any] | None], shown: bool = True) -> dict[str, Any] | None:
        """One part of the explanation; where it fails, None, or why where the part shows that."""
        with self.context.run.optional(name):
            return make()
        return {"why": f"It failed: {self.context.run.record[LEFT_OUT][name]}."} if shown else None

    def told(self) -> dict[str, Any]:
        """The task's own part, of the rows that have a label."""
        test = self.test.labelled()
        if not known(test.targets).any():
            return {}
        shown = {arm: test.records[arm] for arm in (TEACHER, *self.shown)}
        return self.context.task.explanation(shown, test.targets, test.names)

    def net(self, arm: str, seed: int) -> nn.Module:
        """A finished student."""
        arm_ = self.arms[arm]
        return self.trainer.trained(arm_, seed, self.trainer.parts(arm_, self.teachers))

    def alignment(self) -> dict[str, Any]:
        """Linear CKA of the last hidden layer with the teacher's, by student, and between two seeds as the ceiling."""
        theirs, ours = (read.data.test.inputs[:MOST_ROWS] for read in (self.context, self.students))
        teacher = embedding(self.teacher.module, theirs)
        if teacher is None:
            return {"why": f"The teacher cannot be looked into: {NO_LAYER}."}
        found: dict[str, Any] = {"layer": "embedding", "rows": len(ours), "with_teacher": {}, "between_seeds": None}
        for arm in self.shown:
            inner = [x for s in self.seeds[:2] if (x := embedding(self.net(arm, s), ours)) is not None]
            if not inner:
                return {"why": f"The student cannot be looked into: {NO_LAYER}."}
            found["with_teacher"][arm] = float(np.mean([linear_cka(teacher, x) for x in inner]))
            if arm == self.student and len(inner) == 2:
                found["between_seeds"] = linear_cka(*inner)
        return found

    def taught(self) -> dict[str, Any]:
        """The training rows from which the baseline of the first seed would learn most by distilling."""
        task, data = self.context.task, self.students.data
        if task.influence is None:
            return {"why": "It is not defined for outputs of this kind."}
        if self.baseline not in self.arms:
            return {"why": "No student was trained on labels alone, because the rows have none."}
        control = self.net(self.baseline, self.seeds[0])
        held_out, part = (data.valid, "valid") if len(data.valid.targets) else (data.test, "test")
        hidden, held_out_hidden = embedding(control, data.train.inputs), embedding(control, held_out.inputs)
        if hidden is None or held_out_hidden is None:
            return {"why": f"The student cannot be looked into: {NO_LAYER}."}
        teacher = self.teacher_answers()
        influence = task.influence(
            task.judged(net_outputs(control, data.train.inputs, task)), teacher, hidden,
            task.judged(net_outputs(control, held_out.inputs, task)), held_out_hidden, held_out.targets.numpy(),
        )  # fmt: skip
        most = np.argsort(-influence, kind="stable")[:TAUGHT_ROWS]
        rows = data.split.train[most]
        write_npz(self.context.run.folder / TAUGHT, preview(self.context, rows))
        helped = np.maximum(influence, 0.0)
        unlabelled = np.setdiff1d(np.arange(len(influence)), self.context.labelled.numpy())
        total = float(helped.sum()) or 1.0
        return {
            "held_out": part,
            "helping": float((influence > 0).mean()),
            "unlabelled_share": float(helped[unlabelled].sum()) / total,
            "rows": [
                self.taught_row(int(i), int(row), float(influence[i]) / total, teacher[i])
                for i, row in zip(most, rows, strict=True)
            ],
        }

    def taught_row(self, position: int, row: int, share: float, teacher: Floats) -> dict[str, Any]:
        """One training row: its share of all help, the teacher's answer, and its label where the student saw one."""
        classes, labelled = self.test.names, position in set(self.context.labelled.tolist())
        truth = int(self.context.data.train.targets[position])
        order = np.argsort(-teacher, kind="stable")[:3]
        return {
            "row": row,
            "share": share,
            "labelled": labelled,
            "label": classes[truth] if truth >= 0 else None,
            "teacher": [{"class": classes[c], "probability": float(np.exp(teacher[c]))} for c in order],
        }

    def teacher_answers(self) -> Floats:
        """The teacher's normalized answers to every training row as it is, (N, *shape)."""
        train = self.context.data.train
        rows = torch.arange(len(train.inputs))
        answers = StoredTeacher(self.teacher.ask(lambda done: None))
        asked = Batch(train.inputs, withheld(train.targets), rows, torch.zeros_like(rows))
        return self.context.task.judged(answers.whole(asked).numpy())

    def surrogate(self) -> dict[str, Any] | None:
        """The rules of the shipped student where it is a tree, else a tree that answers as it does.

        None where no person could read its columns.
        """
        context, data = self.context, self.students.data
        student = self.net(self.student, self.seeds[0])
        if isinstance(student, TreeEnsemble) and len(student.roots) == 1:
            return {"leaves": int(student.is_leaf().sum()), "rules": rules(context.run.folder)}
        if not context.task.surrogate:
            return None
        chosen = np.linspace(0, len(data.split.train) - 1, min(MOST_ROWS, len(data.split.train))).astype(np.int64)
        train = data.encoder.readable(data.source.take(data.split.train[chosen]))
        test = data.encoder.readable(data.source.take(data.split.test))
        if train is None or test is None:
            return None
        answers = net_outputs(student, data.train.inputs[torch.from_numpy(chosen)], context.task).argmax(1)
        test_answers = np.asarray(self.test.records[self.student][str(self.seeds[0])][OUTPUTS]).argmax(1)
        confidence = context.recipe.evaluation.confidence
        found = fit_surrogate(train, answers, test, test_answers, self.test.targets, self.test.names, confidence)
        return found if known(self.test.targets).all() else found | {"accuracy": None}


def explained(folder: Path) -> bool:
    """Whether the files of an explanation are there."""
    if not (folder / EXPLANATION).exists():
        return False
    shown = read_json(folder / EXPLANATION).get("taught")
    return (folder / TAUGHT).exists() or not isinstance(shown, dict) or "rows" not in shown


def explain(context: RunContext, trainer: Trainer, arms: Sequence[Arm], teachers: Mapping[str, RunTeacher]) -> None:
    """Explain a judged run once; its files are there afterwards."""
    folder = context.run.folder
    if context.task.explains and not explained(folder):
        with context.run.timed("explain"):
            Probe(context, trainer, arms, teachers, Predictions.load(folder / TEST)).explain()
