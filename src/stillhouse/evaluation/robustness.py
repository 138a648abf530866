"""Robustness: accuracy of students and teacher on corrupted rows.

The ladder has five severities, as Hendrycks and Dietterich's ("Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations", ICLR 2019), with amounts in units that fit any data: standard deviations of the training
rows, shares of an image's side, shares of the cells. Everything is drawn from a seed, and all nets get the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from stillhouse.data import Encoder
from stillhouse.data.views.shift import shift as shift_images
from stillhouse.evaluation.predictions import Floats, Integers
from stillhouse.evaluation.resampling import RowResamples, share
from stillhouse.evaluation.statistics import mean
from stillhouse.evaluation.text_corruption import LADDER, Texts, corrupted

NOISE_IMAGE = (0.25, 0.4, 0.6, 0.85, 1.2)  # standard deviations of the training pixels
NOISE_TABLE = (0.1, 0.2, 0.4, 0.7, 1.0)  # of each numeric column
BLUR = (0.02, 0.035, 0.05, 0.07, 0.1)  # standard deviation of the Gaussian, as a share of the longer side
SHIFT = (0.04, 0.08, 0.12, 0.16, 0.2)  # of the longer side, rounded up to whole pixels
CONTRAST = (0.7, 0.5, 0.35, 0.2, 0.1)  # of the distance to the image's mean that is left
MISSING = (0.05, 0.1, 0.2, 0.35, 0.5)  # of the cells
SEVERITIES = 5
UNITS = {
    "noise": "standard deviations of the training rows", "blur": "pixels, standard deviation", "shift": "pixels",
    "contrast": "of the contrast left", "missing": "of the cells",
    "typos": "of the characters", "drops": "of the words", "swaps": "of the neighbouring words",
}  # fmt: skip


class Rows(NamedTuple):
    """The test rows, in all the forms that a corruption may need."""

    inputs: Tensor  # (N, ...) encoded
    raw: Any  # the same rows as the source gives them
    encoder: Encoder
    train: Tensor  # (M, ...) encoded training rows, the usual values
    image: bool

    @property
    def asked(self) -> Tensor | Texts:
        """The rows as nets are asked about them: encoded, but texts as texts, which each net encodes as it reads."""
        return self.inputs if self.encoder.text is None else np.asarray(self.raw, object)

    def deviation(self) -> Tensor:
        """Standard deviation of the training values: one for images, else one for each value of a row (F,)."""
        flat = self.train.flatten(1).double()
        return (flat.std() if self.image else flat.std(0, correction=0)).float()


class Rung(NamedTuple):
    """The test rows after one corruption."""

    name: str
    severity: int  # 1 to 5
    amount: float  # in the units of ``UNITS``
    inputs: Tensor | Texts  # as ``Rows.asked``


def rungs(rows: Rows, seed: int = 0) -> Iterator[Rung]:
    """Every corruption that fits the kind of the rows, at every severity."""
    for number, name in enumerate(rows.encoder.corruptions):
        for severity in range(1, SEVERITIES + 1):
            rng = np.random.default_rng((seed, number, severity))
            if name in LADDER:
                make_text, amounts = LADDER[name]
                amount = amounts[severity - 1]
                inputs: Tensor | Texts = corrupted(rows.raw, make_text, amount, rng)
            else:
                make, amounts = MAKERS[name]
                given = (NOISE_IMAGE if name == "noise" and rows.image else amounts)[severity - 1]
                amount, inputs = make(rows, given, rng)
            yield Rung(name, severity, amount, inputs)


def _noise(rows: Rows, amount: float, rng: np.random.Generator) -> tuple[float, Tensor]:
    flat = rows.inputs.flatten(1).clone()
    columns = rows.encoder.noise_columns
    chosen = slice(None) if columns is None else list(columns)
    noise = torch.from_numpy(rng.normal(size=tuple(flat.shape))).to(flat) * (amount * rows.deviation())
    flat[:, chosen] += noise[:, chosen]
    return amount, flat.view_as(rows.inputs)


def _blur(rows: Rows, amount: float, _rng: np.random.Generator) -> tuple[float, Tensor]:
    sigma = amount * max(rows.inputs.shape[-2:])
    reach = max(1, math.ceil(3 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    planes = rows.inputs.reshape(-1, 1, *rows.inputs.shape[-2:]).float()
    wide = pad(planes, (reach, reach, reach, reach), mode="replicate")
    blurred = conv2d(conv2d(wide, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return sigma, blurred.view_as(rows.inputs)


def _shift(rows: Rows, amount: float, rng: np.random.Generator) -> tuple[float, Tensor]:
    reach = math.ceil(amount * max(rows.inputs.shape[-2:]))
    offsets = reach + reach * rng.choice([-1, 1], size=(2, len(rows.inputs)))
    return float(reach), shift_images(rows.inputs, torch.from_numpy(offsets), reach, rows.encoder.fill)


def _contrast(rows: Rows, amount: float, _rng: np.random.Generator) -> tuple[float, Tensor]:
    middle = rows.inputs.flatten(1).mean(1).view(-1, *[1] * (rows.inputs.dim() - 1))
    return amount, middle + amount * (rows.inputs - middle)


def _missing(rows: Rows, amount: float, rng: np.random.Generator) -> tuple[float, Tensor]:
    usual = rows.train.mean(0, keepdim=True)
    return amount, rows.encoder.with_gaps(rows.raw, rows.inputs, usual, lambda shape: rng.random(shape) < amount)


Make = Callable[[Rows, float, np.random.Generator], tuple[float, Tensor]]
MAKERS: Mapping[str, tuple[Make, Sequence[float]]] = {
    "noise": (_noise, NOISE_TABLE),
    "blur": (_blur, BLUR),
    "shift": (_shift, SHIFT),
    "contrast": (_contrast, CONTRAST),
    "missing": (_missing, MISSING),
}
Answers = Callable[[Tensor | Texts], Mapping[str, Sequence[Floats]]]


def ladder(rows: Rows, answers: Answers, targets: Integers, resamples: int, confidence: float) -> list[dict[str, Any]]:
    """Accuracy of every arm at every severity.

    Args:
        rows: the test rows.
        answers: of all nets to such rows: by arm, for each seed (N, C) log-probabilities.
        targets: (N,) in [0, C).
        resamples: of the rows, for the intervals.
        confidence: of the intervals, over seeds and rows.

    Returns:
        One entry for each severity, with severity 0 (the original rows) first in each corruption: ``corruption``,
        ``severity``, ``amount``, ``unit``, ``accuracy`` by arm with interval.
    """
    drawn = RowResamples(len(targets), resamples)

    def accuracies(inputs: Tensor | Texts) -> dict[str, Any]:
        hits = {
            arm: [mean((net.argmax(1) == targets).astype(np.float64)) for net in nets]
            for arm, nets in answers(inputs).items()
        }
        return {arm: share(drawn.sample(seeds), confidence)._asdict() for arm, seeds in hits.items()}

    clean, found, begun = accuracies(rows.asked), [], set()
    for rung in rungs(rows):
        unit = UNITS[rung.name]
        if rung.name not in begun:
            begun.add(rung.name)
            none = 1.0 if rung.name == "contrast" else 0.0  # the amount of no corruption
            found.append({"corruption": rung.name, "severity": 0, "amount": none, "unit": unit, "accuracy": clean})
        step = {"corruption": rung.name, "severity": rung.severity, "amount": rung.amount, "unit": unit}
        found.append(step | {"accuracy": accuracies(rung.inputs)})
    return found
