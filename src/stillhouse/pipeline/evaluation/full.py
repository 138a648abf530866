"""Judging again: from the predictions alone, or in full, with the nets and the data at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.data import TextEncoder
from stillhouse.errors import UsageError
from stillhouse.evaluation import Predictions, attribution, ood, robustness, words
from stillhouse.evaluation.predictions import Floats, floored
from stillhouse.evaluation.robustness import Rows
from stillhouse.files import write_json
from stillhouse.pipeline.distill import plan_fits
from stillhouse.pipeline.evaluation.explain import SHOWN, Probe, look_inside
from stillhouse.pipeline.evaluation.score import TEST, predict_net
from stillhouse.pipeline.evaluation.word_marks import asked_net, asked_teacher
from stillhouse.pipeline.kinds import kind_of, write_report
from stillhouse.pipeline.run.folder import RunFolder, locked, open_run
from stillhouse.pipeline.run.progress import stage
from stillhouse.pipeline.setup import gather
from stillhouse.pipeline.teacher.answers import answers_of
from stillhouse.pipeline.teacher.endpoint import answered_only, asks_service
from stillhouse.recipe import Recipe, parse, read_table_text

FULL = "full.json"
ROWS = 2000  # test rows that are corrupted, at most
EXPLAINED = 64  # test rows whose attributions are compared
DRAWN = 5  # training rows that stand for nothing, in turn


def evaluate(
    folder: Path | str,
    *,
    full: bool = False,
    teacher: Any = None,
    student: Any = None,
    data: Any = None,
    allow_code: bool = False,
) -> dict[str, Any]:
    """Judge a run again.

    Args:
        folder: the run folder.
        full: also compute what is slow (robustness, detection of outsiders, attributions) into ``full.json``, and
            write the report anew; needs nets and data. Else the predictions are enough.
        teacher: as given to ``distill``, where it came from Python; for ``full``.
        student: the same.
        data: the same.
        allow_code: whether ``python:`` names in the recipe may be imported and run.

    Returns:
        The scores.

    Raises:
        UsageError: there is no finished run, or nothing more to judge in full, or what came from Python was not given.
    """
    folder = Path(folder)
    kind = kind_of(RunFolder(folder))
    if full and not kind.full:
        raise UsageError(
            f"{folder} holds embedders, and all that is judged of them is judged from their vectors. Leave out "
            f"`--full`: `stillhouse evaluate {folder}`."
        )
    scores = kind.judge(folder)
    if full:
        with locked(folder):
            run, probe = reopen(folder, teacher=teacher, student=student, data=data, allow_code=allow_code)
            with run.timed("full evaluation"):
                write_json(folder / FULL, Full(probe).judge())
            write_report(run.folder)
    return scores


def reopen(folder: Path, *, teacher: Any, student: Any, data: Any, allow_code: bool) -> tuple[RunFolder, Probe]:
    """Take up a finished run with its nets and data."""
    run = RunFolder(folder)
    recipe: Recipe = parse(read_table_text((folder / "recipe.toml").read_text(encoding="utf-8")))
    given = {"teacher": teacher, "student": student}
    missing = [name for name, value in given.items() if name in run.record["parts"] and value is None]
    if missing:
        raise UsageError(
            f"The {' and '.join(missing)} of {folder} came from Python, and code is not stored. Give them again: "
            f"`stillhouse.evaluate({str(folder)!r}, full=True, {', '.join(f'{m}=...' for m in missing)}, data=...)`."
        )
    recipe = recipe.model_copy(update={"output": recipe.output.model_copy(update={"dir": folder})})
    have = gather(recipe, teacher=teacher, student=student, data=data, allow_code=allow_code)
    run = open_run(recipe, command=run.record["command"], parts=have.parts)
    have = answered_only(run, recipe, have)
    trainer, arms = plan_fits(run, recipe, have)
    look_inside(trainer, arms)
    return run, Probe(trainer, arms, Predictions.load(folder / TEST))


class Full:
    """What is too slow for every run."""

    def __init__(self, probe: Probe) -> None:
        self.probe, self.have = probe, probe.have
        self.evaluation = probe.trainer.recipe.evaluation
        self.nets = {arm: [probe.net(arm, seed) for seed in probe.seeds] for arm in SHOWN}

    def judge(self) -> dict[str, Any]:
        """The contents of ``full.json``."""
        data = self.have.data
        if asks_service(self.probe.trainer.recipe, self.have):
            return {"schema": 1, "why": "The teacher is a service, and every corrupted row would be a paid question."}
        if not data.test.inputs.is_floating_point() and data.source.kind != "text":
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
        data = self.have.data
        inputs, image = data.test.inputs[:ROWS], data.source.kind == "image"
        return Rows(inputs, data.source.take(data.split.test[:ROWS]), data.encoder, data.train.inputs, image)

    def answers(self, inputs: Tensor) -> Mapping[str, Sequence[Floats]]:
        """Every net's log-probabilities of encoded rows."""
        told = {arm: [floored(predict_net(net, inputs)) for net in nets] for arm, nets in self.nets.items()}
        teacher = answers_of(self.probe.teaching.teacher, inputs, torch.full((len(inputs),), -1), None)
        return {"teacher": [floored(teacher)], **told}

    def attributions(self, rows: Rows) -> dict[str, Any]:
        """Agreement of teacher and students on what they looked at, for what the teacher says."""
        chosen = torch.linspace(0, len(rows.inputs) - 1, min(EXPLAINED, len(rows.inputs))).long()
        inputs = rows.inputs[chosen]
        classes = self.answers(inputs)["teacher"][0].argmax(1)
        distilled = self.nets["distilled"]
        pairs = {"distilled": ("teacher", "distilled/0"), "labels_only": ("teacher", "labels_only")}
        pairs |= {"ceiling": ("distilled/0", "distilled/1")} if len(distilled) > 1 else {}
        nets = {"labels_only": self.nets["labels_only"][0]}
        nets |= {f"distilled/{i}": net for i, net in enumerate(distilled[:2])}
        if rows.encoder.text is not None:
            return self.word_attributions(rows.encoder.text, rows.raw[chosen.numpy()], classes, nets, pairs)
        try:
            attribution.captum()
        except UsageError as error:
            return {"why": str(error)}
        example = attribution.Example(inputs, torch.from_numpy(classes), self.baselines(rows), feature_groups(rows))
        nets["teacher"] = self.probe.teaching.module.eval()
        smooth, net = self.have.fitted is None, self.probe.teaching.is_net
        ways = attribution.agreements(
            nets, pairs, example, self.evaluation.confidence, lambda name: net if name == "teacher" else smooth
        )
        return {"rows": len(inputs), "features": len(example.groups), "ways": ways}

    def word_attributions(
        self,
        encoder: TextEncoder,
        texts: np.ndarray,
        classes: np.ndarray,
        nets: dict[str, nn.Module],
        pairs: dict[str, tuple[str, str]],
    ) -> dict[str, Any]:
        """The same by words of texts, which every net and teacher can be asked about."""
        asked = {name: asked_net(net) for name, net in nets.items()}
        asked["teacher"] = asked_teacher(self.probe.teaching.teacher)
        ways = words.agreements(asked, pairs, encoder, list(texts), classes, self.evaluation.confidence)
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
