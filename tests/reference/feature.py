"""Feature methods in float64, each written from its paper's formula, sample by sample."""

from __future__ import annotations

import numpy as np

from tests.reference.case import Array, Case
from tests.reference.divergences import kl, log_softmax


def fitnet(student: Array, teacher: Array) -> float:
    return float(np.mean([np.mean((s - t) ** 2) for s, t in zip(student, teacher, strict=True)]))


def _attention_map(maps: Array, p: int) -> Array:
    energy = (np.abs(maps) ** p).mean(0).ravel()
    length = np.sqrt((energy**2).sum())
    return np.asarray(energy / length if length > 0 else energy)


def attention(student: Array, teacher: Array, p: int = 2) -> float:
    losses = []
    for s, t in zip(student, teacher, strict=True):
        losses.append(((_attention_map(s, p) - _attention_map(t, p)) ** 2).mean())
    return float(np.mean(losses))


def attention_paper(student: Array, teacher: Array, p: int = 2) -> float:
    """The paper's own form, equation (2): a norm for each sample, not a mean of squares."""
    gaps = [_attention_map(s, p) - _attention_map(t, p) for s, t in zip(student, teacher, strict=True)]
    return float(np.mean([np.sqrt((gap**2).sum()) for gap in gaps]))


def srd(student: Array, teacher: Array, exponent: float = 4.0) -> float:
    return float(np.log((np.abs(student - teacher) ** exponent).sum() + 1e-8))


def _smooth_l1(gap: Array) -> Array:
    return np.where(np.abs(gap) < 1, gap**2 / 2, np.abs(gap) - 0.5)


def vkd(student: Array, teacher: Array) -> float:
    losses = []
    for s, t in zip(student, teacher, strict=True):
        target = (t - t.mean()) / np.sqrt(t.var() + 1e-5)
        losses.append(_smooth_l1(s - target).mean())
    return float(np.mean(losses))


def pool(maps: Array, size: int) -> Array:
    """Average pooling of (C, H, W) to size x size, with torch's windows: they overlap where sizes do not divide."""
    height, width = maps.shape[1:]
    rows = [slice(i * height // size, -(-(i + 1) * height // size)) for i in range(size)]
    columns = [slice(i * width // size, -(-(i + 1) * width // size)) for i in range(size)]
    return np.stack([np.stack([maps[:, r, c].mean((1, 2)) for c in columns], -1) for r in rows], -2)


def reviewkd(student: Array, teacher: Array) -> float:
    losses = []
    for s, t in zip(student, teacher, strict=True):
        loss, total, weight = ((s - t) ** 2).mean(), 1.0, 1.0
        for size in (4, 2, 1):
            if size < s.shape[1]:
                weight /= 2
                loss += weight * ((pool(s, size) - pool(t, size)) ** 2).mean()
                total += weight
        losses.append(loss / total)
    return float(np.mean(losses))


def vid(student: Array, teacher: Array, variance: Array | float = 5.0) -> float:
    spread = np.broadcast_to(np.asarray(variance, np.float64), (student.shape[1],))
    losses = []
    for s, t in zip(student, teacher, strict=True):
        channels = [((s[c] - t[c]) ** 2 / spread[c] + np.log(spread[c])) / 2 for c in range(len(s))]
        losses.append(np.mean(channels))
    return float(np.mean(losses))


def cwd(student: Array, teacher: Array, temperature: float = 4.0) -> float:
    losses = []
    for s, t in zip(student, teacher, strict=True):
        channels = [
            kl(log_softmax(b.ravel(), temperature), log_softmax(a.ravel(), temperature))
            for a, b in zip(s, t, strict=True)
        ]
        losses.append(temperature**2 * np.mean(channels))
    return float(np.mean(losses))


def embedding(student: Array, teacher: Array, distance: str = "mse") -> float:
    if distance == "mse":
        return fitnet(student, teacher)
    cosines = []
    for s, t in zip(student, teacher, strict=True):
        lengths = np.sqrt((s**2).sum()) * np.sqrt((t**2).sum())
        cosines.append((s * t).sum() / lengths if lengths > 0 else 0.0)
    return float(1 - np.mean(cosines))


def margin_mse(positive: Array, negative: Array, teacher_positive: Array, teacher_negative: Array) -> float:
    margins = zip(positive - negative, teacher_positive - teacher_negative, strict=True)
    return float(np.mean([(s - t) ** 2 for s, t in margins]))


def vectors(rng: np.random.Generator) -> tuple[Array, ...]:
    return 2 * rng.standard_normal((5, 7)), 2 * rng.standard_normal((5, 7))


def maps(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.standard_normal((3, 4, 5, 5)), rng.standard_normal((3, 4, 5, 5))


def maps_of_other_channels(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.standard_normal((3, 2, 4, 3)), rng.standard_normal((3, 5, 4, 3))


def maps_and_variance(rng: np.random.Generator) -> tuple[Array, ...]:
    return *maps(rng), rng.uniform(0.1, 4.0, 4)


def four_scores(rng: np.random.Generator) -> tuple[Array, ...]:
    return tuple(rng.standard_normal(6) for _ in range(4))


CASES: dict[str, list[Case]] = {
    "fitnet": [Case("fitnet", fitnet, maps), Case("fitnet", fitnet, vectors)],
    "attention": [
        Case("attention", attention, maps),
        Case("attention", attention, maps_of_other_channels),
        Case("attention", attention, maps, {"p": 4}),
        Case("attention", attention, maps, {"p": 3}),
    ],
    "simkd": [Case("simkd", fitnet, maps), Case("simkd", fitnet, vectors)],
    "srd": [Case("srd", srd, vectors), Case("srd", srd, vectors, {"exponent": 2.0})],
    "vkd": [Case("vkd", vkd, vectors)],
    "reviewkd": [Case("reviewkd", reviewkd, maps)],
    "vid": [Case("vid", vid, maps), Case("vid", vid, maps_and_variance), Case("vid", vid, vectors, {"variance": 0.5})],
    "cwd": [Case("cwd", cwd, maps), Case("cwd", cwd, maps, {"temperature": 1.0})],
    "embedding": [Case("embedding", embedding, vectors), Case("embedding", embedding, vectors, {"distance": "cosine"})],
    "margin_mse": [Case("margin_mse", margin_mse, four_scores)],
}
