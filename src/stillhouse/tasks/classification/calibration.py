"""Calibration: whether predictions with a confidence of 0.8 are right eight times in ten.

The usual expected calibration error, the mean over bins of |confidence - accuracy|, is biased: even a perfectly
calibrated model has an error well above zero on 1,000 rows, and more on fewer rows. Here the square of each bin's gap
is estimated without bias (Kumar, Liang and Ma, "Verified Uncertainty Calibration", 2019) and the root is taken once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stillhouse.evaluation.resampling import Interval, satterthwaite
from stillhouse.evaluation.statistics import Floats, Integers
from stillhouse.tasks.classification.quality import selective_risk

BINS = 15
CURVE_POINTS = 50


class SquaredError(NamedTuple):
    """An estimate of a mean squared calibration gap."""

    value: float  # without bias; may be negative
    plug_in: float  # with the bias of the noise in the bins' gaps
    components: Floats  # (N,): first-order effect of each row on the plug-in, centred
    noise: float  # variance from the noise of the bins' gaps alone, if all true gaps are 0


def bin_of(confidence: Floats, bins: int = BINS) -> Integers:
    """Number of the bin of equal width, [0, 1/bins), ..., [1 - 1/bins, 1]: a confidence of exactly 1 is in the last.

    >>> bin_of(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 7, 14]
    """
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def squared_error(confidence: Floats, correct: Floats, bins: int = BINS) -> SquaredError:
    """Mean over the rows of the squared gap between confidence and accuracy of a row's bin, without bias.

    In a bin of n rows with gaps g_i the square of the mean gap is estimated by mean(g)^2 - var(g) / n, which has the
    right expectation, and may be negative. A bin of one row gives no estimate of its variance and is left out.
    """
    which, gaps = bin_of(confidence, bins), confidence - correct
    counts = np.bincount(which, minlength=bins).astype(np.float64)
    used = counts > 1
    n, rows = np.maximum(counts, 2), max(float(counts[used].sum()), 1.0)
    gap = np.bincount(which, gaps, bins) / n
    noise = np.maximum(np.bincount(which, gaps**2, bins) / n - gap**2, 0.0) / (n - 1)
    weight = np.where(used, counts / rows, 0.0)
    plug_in = float((weight * gap**2).sum())
    components = np.where(used[which], gap[which] * (2 * gaps - gap[which]) - plug_in, 0.0)
    value, second = plug_in - float((weight * noise).sum()), float(2 * (weight**2 * noise**2).sum())
    return SquaredError(value, plug_in, components, second)


def plain_error(confidence: Floats, correct: Floats, bins: int = BINS) -> float:
    """The usual expected calibration error, biased upward: mean over the rows of a bin's |confidence - accuracy|."""
    gaps = np.bincount(bin_of(confidence, bins), confidence - correct, bins)
    return float(np.abs(gaps).sum() / len(confidence))


def class_squared_error(log_probs: Floats, targets: Integers, bins: int = BINS) -> SquaredError:
    """The same for the probability of every class, not only of the predicted one; the mean over the classes."""
    probabilities = np.exp(log_probs)
    parts = [
        squared_error(probabilities[:, c], (targets == c).astype(np.float64), bins)
        for c in range(probabilities.shape[1])
    ]
    return average(parts)


def average(errors: Sequence[SquaredError]) -> SquaredError:
    """The mean of several errors on the same rows; their noise counts as fully correlated."""
    values, plug_ins, components, noises = zip(*errors, strict=True)
    noise = float(np.mean(np.sqrt(noises)) ** 2)
    return SquaredError(float(np.mean(values)), float(np.mean(plug_ins)), np.mean(components, axis=0), noise)


