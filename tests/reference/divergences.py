"""Divergences in float64, each written from its paper's formula with probabilities, not logs."""

from __future__ import annotations

import numpy as np

from tests.reference.case import Array, Case
from tests.reference.inputs import pair


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    z = np.asarray(logits, np.float64) / temperature
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def log_softmax(logits: Array, temperature: float = 1.0) -> Array:
    z = np.asarray(logits, np.float64) / temperature
    z = z - z.max(-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(-1, keepdims=True)))


def kl(log_a: Array, log_b: Array) -> Array:
    """KL(a || b) of each row; 0 log 0 = 0."""
    a = np.exp(log_a)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(a > 0, a * (log_a - log_b), 0.0).sum(-1))


def forward_kl(student: Array, teacher: Array, temperature: float = 1.0) -> float:
    return float(temperature**2 * kl(log_softmax(teacher, temperature), log_softmax(student, temperature)).mean())


def reverse_kl(student: Array, teacher: Array, temperature: float = 1.0) -> float:
    return float(temperature**2 * kl(log_softmax(student, temperature), log_softmax(teacher, temperature)).mean())


def _log_mix(log_a: Array, log_b: Array, weight: float) -> Array:
    """log of weight * a + (1 - weight) * b."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.logaddexp(np.log(weight) + log_a, np.log(1 - weight) + log_b))


def jensen_shannon(
    student: Array, teacher: Array, beta: float = 0.5, temperature: float = 1.0, normalized: bool = False
) -> float:
    if beta == 0.0:
        return forward_kl(student, teacher, temperature)
    if beta == 1.0:
        return reverse_kl(student, teacher, temperature)
    log_p, log_q = log_softmax(teacher, temperature), log_softmax(student, temperature)
    log_m = _log_mix(log_p, log_q, beta)
    value = float(temperature**2 * (beta * kl(log_p, log_m) + (1 - beta) * kl(log_q, log_m)).mean())
    return value / (beta * (1 - beta)) if normalized else value


def skew_kl(student: Array, teacher: Array, alpha: float = 0.1, temperature: float = 1.0) -> float:
    log_p, log_q = log_softmax(teacher, temperature), log_softmax(student, temperature)
    return float(temperature**2 * kl(log_p, _log_mix(log_p, log_q, alpha)).mean())


def skew_reverse_kl(student: Array, teacher: Array, alpha: float = 0.1, temperature: float = 1.0) -> float:
    log_p, log_q = log_softmax(teacher, temperature), log_softmax(student, temperature)
    return float(temperature**2 * kl(log_q, _log_mix(log_q, log_p, alpha)).mean())


def adaptive_weights(student: Array, teacher: Array, mu: float = 0.5, temperature: float = 1.0) -> Array:
    """Share of the gap that lies in the teacher's head, one a row."""
    p, q = softmax(teacher, temperature), softmax(student, temperature)
    shares = []
    for teacher_row, student_row in zip(p, q, strict=True):
        held, head = 0.0, list[int]()
        for c in np.argsort(-teacher_row, kind="stable"):
            held += teacher_row[c]
            if head and held > mu + 1e-9:
                break
            head.append(int(c))
        gap = np.abs(teacher_row - student_row)
        shares.append(gap[head].sum() / gap.sum() if gap.sum() > 0 else 0.5)
    return np.array(shares)


def adaptive_kl(
    student: Array, teacher: Array, mu: float = 0.5, temperature: float = 1.0, weights: Array | None = None
) -> float:
    head = adaptive_weights(student, teacher, mu, temperature) if weights is None else weights
    log_p, log_q = log_softmax(teacher, temperature), log_softmax(student, temperature)
    return float(temperature**2 * (head * kl(log_p, log_q) + (1 - head) * kl(log_q, log_p)).mean())


def frozen_weights(student: Array, teacher: Array, mu: float = 0.5, temperature: float = 1.0) -> dict[str, Array]:
    """The weights carry no gradient: the central difference holds them where they are."""
    return {"weights": adaptive_weights(student, teacher, mu, temperature)}


