"""Logit methods in float64, each written from its paper's formula, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.reference.case import Array, Case
from tests.reference.divergences import forward_kl, kl, log_softmax, softmax
from tests.reference.inputs import pair, pair_and_targets


def hinton(student: Array, teacher: Array, temperature: float = 4.0) -> float:
    return forward_kl(student, teacher, temperature)


def logit_regression(student: Array, teacher: Array) -> float:
    s = student - student.mean(-1, keepdims=True)
    t = teacher - teacher.mean(-1, keepdims=True)
    return float(((s - t) ** 2).sum(-1).mean())


def dkd_parts(student: Array, teacher: Array, targets: Array, temperature: float = 4.0) -> tuple[Array, Array]:
    """Target part and part among the others, T^2 included, one a sample."""
    target, rest = [], []
    for s, t, y in zip(student, teacher, targets, strict=True):
        others = np.arange(len(s)) != y
        log_q, log_p = log_softmax(s, temperature), log_softmax(t, temperature)
        binary_q = np.array([log_q[y], np.logaddexp.reduce(log_q[others])])
        binary_p = np.array([log_p[y], np.logaddexp.reduce(log_p[others])])
        target.append(kl(binary_p, binary_q))
        rest.append(kl(log_softmax(t[others], temperature), log_softmax(s[others], temperature)))
    return temperature**2 * np.array(target), temperature**2 * np.array(rest)


def dkd(
    student: Array, teacher: Array, targets: Array, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0
) -> float:
    target, rest = dkd_parts(student, teacher, targets, temperature)
    return float((alpha * target + beta * rest).mean())


def _pearson(a: Array, b: Array, eps: float = 1e-8) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (np.sqrt((a**2).sum()) * np.sqrt((b**2).sum()) + eps))


def dist(student: Array, teacher: Array, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0) -> float:
    q, p = softmax(student, temperature), softmax(teacher, temperature)
    inter = 1 - np.mean([_pearson(q[i], p[i]) for i in range(len(q))])
    intra = 1 - np.mean([_pearson(q[:, c], p[:, c]) for c in range(q.shape[1])]) if len(q) > 1 else 0.0
    return float(temperature**2 * (beta * inter + gamma * intra))


def nkd(student: Array, teacher: Array, targets: Array, gamma: float = 1.5, temperature: float = 1.0) -> float:
    losses = []
    for s, t, y in zip(student, teacher, targets, strict=True):
        others = np.arange(len(s)) != y
        target = -softmax(t)[y] * log_softmax(s)[y]
        rest = -(softmax(t[others], temperature) * log_softmax(s[others], temperature)).sum()
        losses.append(target + gamma * temperature**2 * rest)
    return float(np.mean(losses))


def standardized(logits: Array, ddof: int = 1) -> Array:
    centred = logits - logits.mean(-1, keepdims=True)
    return np.asarray(centred / (1e-7 + logits.std(-1, keepdims=True, ddof=ddof)))


def lskd(student: Array, teacher: Array, temperature: float = 2.0) -> float:
    return forward_kl(standardized(student), standardized(teacher), temperature)


def ttm(student: Array, teacher: Array, gamma: float = 0.1, weighted: bool = False) -> float:
    losses = []
    for s, t in zip(student, teacher, strict=True):
        powers = softmax(t) ** gamma
        total = powers.sum()
        loss = (powers / total * (gamma * log_softmax(t) - np.log(total) - log_softmax(s))).sum()
        losses.append(total * loss if weighted else loss)
    return float(np.mean(losses))


def ctkd(student: Array, teacher: Array, theta: Array) -> float:
    return forward_kl(student, teacher, 1.0 + 20.0 / (1.0 + float(np.exp(-theta))))


def mlld(student: Array, teacher: Array, temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0)) -> float:
    total, (samples, classes) = 0.0, student.shape
    for temperature in temperatures:
        q, p = softmax(student, temperature), softmax(teacher, temperature)
        total += forward_kl(student, teacher, temperature)
        total += sum((p[i] @ p[j] - q[i] @ q[j]) ** 2 for i in range(samples) for j in range(samples)) / samples
        total += (
            sum((p[:, c] @ p[:, d] - q[:, c] @ q[:, d]) ** 2 for c in range(classes) for d in range(classes)) / classes
        )
    return float(total)


def pair_and_theta(rng: np.random.Generator) -> tuple[Array, ...]:
    """Student, teacher and the learned temperature's parameter."""
    return *pair(rng), np.array(1.0)


CASES: dict[str, list[Case]] = {
    "hinton": [Case("hinton", hinton, pair), Case("hinton", hinton, pair, {"temperature": 1.0})],
    "logit_regression": [Case("logit_regression", logit_regression, pair)],
    "dkd": [
        Case("dkd", dkd, pair_and_targets),
        Case("dkd", dkd, pair_and_targets, {"alpha": 0.5, "beta": 2.0, "temperature": 1.0}),
    ],
    "dist": [Case("dist", dist, pair), Case("dist", dist, pair, {"beta": 2.0, "gamma": 0.5, "temperature": 4.0})],
    "nkd": [Case("nkd", nkd, pair_and_targets), Case("nkd", nkd, pair_and_targets, {"gamma": 0.5, "temperature": 2.0})],
    "lskd": [Case("lskd", lskd, pair), Case("lskd", lskd, pair, {"temperature": 4.0})],
    "ttm": [Case("ttm", ttm, pair), Case("ttm", ttm, pair, {"gamma": 0.25, "weighted": True})],
    "ctkd": [Case("ctkd", ctkd, pair_and_theta)],
    "mlld": [Case("mlld", mlld, pair), Case("mlld", mlld, pair, {"temperatures": (1.0, 4.0)})],
}