def root_interval(errors: Sequence[SquaredError], confidence: float) -> Interval:
    """Root of the mean squared error over seeds, with a score interval on the squared scale.

    The squared error is an average of squares, so its variance grows with the true value. The variance is modelled as
    the noise of the bins plus a part proportional to the value. The interval holds the values that are not further from
    the estimate than Student's t allows, as Wilson's interval does for a share. The factor is that of the plug-in,
    whose rows' components are averaged over the seeds first, because seeds share their rows.
    """
    from scipy.special import stdtrit

    values, together = np.array([e.value for e in errors]), average(errors)
    rows = len(together.components)
    by_seeds = float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0
    parts = satterthwaite(float(together.components.var() / rows), by_seeds, rows, len(values))
    slope = parts.error**2 / together.plug_in if together.plug_in > 0 else 0.0
    t = float(stdtrit(parts.df, (1 + confidence) / 2))
    centre = together.value + t**2 * slope / 2
    half = np.sqrt(max(centre**2 - together.value**2, 0.0) + t**2 * together.noise)
    least = centre - half if _miscalibrated(together, (1 - confidence) / 2) else 0.0
    low, value, high = np.sqrt(np.maximum([least, together.value, centre + half], 0.0))
    return Interval(float(value), min(float(low), float(value)), float(high))


def _miscalibrated(error: SquaredError, level: float) -> bool:
    """Whether the plug-in is larger than noise explains: a sum of squares, so the test is chi-squared, not normal."""
    from scipy.special import chdtrc

    expected = error.plug_in - error.value
    if not (expected > 0 and error.noise > 0):
        return error.plug_in > 0
    df = 2 * expected**2 / error.noise
    return bool(chdtrc(df, df * error.plug_in / expected) <= level)


def reliability_curve(nets: Sequence[Floats], targets: Integers, confidence: float) -> list[dict[str, Any]]:
    """Accuracy against confidence in bins of equal width, with Wilson intervals; empty bins are left out.

    Several seeds are pooled, but the number of rows is that of one seed: all seeds have the same rows.
    """
    from scipy.special import ndtri

    sure = np.concatenate([np.exp(net.max(1)) for net in nets])
    correct = np.concatenate([(net.argmax(1) == targets).astype(np.float64) for net in nets])
    which = bin_of(sure)
    counts = np.bincount(which, minlength=BINS)
    z = float(ndtri((1 + confidence) / 2))
    curve = []
    for b in np.flatnonzero(counts):
        n, right = counts[b] / len(nets), float(correct[which == b].mean())
        centre = (right + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * float(np.sqrt(right * (1 - right) / n + z**2 / (4 * n**2)))
        curve.append(
            {
                "from": int(b) / BINS,
                "to": (int(b) + 1) / BINS,
                "confidence": float(sure[which == b].mean()),
                "accuracy": right,
                "low": max(centre - half, 0.0),
                "high": min(centre + half, 1.0),
                "rows": float(n),
            }
        )
    return curve


def risk_coverage_curve(nets: Sequence[Floats], targets: Integers) -> dict[str, list[float]]:
    """Share of errors among the most confident rows, against the share of rows answered; the mean over the seeds."""
    risks = [selective_risk(np.exp(net.max(1)), (net.argmax(1) != targets).astype(np.float64)) for net in nets]
    risk = np.mean(risks, axis=0)
    points = np.unique(np.linspace(0, len(risk) - 1, min(CURVE_POINTS, len(risk))).astype(np.int64))
    return {"coverage": ((points + 1) / len(risk)).tolist(), "risk": risk[points].tolist()}


def fit_temperature(log_probs: Floats, targets: Integers, weights: Floats | None = None) -> float:
    """The temperature in [0.05, 20] that is most probable given the labels: log_softmax(log_probs / T) explains them.

    Its logarithm has a standard normal prior, which weighs about as much as one row: few rows that are all right would
    else say that the net is never wrong. ``weights`` (N,) say how much each row counts; None: all alike.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = temper(log_probs, float(np.exp(log_temperature)))
        losses = -np.take_along_axis(scaled, targets[:, None], 1)[:, 0]
        return float(np.average(losses, weights=weights)) + log_temperature**2 / (2 * len(targets))

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))


def temper(log_probs: Floats, temperature: float) -> Floats:
    """Log-probabilities of the same net at another temperature."""
    from scipy.special import log_softmax

    scaled: Floats = log_softmax(log_probs / temperature, axis=1)
    return scaled
