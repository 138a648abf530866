"""Every net is asked about the validation and test rows, once: predictions, the shipped student, and the costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import nn

from stillhouse import hashes, students
from stillhouse.evaluation import Predictions, measure_costs
from stillhouse.evaluation.words import Reader
from stillhouse.files import write_json, write_npz
from stillhouse.pipeline.evaluation.labels import KEYS, TEST, forget_labels, write_keys
from stillhouse.pipeline.evaluation.word_marks import asked_net, may_be_asked, reader_of, word_marks
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.folder import LEFT_OUT
from stillhouse.pipeline.run.progress import say, stage
from stillhouse.pipeline.student.arms import Arm
from stillhouse.pipeline.student.calibration import Tempered
from stillhouse.pipeline.student.factory import size_of
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.pipeline.student.train import Trainer
from stillhouse.pipeline.teacher.answers import asked_about
from stillhouse.pipeline.teacher.endpoint import asks_service
from stillhouse.pipeline.teacher.fitted_texts import whole_encoder
from stillhouse.pipeline.teacher.labeling import RunTeacher
from stillhouse.students.figs import SumOfTrees
from stillhouse.students.trees import TreeEnsemble
from stillhouse.task import OUTPUTS, SINGLE, TEACHER, TEMPERATURE
from stillhouse.tasks.predictor import ARMS, CARD, FOLDER, WEIGHTS, Deployed
from stillhouse.types import Teacher, count_bytes, count_parameters, rows_with_label

VALID, COSTS = "predictions_valid.npz", "costs.json"
GALLERY, GALLERY_FILE = "the gallery of rows", "gallery.npz"
GALLERY_ROWS = 24
TEXTS, SAMPLES = "samples of text", "samples.json"


class Judge:
    """Asks every trained net, and writes all that the scores and the report need."""

    def __init__(
        self, context: RunContext, trainer: Trainer, arms: Sequence[Arm], teachers: Mapping[str, RunTeacher]
    ) -> None:
        self.context, self.trainer, self.arms, self.teachers = context, trainer, arms, teachers
        self.shipped_arm = next(arm for arm in arms if arm.name == context.task.shipped)

    def predict(self) -> None:
        """Predictions, gallery, costs and the shipped student."""
        context = self.context
        self.note_what_each_saw()
        if self.done():
            return
        students = sum(len(arm.seeds(self.trainer.seeds)) for arm in self.arms)
        with context.run.timed("evaluate"), stage("evaluation on the test rows", students, "students") as advance:
            folder, task = context.run.folder, context.task
            asks_valid = len(context.data.valid.targets) and not task.streamed
            if asks_valid and not (folder / VALID).exists():
                self.ask("valid", lambda n: None).save(folder / VALID)
            if not (folder / TEST).exists():
                forget_labels(context.run)
                self.ask("test", advance).save(folder / TEST)
            test = Predictions.load(folder / TEST)
            write_keys(folder, context.data.source, test.rows)
            self.sample()
            self.ship(test)

    def done(self) -> bool:
        """Whether all that is made here is there, of an earlier call."""
        run = self.context.run
        valid = len(self.context.data.valid.targets) and not self.context.task.streamed
        files = [COSTS, TEST, KEYS, *([VALID] if valid else [])]
        left = run.record.get(LEFT_OUT, {})
        files += [] if GALLERY in left else [GALLERY_FILE]
        files += [SAMPLES] if self.writes and TEXTS not in left else []
        folders = [run.folder / FOLDER, *(run.folder / ARMS / arm.name for arm in self.shipped_beside())]
        return (
            all((run.folder / name).exists() for name in files)
            and all((folder / CARD).exists() and hashes.complete(folder) for folder in folders)
            and "hashes" in run.record
        )

    def shipped_beside(self) -> list[Arm]:
        """The rivals that ship too."""
        return [arm for arm in self.arms if arm.name in self.context.task.rivals or arm.control.simple]

    def ask(self, part: str, advance: Any) -> Predictions:
        """What every net answers to the rows of one split, as the task records it."""
        context = self.context
        task = context.task
        if task.streamed:
            return self.streamed(part, advance)
        records: dict[str, dict[str, Any]] = {}
        for name, teacher in self.teachers.items():
            records[name] = {SINGLE: task.record(torch.from_numpy(teacher.outputs(part)))}
        for arm in self.arms:
            records[arm.name] = {}
            inputs = getattr(self.trainer.context_of(arm).data, part).inputs
            for seed in arm.seeds(self.trainer.seeds):
                net = self.trainer.trained(arm, seed, self.parts(arm))
                record = dict(task.record(torch.from_numpy(net_outputs(net, inputs, task))))
                if fitted := self.trainer.calibration_of(arm, seed):
                    record[TEMPERATURE] = np.full(len(inputs), fitted["temperature"], np.float32)
                records[arm.name][arm.key(seed)] = record
                advance(1)
        numbers = np.asarray(getattr(context.data.split, part), dtype=np.int64)
        targets = context.data.source.targets[numbers]  # in the user's units; training rows may have scaled ones
        return Predictions(targets, numbers, context.spec.names, records)

    def streamed(self, part: str, advance: Any) -> Predictions:
        """The same where outputs are too many to be held: every net answers a row before the next one is read."""
        context, seeds = self.context, self.trainer.seeds
        keys = {f"{arm.name}/{arm.key(seed)}": (arm, seed) for arm in self.arms for seed in arm.seeds(seeds)}
        nets: dict[str, Any] = {TEACHER: asked_about(self.teachers[TEACHER].teacher)}
        nets |= {key: self.trainer.trained(*one) for key, one in keys.items()}
        rows, done = len(getattr(context.data, part).targets), 0

        def tell(count: int) -> None:
            nonlocal done
            before, done = done, done + count
            advance(done * len(keys) // rows - before * len(keys) // rows)

        found = context.task.stream(nets, context.data, part, None, tell)
        records: dict[str, dict[str, Any]] = {TEACHER: {SINGLE: found.records[TEACHER]}}
        for key, (arm, seed) in keys.items():
            records.setdefault(arm.name, {})[arm.key(seed)] = found.records[key]
        return Predictions(found.targets, found.rows, context.spec.names, records)

    @property
    def writes(self) -> bool:
        """Whether the nets write texts; what a service writes would be paid for."""
        return self.context.task.samples is not None and not asks_service(self.context)

    def sample(self) -> None:
        """What the teacher and the student of each arm's first seed write, where they write texts."""
        context, file = self.context, self.context.run.folder / SAMPLES
        if not self.writes or file.exists():
            return
        with context.run.optional(TEXTS):
            nets = {TEACHER: self.teachers[TEACHER].module}
            nets |= {arm.name: self.trainer.trained(arm, self.trainer.seeds[0]) for arm in self.arms}
            write_json(file, context.task.samples(nets, context.data))

    def parts(self, arm: Arm) -> dict[str, Any]:
        """What the arm's methods ship with the student."""
        return self.trainer.parts(arm, self.teachers)

    def ship(self, test: Predictions) -> None:
        """The student of the first seed (no test row chooses), the gallery, and what both nets cost."""
        context, arm, seed = self.context, self.shipped_arm, self.trainer.seeds[0]
        run, task = context.run, context.task
        student = ship(context, self.trainer, arm, self.teachers).net
        for rival in self.shipped_beside():
            ship(context, self.trainer, rival, self.teachers, folder=Path(ARMS) / rival.name)
        teacher = test.records[TEACHER][SINGLE]
        distance = task.distance(test.records[arm.name][str(seed)], teacher)
        most = np.argsort(-distance, kind="stable")[:GALLERY_ROWS]
        marks: dict[str, NDArray[Any]] = {}
        if task.marks_words:
            with run.optional("the words that count"):
                marks = self.marks(test.rows[most], np.asarray(teacher[OUTPUTS])[most], student)
        with run.optional(GALLERY):
            write_npz(run.folder / GALLERY_FILE, preview(context, test.rows[most]) | marks)
        if context.students.notes:
            run.note(student=context.students.notes)
            say("\n".join(["student:", *context.students.notes]))
        digest = xxhash.xxh3_64_hexdigest((run.folder / FOLDER / WEIGHTS).read_bytes())
        hashes = {"data": run.record["parts"]["data"], "student": digest}
        run.note(hashes=hashes | {name: t.teacher.fingerprint() for name, t in self.teachers.items()})
        if not (run.folder / COSTS).exists():
            write_json(run.folder / COSTS, self.costs(student))

    def marks(self, rows: NDArray[np.int64], teacher: NDArray[Any], student: nn.Module) -> dict[str, NDArray[Any]]:
        """Of texts, the words on which the answers depend; nothing for other rows, or other tasks."""
        context, asked = self.context, self.teachers[TEACHER].teacher
        words, theirs = context.data.encoder.text, self.trainer.context.data.encoder.text
        if words is None or theirs is None or not context.task.marks_words:
            return {}
        texts = [str(text) for text in np.asarray(context.data.source.take(rows))]
        nets = {"student": Reader(asked_net(student, context.task), theirs)}
        if not asks_service(context) and may_be_asked(asked):
            nets = {"teacher": reader_of(asked, context.task, words), **nets}
        return word_marks(texts, teacher.argmax(1), nets)

    def costs(self, student: nn.Module) -> dict[str, Any]:
        """Size and latency of teacher, student and simple models, measured in turns; what asking and training took."""
        context, main = self.context, self.teachers[TEACHER]
        paid = asks_service(context)  # each call that is timed would be paid for, and time the network
        nets = {"student": student} if paid else {"teacher": main.module, "student": student}
        reads = {"teacher": context, "student": self.trainer.context}
        costs: dict[str, Any] = {"teacher": {}, "student": {}}
        if context.task.streamed:  # a row is hundreds of answers: timing it would take as long as asking
            sized = {key: {"parameters": count_parameters(n), "bytes": count_bytes(n)} for key, n in nets.items()}
            return costs | sized | self.spent()
        with context.run.optional("the costs of the nets"):
            costs |= measure_costs(nets, {name: read.data.test.inputs[:64] for name, read in reads.items()})
        costs["teacher"] = {"parameters": None} if paid else sizes(main.teacher, costs["teacher"])
        costs["student"] |= size_of_net(student)
        with context.run.optional("the costs of the rivals"):
            costs |= self.costs_of_arms()
        return costs | self.spent()

    def spent(self) -> dict[str, Any]:
        """How often the teacher was asked, and the seconds of each stage."""
        answers = len(self.context.data.train.targets) * self.context.views.count
        return {"teacher_calls": answers, "seconds": self.context.run.record["seconds"]}

    def costs_of_arms(self) -> dict[str, dict[str, Any]]:
        """Size and latency of each net that need not be as large as the student, by arm; of simple models also seconds.

        Simple models are chosen, and what is fitted at once, such as a tree, is as large as its rows ask for.
        """
        simple = [arm for arm in self.arms if arm.control.simple]
        other = set() if self.context.fitted is None else {arm.name for arm in self.arms} - {self.shipped_arm.name}
        fitted = [arm for arm in self.arms if arm.name in other and not arm.control.simple and arm.control.trained]
        found: dict[str, dict[str, Any]] = {}
        for arms in filter(None, (simple, fitted)):  # each reads rows in its own way
            nets = {arm.name: self.trainer.trained(arm, self.trainer.seeds[0]) for arm in arms}
            measured = measure_costs(nets, self.trainer.context_of(arms[0]).data.test.inputs[:64], budget_seconds=0.5)
            found |= {name: measured[name] | size_of_net(net) for name, net in nets.items()}
        for arm in simple:
            found[arm.name]["seconds_of_fit"] = self.trainer.simple_card(arm)["seconds"]
        return found

    def note_what_each_saw(self) -> None:
        """Facts of the data, and what each net was allowed to see, into run.json."""
        context, data = self.context, self.context.data
        rows, labelled = len(data.train.targets), len(context.labelled)
        saw: dict[str, Any] = {
            name: {"labels": t.labels_seen, "unlabelled": 0, "teacher": None} for name, t in self.teachers.items()
        }
        for arm in self.arms:
            labels = int(rows_with_label(arm.targets[arm.rows]).sum())
            variant = self.trainer.variants.get(arm.control.variant or "", context)
            made = int((arm.rows >= variant.real_rows).sum())
            unlabelled = len(arm.rows) - labels - made
            saw[arm.name] = {"labels": labels, "unlabelled": unlabelled, "teacher": arm.control.teacher}
            saw[arm.name] |= {"made": made} if made else {}
            if arm.control.simple:
                net = self.trainer.simple_card(arm)["net"]
                saw[arm.name]["model"] = students.in_words(net["name"], net["settings"], context.task.link)
        facts = {
            "name": data.source.name,
            "kind": data.source.kind,
            "classes": list(context.spec.names),
            "shape": list(data.source.shape),
            "train": rows,
            "valid": len(data.valid.targets),
            "test": len(data.test.targets),
            "labelled": labelled,
            "unlabelled": context.real_rows - labelled,
        }
        if context.made:
            facts["made"] = rows - context.real_rows
        theirs, ours = (read.data.encoder.text for read in (context, self.trainer.context))
        if theirs is not None and ours is not None:  # tokens of a text that are read
            read = whole_encoder(self.teachers[TEACHER].teacher) or theirs
            facts["tokens"] = {"teacher": read.length, "students": ours.length}
        if types := context.column_types:
            facts["columns"] = types
        budget = self.trainer.budget
        # A student that is fitted at once has no steps.
        steps = {} if context.fitted else {"steps": budget.steps, "batch_size": budget.batch_size}
        context.run.note(data=facts, saw=saw, budget=steps | {"views": context.views.count})