def total_variation(student: Array, teacher: Array, temperature: float = 1.0) -> float:
    return float(
        temperature**2 * 0.5 * np.abs(softmax(teacher, temperature) - softmax(student, temperature)).sum(-1).mean()
    )


def alpha_beta(
    student: Array, teacher: Array, alpha: float = 0.2, beta: float = 0.7, temperature: float = 1.0
) -> float:
    """The general case; a, b and a + b other than 0."""
    p, q, a, b = softmax(teacher, temperature), softmax(student, temperature), alpha, beta
    terms = p**a * q**b - a / (a + b) * p ** (a + b) - b / (a + b) * q ** (a + b)
    return float(temperature**2 * (-1 / (a * b) * terms.sum(-1)).mean())


def overlap(student: Array, teacher: Array, temperature: float = 1.0) -> Array:
    """Share of the student's tokens that speculative decoding accepts, one a row: sum of min(p, q)."""
    return np.asarray(np.minimum(softmax(teacher, temperature), softmax(student, temperature)).sum(-1))


def acceptance(student: Array, teacher: Array, temperature: float = 1.0) -> float:
    return float(-(temperature**2) * np.log(overlap(student, teacher, temperature)).mean())


def lk_hybrid(
    student: Array, teacher: Array, eta: float = 3.0, temperature: float = 1.0, weights: Array | None = None
) -> float:
    weight = np.exp(-eta * overlap(student, teacher, temperature)) if weights is None else weights
    divergence = kl(log_softmax(teacher, temperature), log_softmax(student, temperature))
    distance = 0.5 * np.abs(softmax(teacher, temperature) - softmax(student, temperature)).sum(-1)
    return float(temperature**2 * (weight * divergence + (1 - weight) * distance).mean())


def frozen_hybrid(student: Array, teacher: Array, eta: float = 3.0, temperature: float = 1.0) -> dict[str, Array]:
    """The weight carries no gradient."""
    return {"weights": np.exp(-eta * overlap(student, teacher, temperature))}


CASES: dict[str, list[Case]] = {
    "forward_kl": [Case("forward_kl", forward_kl, pair), Case("forward_kl", forward_kl, pair, {"temperature": 3.0})],
    "reverse_kl": [Case("reverse_kl", reverse_kl, pair), Case("reverse_kl", reverse_kl, pair, {"temperature": 3.0})],
    "jensen_shannon": [
        Case("jensen_shannon", jensen_shannon, pair, settings)
        for settings in (
            {},
            {"beta": 0.1},
            {"beta": 0.9, "temperature": 2.0},
            {"beta": 0.3, "normalized": True},
            {"beta": 0.0},
            {"beta": 1.0, "normalized": True},
        )
    ],
    "skew_kl": [Case("skew_kl", skew_kl, pair, s) for s in ({}, {"alpha": 0.0}, {"alpha": 0.7, "temperature": 2.0})],
    "skew_reverse_kl": [
        Case("skew_reverse_kl", skew_reverse_kl, pair, s)
        for s in ({}, {"alpha": 0.0}, {"alpha": 0.7, "temperature": 2.0})
    ],
    "adaptive_kl": [
        Case("adaptive_kl", adaptive_kl, pair, s, constants=frozen_weights)
        for s in ({}, {"mu": 0.8, "temperature": 2.0})
    ],
    "total_variation": [Case("total_variation", total_variation, pair, s) for s in ({}, {"temperature": 2.0})],
    "alpha_beta": [
        Case("alpha_beta", alpha_beta, pair, s)
        for s in ({}, {"alpha": 0.7, "beta": 0.2, "temperature": 2.0}, {"alpha": 0.5, "beta": 0.5})
    ],
    "acceptance": [Case("acceptance", acceptance, pair, s) for s in ({}, {"temperature": 2.0})],
    "lk_hybrid": [
        Case("lk_hybrid", lk_hybrid, pair, s, constants=frozen_hybrid)
        for s in ({}, {"eta": 0.5, "temperature": 2.0}, {"eta": 0.0})
    ],
}
