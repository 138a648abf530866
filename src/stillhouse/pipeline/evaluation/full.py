"""The full evaluation, with nets and data: robustness, detection of rows from elsewhere, attributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.evaluation import attribution, ood, robustness, words
from stillhouse.evaluation.predictions import Floats
from stillhouse.evaluation.robustness import Rows
from stillhouse.evaluation.text_corruption import Texts
from stillhouse.files import write_json
from stillhouse.pipeline.evaluation.explain import Probe
from stillhouse.pipeline.evaluation.word_marks import asked_net, reader_of
from stillhouse.pipeline.run.progress import stage
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.pipeline.teacher.answers import answers_of
from stillhouse.pipeline.teacher.endpoint import asks_service
from stillhouse.task import TEACHER
from stillhouse.types import has_label, in_eval

FULL = "full.json"
ROWS = 2000  # test rows that are corrupted, at most
EXPLAINED = 64  # test rows whose attributions are compared
DRAWN = 5  # training rows that stand for nothing, in turn


def write_full(probe: Probe) -> None:
    """Write ``full.json`` of a judged run.

    Raises:
        UsageError: the task has nothing more to judge.
    """
    if not probe.context.task.full:
        raise UsageError(
            f"All that is judged of this run is judged from its predictions. Leave out `--full`: "
            f"`stillhouse evaluate {probe.context.run.folder}`."
        )
    with probe.context.run.timed("full evaluation"):
        write_json(probe.context.run.folder / FULL, Full(probe).judge())


class Full:
    """What is too slow for every run."""

    def __init__(self, probe: Probe) -> None:
        self.probe, self.context = probe, probe.context
        self.task, self.evaluation = probe.context.task, probe.context.recipe.evaluation
        self.nets = {arm: [probe.net(arm, seed) for seed in probe.seeds] for arm in probe.shown}

    def judge(self) -> dict[str, Any]:
        """The contents of ``full.json``."""
        data = self.context.data
        if asks_service(self.context):
            return {"schema": 1, "why": "The teacher is a service, and every corrupted row would be a paid question."}
        if not has_label(data.test.targets).all():
            return {"schema": 1, "why": "The test rows have no labels, without which no loss of accuracy shows."}
        if not data.test.inputs.is_floating_point() and data.encoder.text is None:
            why = "The rows are whole numbers: no corruption or attribution here is made for them."
            return {"schema": 1, "why": why}
        rows = self.rows()
        with stage("robustness, outsiders, attributions", 3, "parts") as advance:
            targets = data.test.targets[: len(rows.inputs)].numpy()
            settings = (self.evaluation.resamples, self.evaluation.confidence)
            ladder = robustness.ladder(rows, self.answers, targets, *settings)
            advance(1)
            detected = ood.detection(rows, self.answers, ood.outsiders(rows))
            advance(1)
            attributed = self.attributions(rows)
            advance(1)
        return {
            "schema": 1,
            "rows": len(rows.inputs),
            "confidence": self.evaluation.confidence,
            "robustness": ladder,
            "outsiders": detected,
            "attribution": attributed,
        }

    def rows(self) -> Rows:
        """The test rows to corrupt."""
        data = self.context.data
        inputs, image = data.test.inputs[:ROWS], data.source.kind == "image"
        return Rows(inputs, data.source.take(data.split.test[:ROWS]), data.encoder, data.train.inputs, image)

    def answers(self, rows: Tensor | Texts) -> Mapping[str, Sequence[Floats]]:
        """Every net's log-probabilities of encoded rows, or of texts."""
        theirs, ours = (
            rows if isinstance(rows, Tensor) else read.data.encoder.encode(rows)
            for read in (self.context, self.probe.students)
        )
        found = {
            arm: [self.task.judged(net_outputs(net, ours, self.task)) for net in nets]
            for arm, nets in self.nets.items()
        }
        texts = None if isinstance(rows, Tensor) else rows  # for teachers that read them, not their tokens
        teacher = answers_of(self.probe.teacher.teacher, self.task, theirs, torch.full((len(theirs),), -1), texts)
        return {TEACHER: [self.task.judged(teacher)], **found}

    def attributions(self, rows: Rows) -> dict[str, Any]:
        """Agreement of teacher and students on what they looked at, for what the teacher says."""
        chosen = torch.linspace(0, len(rows.inputs) - 1, min(EXPLAINED, len(rows.inputs))).long()
        inputs, asked = rows.inputs[chosen], rows.asked
        classes = self.answers(inputs if isinstance(asked, Tensor) else asked[chosen.numpy()])[TEACHER][0].argmax(1)
        student, baseline = self.probe.student, self.probe.baseline
        first, second = f"{student}/0", f"{student}/1"
        trained = self.nets[student]
        compared = [baseline] if baseline in self.nets else []  # a run without labels has none
        pairs = {student: (TEACHER, first), **{arm: (TEACHER, arm) for arm in compared}}
        pairs |= {"ceiling": (first, second)} if len(trained) > 1 else {}
        nets = {arm: self.nets[arm][0] for arm in compared}
        nets |= {f"{student}/{i}": net for i, net in enumerate(trained[:2])}
        if not isinstance(asked, Tensor):
            return self.word_attributions(asked[chosen.numpy()], classes, nets, pairs)
        try:
            attribution.captum()
        except UsageError as error:
            return {"why": str(error)}
        example = attribution.Example(inputs, torch.from_numpy(classes), self.baselines(rows), feature_groups(rows))
        nets[TEACHER] = in_eval(self.probe.teacher.module)
        smooth, net = self.context.fitted is None, self.probe.teacher.is_net
        ways = attribution.agreements(
            nets, pairs, example, self.evaluation.confidence, lambda name: net if name == TEACHER else smooth
        )
        return {"rows": len(inputs), "features": len(example.groups), "ways": ways}

    def word_attributions(
        self, texts: Texts, classes: np.ndarray, nets: dict[str, nn.Module], pairs: dict[str, tuple[str, str]]
    ) -> dict[str, Any]:
        """The same by words of texts, which every net and teacher can be asked about."""
        theirs, ours = (read.data.encoder.text for read in (self.context, self.probe.students))
        assert theirs is not None
        assert ours is not None
        asked = {name: words.Reader(asked_net(net, self.task), ours) for name, net in nets.items()}
        asked[TEACHER] = reader_of(self.probe.teacher.teacher, self.task, theirs)
        ways = words.agreements(asked, pairs, list(texts), classes, self.evaluation.confidence)
        if not ways:
            return {"why": f"No text has {words.FEWEST_WORDS} words to rank."}
        return {"rows": len(texts), "features": words.MOST_WORDS, "ways": ways}

    def baselines(self, rows: Rows) -> dict[str, Tensor]:
        """What stands for nothing: the training mean, a few training rows in turn, an image's background."""
        drawn = torch.from_numpy(np.random.default_rng(0).choice(len(rows.train), min(DRAWN, len(rows.train)), False))
        found = {"training mean": rows.train.mean(0, keepdim=True), "training rows": rows.train[drawn]}
        if rows.image:
            fill = torch.tensor(rows.encoder.fill).view(-1, *[1] * (rows.inputs.dim() - 2))
            found["background"] = fill.expand_as(rows.inputs[0])[None].clone()
        return found


def feature_groups(rows: Rows) -> list[np.ndarray]:
    """Flat positions that are one feature: the channels of a pixel, the encoded columns of a raw one."""
    shape = tuple(rows.inputs.shape[1:])
    if not rows.image:
        return ood.column_groups(rows.encoder)
    pixels = int(np.prod(shape[-2:]))
    return [np.arange(place, int(np.prod(shape)), pixels) for place in range(pixels)]