def ship(
    context: RunContext, trainer: Trainer, arm: Arm, teachers: Mapping[str, RunTeacher], folder: Path = Path(FOLDER)
) -> Deployed:
    """Write an arm's student of the first seed into a folder of the run folder."""
    parts = trainer.parts(arm, teachers)
    net = trainer.trained(arm, trainer.seeds[0], parts)
    built = trainer.simple_card(arm)["net"] if arm.control.simple else context.students.built_card()
    built = built | ({"parts": parts} if parts else {})
    built = built | ({"tempered": True} if isinstance(net, Tempered) else {})
    shipped: Deployed = context.task.predictor(net, trainer.context_of(arm), built)
    shipped.save(context.run.folder / folder)
    return shipped


def size_of_net(net: nn.Module) -> dict[str, Any]:
    """Its learned numbers, or the nodes of its trees."""
    inner = net.net if isinstance(net, Tempered) else net
    return {"parameters": size_of(net)} | ({"unit": "nodes"} if isinstance(inner, TreeEnsemble | SumOfTrees) else {})


def sizes(teacher: Teacher, measured: dict[str, Any]) -> dict[str, Any]:
    """What was measured of a teacher, with its own account of its size; None where something is not known, never 0."""
    known = {
        "parameters": teacher.parameters,
        "bytes": getattr(teacher, "nbytes", None),
        "flops": measured.get("flops"),
    }
    return measured | {name: value or None for name, value in known.items()}


def preview(context: RunContext, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Raw rows for the report: pixels of images, text of table cells, the start of texts."""
    shown: dict[str, NDArray[Any]] = context.data.encoder.preview(context.data.source.take(rows))
    return {"rows": rows} | shown
