"""What every judgement of one run shares: the nets, the rows and how they are resampled, how sure one wants to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stillhouse.errors import RejectedError
from stillhouse.evaluation import calibration
from stillhouse.evaluation.predictions import SINGLE, Floats, Predictions, floored
from stillhouse.evaluation.resampling import Interval, RowResamples, Statistic, share, two_level

TEACHERS = ("teacher", "teacher_same")
STUDENTS = (
    "labels_only", "smoothed", "distilled", "all_labels", "distilled_same", "scratch", "distilled_scratch",
)  # fmt: skip
TEMPERED = "labels_only_tempered"  # the undistilled student, its temperature fitted on validation rows
SHARES = {
    "accuracy", "balanced_accuracy", "macro_f1", "auc", "agreement", "agreement_teacher_right",
    "agreement_teacher_wrong", "negative_flips", "positive_flips",
}  # fmt: skip
BOUNDS = {"brier": (0.0, 2.0), "total_variation": (0.0, 1.0), "aurc": (0.0, 1.0), "rank_correlation": (-1.0, 1.0)}


@dataclass(frozen=True)
class Court:
    """What every judgement of one run shares: the rows, how they are resampled, and how sure one wants to be."""

    predictions: Predictions
    nets: Mapping[str, Mapping[str, Floats]]
    resamples: RowResamples
    saw: Mapping[str, Mapping[str, Any]]
    confidence: float
    margin: float
    temperatures: Mapping[str, float]  # by seed, of the undistilled student whose temperature was fitted

    def hits(self, arm: str, seeds: list[str]) -> Floats:
        """(S, N), 1 where a net has the row right; an arm of one net gives one row."""
        nets = self.nets[arm]
        keys = [SINGLE] if set(nets) == {SINGLE} else seeds
        return np.array([nets[s].argmax(1) == self.predictions.targets for s in keys], dtype=np.float64)

    def common_seeds(self, a: str, b: str) -> list[str]:
        """The seeds by which two arms are paired, in their numerical order."""
        sets = [set(self.nets[arm]) for arm in (a, b) if set(self.nets[arm]) != {SINGLE}]
        return sorted(set.intersection(*sets), key=seed_order) if sets else [SINGLE]

    def interval(self, name: str, statistics: list[Statistic]) -> dict[str, float | None]:
        """A measure over seeds with the interval that fits its kind."""
        sample = self.resamples.sample(statistics)
        if name in SHARES:
            found = share(sample, self.confidence)
        else:
            low, high = BOUNDS.get(name, (0.0, np.inf))
            plain = two_level(sample, self.confidence)
            found = Interval(plain.value, max(plain.low, low), min(plain.high, high))
        return as_json(found)


def open_court(
    predictions: Predictions,
    saw: Mapping[str, Mapping[str, Any]],
    confidence: float,
    margin: float,
    resamples: int,
    valid: Predictions | None,
) -> Court:
    """Check what is to be judged.

    Raises:
        RejectedError: there are no rows, or an arm without which nothing can be said is missing.
    """
    for arm in ("distilled", "labels_only"):
        if not predictions.log_probs.get(arm):
            raise RejectedError(
                f"There are no predictions of the arm {arm!r}, without which nothing can be said about distilling. "
                "Run the same command again: it trains what is missing."
            )
    if not len(predictions.rows):
        raise RejectedError("There are no test rows, so nothing can be judged. Set [data] test above 0.")
    known = [arm for arm in (*TEACHERS, *STUDENTS) if predictions.log_probs.get(arm)]
    nets = {a: _floored(predictions, a) for a in (*known, *sorted(set(predictions.log_probs) - set(known)))}
    temperatures = _temperatures(valid, nets["labels_only"])
    if temperatures:
        nets[TEMPERED] = {s: calibration.temper(nets["labels_only"][s], t) for s, t in temperatures.items()}
    rows = RowResamples(len(predictions.rows), resamples)
    return Court(predictions, nets, rows, saw, confidence, margin, temperatures)


def _floored(predictions: Predictions, arm: str) -> dict[str, Floats]:
    nets = predictions.log_probs[arm]
    return {seed: floored(nets[seed]) for seed in sorted(nets, key=seed_order)}


def _temperatures(valid: Predictions | None, nets: Mapping[str, Floats]) -> dict[str, float]:
    """By seed, the temperature at which the undistilled student fits the validation rows best."""
    if valid is None or not len(valid.rows) or not valid.log_probs.get("labels_only"):
        return {}
    fitted = _floored(valid, "labels_only")
    return {s: calibration.fit_temperature(fitted[s], valid.targets) for s in nets if s in fitted}


def is_number(seed: str) -> bool:
    """Whether a seed's text is a whole number."""
    return seed.removeprefix("-").isdecimal()


def seed_order(seed: str) -> tuple[int, str]:
    """Sort key that puts seed 10 behind seed 9."""
    return (int(seed) if is_number(seed) else -1, seed)


def as_json(interval: Interval) -> dict[str, float | None]:
    """An interval with null for what is undefined, since JSON has no NaN."""
    return {k: (float(v) if np.isfinite(v) else None) for k, v in interval._asdict().items()}
