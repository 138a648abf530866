"""What was handed over, found with the trained nets at hand; cheap enough for every run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.evaluation import Predictions
from stillhouse.evaluation.explanation import class_similarity, embedding, linear_cka, teaching_influence
from stillhouse.evaluation.predictions import Floats, floored
from stillhouse.evaluation.surrogate import fit_surrogate, readable
from stillhouse.files import write_json, write_npz
from stillhouse.pipeline.evaluation.score import TEST, gallery, predict_net
from stillhouse.pipeline.student.train import Arm, Trainer
from stillhouse.pipeline.teacher.labeling import Teaching
from stillhouse.teachers import StoredTeacher
from stillhouse.types import Batch

EXPLANATION, TAUGHT = "explanation.json", "taught.npz"
SHOWN = ("labels_only", "distilled")  # students held against the teacher
TAUGHT_ROWS = 12
MOST_ROWS = 2000  # rows whose inner pictures are compared, or that a tree is fitted to: more say no more
NO_LAYER = "it has no linear classifier whose input could be compared"


class Probe:
    """Looks into the nets of a finished run.

    Args:
        trainer: of the run.
        arms: of the run.
        test: every net's answers to the test rows.
    """

    def __init__(self, trainer: Trainer, arms: Sequence[Arm], test: Predictions) -> None:
        self.trainer, self.have, self.test = trainer, trainer.have, test
        self.arms = {arm.name: arm for arm in arms}
        self.seeds = trainer.recipe.training.seeds
        self.teaching: Teaching = trainer.teachings["teacher"]

    def explain(self) -> None:
        """Write ``explanation.json`` and ``taught.npz``."""
        targets, classes = self.test.targets, self.test.classes
        shown = {arm: self.test.log_probs[arm] for arm in ("teacher", *SHOWN)}
        nets = {arm: {s: floored(x) for s, x in seeds.items()} for arm, seeds in shown.items()}
        write_json(
            self.trainer.run.folder / EXPLANATION,
            {
                "schema": 1,
                "rows": len(targets),
                "class_similarity": class_similarity(nets, targets, classes),
                "cka": self.alignment(),
                "taught": self.taught(),
                "surrogate": self.surrogate(),
            },
        )

    def net(self, arm: str, seed: int) -> nn.Module:
        """A finished student."""
        return self.trainer.trained(self.arms[arm], seed)

    def alignment(self) -> dict[str, Any]:
        """Linear CKA of the last hidden layer with the teacher's, by student, and between two seeds as the ceiling."""
        inputs = self.have.data.test.inputs[:MOST_ROWS]
        teacher = embedding(self.teaching.module, inputs)
        if teacher is None:
            return {"why": f"The teacher cannot be looked into: {NO_LAYER}."}
        found: dict[str, Any] = {"layer": "embedding", "rows": len(inputs), "with_teacher": {}, "between_seeds": None}
        for arm in SHOWN:
            inner = [x for s in self.seeds[:2] if (x := embedding(self.net(arm, s), inputs)) is not None]
            if not inner:
                return {"why": f"The student cannot be looked into: {NO_LAYER}."}
            found["with_teacher"][arm] = float(np.mean([linear_cka(teacher, x) for x in inner]))
            if arm == "distilled" and len(inner) == 2:
                found["between_seeds"] = linear_cka(*inner)
        return found

    def taught(self) -> dict[str, Any]:
        """The training rows from which the labels-only student of the first seed would learn most by distilling."""
        data, control = self.have.data, self.net("labels_only", self.seeds[0])
        held_out, part = (data.valid, "valid") if len(data.valid.targets) else (data.test, "test")
        hidden, held_out_hidden = embedding(control, data.train.inputs), embedding(control, held_out.inputs)
        if hidden is None or held_out_hidden is None:
            return {"why": f"The student cannot be looked into: {NO_LAYER}."}
        teacher = self.teacher_answers()
        influence = teaching_influence(
            floored(predict_net(control, data.train.inputs)), teacher, hidden,
            floored(predict_net(control, held_out.inputs)), held_out_hidden, held_out.targets.numpy(),
        )  # fmt: skip
        most = np.argsort(-influence, kind="stable")[:TAUGHT_ROWS]
        rows = data.split.train[most]
        write_npz(self.trainer.run.folder / TAUGHT, gallery(data.source, rows))
        helped = np.maximum(influence, 0.0)
        unlabelled = np.setdiff1d(np.arange(len(influence)), self.have.labelled.numpy())
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
        classes, labelled = self.test.classes, position in set(self.have.labelled.tolist())
        truth = int(self.have.data.train.targets[position])
        order = np.argsort(-teacher, kind="stable")[:3]
        return {
            "row": row,
            "share": share,
            "labelled": labelled,
            "label": classes[truth] if truth >= 0 else None,
            "teacher": [{"class": classes[c], "probability": float(np.exp(teacher[c]))} for c in order],
        }

    def teacher_answers(self) -> Floats:
        """What the store holds about every training row as it is, (N, C) log-probabilities."""
        inputs = self.have.data.train.inputs
        rows = torch.arange(len(inputs))
        answers = StoredTeacher(self.teaching.ask(lambda done: None))
        asked = Batch(inputs, torch.full_like(rows, -1), rows, torch.zeros_like(rows))
        return floored(answers.whole(asked).numpy())

    def surrogate(self) -> dict[str, Any] | None:
        """A tree that answers as the shipped student does; None where no person could read its columns."""
        data, student = self.have.data, self.net("distilled", self.seeds[0])
        chosen = np.linspace(0, len(data.split.train) - 1, min(MOST_ROWS, len(data.split.train))).astype(np.int64)
        train = readable(data.source.take(data.split.train[chosen]), data.encoder)
        test = readable(data.source.take(data.split.test), data.encoder)
        if train is None or test is None:
            return None
        said = classes_said(student, data.train.inputs[torch.from_numpy(chosen)])
        test_said = self.test.log_probs["distilled"][str(self.seeds[0])].argmax(1)
        confidence = self.trainer.recipe.evaluation.confidence
        return fit_surrogate(train, said, test, test_said, self.test.targets, self.test.classes, confidence)


def classes_said(net: nn.Module, inputs: Tensor) -> np.ndarray:
    """The most likely class of each row, int64 (N,)."""
    said: np.ndarray = predict_net(net, inputs).argmax(1)
    return said


def look_inside(trainer: Trainer, arms: Sequence[Arm]) -> None:
    """Explain a judged run once; its files are there afterwards."""
    run = trainer.run
    if not (run.folder / EXPLANATION).exists():
        with run.timed("explain"):
            Probe(trainer, arms, Predictions.load(run.folder / TEST)).explain()
