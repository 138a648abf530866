"""From trained students to predictions, and from predictions to the judgement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor, nn

from stillhouse.evaluation import Predictions, measure_costs, score, teacher_gate
from stillhouse.files import write_json, write_npz
from stillhouse.pipeline.context import Ingredients
from stillhouse.pipeline.evaluation.groups import read_groups
from stillhouse.pipeline.evaluation.word_marks import asked_net, asked_teacher, may_be_asked, word_marks
from stillhouse.pipeline.run.folder import RunFolder, read_json
from stillhouse.pipeline.run.progress import say, stage
from stillhouse.pipeline.student.factory import size_of
from stillhouse.pipeline.student.train import Arm, Trainer
from stillhouse.pipeline.teacher.endpoint import asks_service
from stillhouse.pipeline.teacher.labeling import Teaching
from stillhouse.recipe import Recipe, read
from stillhouse.tasks.classification.predictor import FOLDER, WEIGHTS, Deployed, log_proba
from stillhouse.types import Teacher

TEST, VALID = "predictions.npz", "predictions_valid.npz"
GALLERY_ROWS = 24


class Judge:
    """Asks every trained net about the test rows, once, and writes all that the scores and the report need."""

    def __init__(
        self, run: RunFolder, recipe: Recipe, have: Ingredients, trainer: Trainer, arms: Sequence[Arm]
    ) -> None:
        self.run, self.recipe, self.have, self.trainer, self.arms = run, recipe, have, trainer, arms
        self.teachings: list[Teaching] = list(trainer.teachings.values())

    def judge(self) -> dict[str, Any]:
        """Predictions, gallery, costs and the shipped student; then the scores."""
        self.note_what_each_saw()
        if not (self.run.folder / "costs.json").exists():  # written last
            students = len(self.arms) * len(self.recipe.training.seeds)
            with self.run.timed("evaluate"), stage("evaluation on the test rows", students, "students") as advance:
                if len(self.have.data.valid.targets):
                    valid = self.predict("valid", lambda n: None)
                    valid.save(self.run.folder / VALID)
                test = self.predict("test", advance)
                test.save(self.run.folder / TEST)
                self.ship(test)
        with self.run.timed("score"):
            return evaluate(self.run.folder)

    def predict(self, part: str, advance: Any) -> Predictions:
        """Log-probabilities of every net on one split."""
        inputs = getattr(self.have.data, part).inputs
        rows = getattr(self.have.data.split, part)
        log_probs: dict[str, dict[str, np.ndarray]] = {t.arm: {"-": t.log_probs(part)} for t in self.teachings}
        for arm in self.arms:
            log_probs[arm.name] = {}
            for seed in self.recipe.training.seeds:
                log_probs[arm.name][str(seed)] = predict_net(self.trainer.trained(arm, seed), inputs)
                advance(1)
        targets = getattr(self.have.data, part).targets.numpy()
        return Predictions(targets, np.asarray(rows, dtype=np.int64), self.have.data.source.names, log_probs)

    def ship(self, test: Predictions) -> None:
        """The student of the first seed (no test row chooses), the gallery, and what both nets cost."""
        seed = self.recipe.training.seeds[0]
        arm = next(a for a in self.arms if a.name == "distilled")
        student = self.trainer.trained(arm, seed)
        data = self.have.data
        parts = self.trainer.parts(arm)
        card = self.have.students.built_card() | ({"parts": parts} if parts else {})
        shipped = Deployed(student, data.encoder, data.source.names, card, data.source.column)
        shipped.save(self.run.folder / FOLDER)
        teacher = test.log_probs["teacher"]["-"]
        distance = 0.5 * np.abs(np.exp(teacher) - np.exp(test.log_probs["distilled"][str(seed)])).sum(1)
        most = np.argsort(-distance, kind="stable")[:GALLERY_ROWS]
        rows = test.rows[most]
        shown = {"rows": rows} | data.encoder.preview(data.source.take(rows))
        shown |= self.marks(rows, teacher[most].argmax(1), student)
        write_npz(self.run.folder / "gallery.npz", shown)
        costs = self.costs(student)
        if self.have.students.told:
            self.run.note(student=self.have.students.told)
            say("\n".join(["student:", *self.have.students.told]))
        digest = xxhash.xxh3_64_hexdigest((self.run.folder / FOLDER / WEIGHTS).read_bytes())
        hashes = {"data": self.run.record["parts"]["data"], "student": digest}
        self.run.note(hashes=hashes | {t.arm: t.teacher.fingerprint() for t in self.teachings})
        write_json(self.run.folder / "costs.json", costs)

    def marks(self, rows: np.ndarray, classes: np.ndarray, student: nn.Module) -> dict[str, np.ndarray]:
        """Of texts, the words on which the answers hang for the teacher's class; nothing of other rows."""
        encoder, teacher = self.have.data.encoder, self.trainer.teachings["teacher"].teacher
        if encoder.text is None:
            return {}
        texts = [str(text) for text in np.asarray(self.have.data.source.take(rows))]
        nets = {"student": asked_net(student)}
        if not asks_service(self.recipe, self.have) and may_be_asked(teacher):
            nets = {"teacher": asked_teacher(teacher), **nets}
        return word_marks(encoder.text, texts, classes, nets)

    def costs(self, student: nn.Module) -> dict[str, Any]:
        """Size and latency of teacher and student, measured beside each other; what asking and training took."""
        main = self.trainer.teachings["teacher"]
        paid = asks_service(self.recipe, self.have)  # each call that is timed would be paid for, and time the network
        nets = {"student": student} if paid else {"teacher": main.module, "student": student}
        costs: dict[str, Any] = dict(measure_costs(nets, self.have.data.test.inputs[:64]))
        costs["teacher"] = {"parameters": None} if paid else sizes(main.teacher, costs["teacher"])
        costs["student"]["parameters"] = size_of(student)
        answers = len(self.have.data.train.targets) * self.have.views.count
        return costs | {"teacher_calls": answers, "seconds": self.run.record["seconds"]}

    def note_what_each_saw(self) -> None:
        """Facts of the data, and what each learner was allowed to see, into run.json."""
        data, labelled = self.have.data, len(self.have.labelled)
        rows = len(data.train.targets)
        saw: dict[str, Any] = {
            t.arm: {"labels": t.labels_seen, "unlabelled": 0, "teacher": None} for t in self.teachings
        }
        for arm in self.arms:
            labels = int((arm.targets[arm.eligible] >= 0).sum())
            saw[arm.name] = {"labels": labels, "unlabelled": len(arm.eligible) - labels, "teacher": arm.teacher}
        source = data.source
        facts = {
            "name": source.name,
            "kind": source.kind,
            "classes": list(source.names),
            "shape": list(source.shape),
            "train": rows,
            "valid": len(data.valid.targets),
            "test": len(data.test.targets),
            "labelled": labelled,
            "unlabelled": rows - labelled,
        }
        if types := self.have.column_types:
            facts["columns"] = types
        budget = self.trainer.budget
        # A tree is fitted at once: it has no steps that could be told.
        steps = {} if self.have.fitted else {"steps": budget.steps, "batch_size": budget.batch_size}
        spent = steps | {"views": self.have.views.count}
        self.run.note(data=facts, saw=saw, budget=spent)


