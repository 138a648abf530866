"""Relation and contrast methods in float64, written from the papers' formulas, pair by pair and triple by triple."""

from __future__ import annotations

import numpy as np

from tests.reference.case import Array, Case


def _smooth_l1(gap: float) -> float:
    return gap**2 / 2 if abs(gap) < 1 else abs(gap) - 0.5


def _flat(features: Array) -> Array:
    return features.reshape(len(features), -1)


def _distances(rows: Array) -> Array:
    count = len(rows)
    found = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            if i != j:
                found[i, j] = max(np.sqrt(((rows[i] - rows[j]) ** 2).sum()), 1e-6)
    return np.asarray(found / found[~np.eye(count, dtype=bool)].mean())


def rkd_distance(student: Array, teacher: Array) -> float:
    if len(student) < 2:
        return 0.0
    gaps = _distances(_flat(student)) - _distances(_flat(teacher))
    return float(np.mean([_smooth_l1(gap) for gap in gaps.ravel()]))


def _cosine(rows: Array, i: int, j: int, k: int) -> float:
    a, b = rows[j] - rows[i], rows[k] - rows[i]
    lengths = np.sqrt((a**2).sum()) * np.sqrt((b**2).sum())
    return float((a * b).sum() / lengths) if lengths > 0 else 0.0


def rkd_angle(student: Array, teacher: Array) -> float:
    student, teacher, count = _flat(student), _flat(teacher), len(student)
    triples = [(i, j, k) for i in range(count) for j in range(count) for k in range(count)]
    return float(np.mean([_smooth_l1(_cosine(student, *ijk) - _cosine(teacher, *ijk)) for ijk in triples]))


def rkd(student: Array, teacher: Array, distance_weight: float = 25.0, angle_weight: float = 50.0) -> float:
    return distance_weight * rkd_distance(student, teacher) + angle_weight * rkd_angle(student, teacher)


def _neighbours(rows: Array) -> Array:
    count = len(rows)
    found = np.empty((count, count))
    for i in range(count):
        for j in range(count):
            a, b = (rows[n] / (np.sqrt((rows[n] ** 2).sum()) + 1e-7) for n in (i, j))
            found[i, j] = ((a * b).sum() + 1) / 2
    return np.asarray(found / found.sum(1, keepdims=True))


def pkt(student: Array, teacher: Array) -> float:
    p, q = _neighbours(_flat(teacher)), _neighbours(_flat(student))
    return float((p * np.log((p + 1e-7) / (q + 1e-7))).mean())


def _scaled_gram(rows: Array) -> Array:
    gram = rows @ rows.T
    for row in gram:
        length = np.sqrt((row**2).sum())
        row /= length if length > 0 else 1.0
    return np.asarray(gram)


def similarity(student: Array, teacher: Array) -> float:
    gap = _scaled_gram(_flat(teacher)) - _scaled_gram(_flat(student))
    return float((gap**2).sum() / len(student) ** 2)


def crd(
    positive: Array, negatives: Array, rows: int, normalizer: float = 1.0, contrast_temperature: float = 0.07
) -> float:
    losses = []
    noise = negatives.shape[1] / rows
    for own, others in zip(positive, negatives, strict=True):
        score = np.exp(own / contrast_temperature) / normalizer
        loss = -np.log(score / (score + noise))
        for other in others:
            score = np.exp(other / contrast_temperature) / normalizer
            loss -= np.log(noise / (score + noise))
        losses.append(loss)
    return float(np.mean(losses))


def rows_of_two_widths(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.standard_normal((6, 3)), rng.standard_normal((6, 5))


def maps_of_two_sizes(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.standard_normal((4, 2, 2, 2)), rng.standard_normal((4, 3, 3, 2))


def cosines(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.uniform(-1, 1, 4), rng.uniform(-1, 1, (4, 6))


CASES: dict[str, list[Case]] = {
    "rkd": [
        Case("rkd", rkd, rows_of_two_widths),
        Case("rkd_distance", rkd_distance, rows_of_two_widths),
        Case("rkd_angle", rkd_angle, rows_of_two_widths),
        Case("rkd", rkd, maps_of_two_sizes, {"distance_weight": 1.0, "angle_weight": 2.0}),
    ],
    "pkt": [Case("pkt", pkt, rows_of_two_widths), Case("pkt", pkt, maps_of_two_sizes)],
    "similarity": [
        Case("similarity", similarity, rows_of_two_widths),
        Case("similarity", similarity, maps_of_two_sizes),
    ],
    "crd": [
        Case("crd", crd, cosines, {"rows": 50}),
        Case("crd", crd, cosines, {"rows": 9, "normalizer": 300.0, "contrast_temperature": 0.2}),
    ],
}