def sizes(teacher: Teacher, measured: dict[str, Any]) -> dict[str, Any]:
    """What was measured of a teacher, with its own account of its size; None where something is not known, never 0."""
    known = {"parameters": teacher.parameters, "bytes": getattr(teacher, "nbytes", None), "flops": measured["flops"]}
    return measured | {name: value or None for name, value in known.items()}


def predict_net(net: nn.Module, inputs: Tensor) -> np.ndarray:
    """Log-probabilities float32 (N, C)."""
    return np.concatenate([log_proba(net, part).numpy() for part in torch.split(inputs, 1024)])


def evaluate(folder: Path) -> dict[str, Any]:
    """Judge a run from its predictions; needs neither data nor model. Writes and returns ``scores.json``."""
    run, recipe = RunFolder(folder), read(folder / "recipe.toml")
    costs = read_json(folder / "costs.json")
    scores = score(
        Predictions.load(folder / TEST),
        saw=run.record["saw"],
        budget=run.record["budget"],
        costs=costs,
        versions=run.record["versions"],
        hashes=run.record["hashes"],
        confidence=recipe.evaluation.confidence,
        margin=recipe.evaluation.margin,
        resamples=recipe.evaluation.resamples,
        valid=Predictions.load(folder / VALID) if (folder / VALID).exists() else None,
        groups=read_groups(folder),
    )
    if gate := run.record.get("teacher_gate"):
        scores["warnings"] += teacher_gate.warnings(gate)
    write_json(folder / "scores.json", scores)
    return scores
