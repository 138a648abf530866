"""Transformer methods in float64, written from the papers' formulas, token by token and head by head."""

from __future__ import annotations

import numpy as np

from tests.reference.case import Array, Case
from tests.reference.divergences import forward_kl, kl, log_softmax


def hidden_cosine(student: Array, teacher: Array) -> float:
    width = student.shape[-1]
    cosines = []
    for s, t in zip(student.reshape(-1, width), teacher.reshape(-1, width), strict=True):
        cosines.append((s * t).sum() / np.sqrt((s**2).sum() * (t**2).sum()))
    return float(1 - np.mean(cosines))


def distilbert(
    student_logits: Array,
    teacher_logits: Array,
    student_hidden: Array,
    teacher_hidden: Array,
    temperature: float = 2.0,
    soft_weight: float = 5.0,
    cosine_weight: float = 1.0,
) -> float:
    soft = forward_kl(student_logits, teacher_logits, temperature)
    return soft_weight * soft + cosine_weight * hidden_cosine(student_hidden, teacher_hidden)


def tinybert(student_hidden: Array, teacher_hidden: Array, student_scores: Array, teacher_scores: Array) -> float:
    scores = [np.where(s <= -100, 0.0, s) for s in (student_scores, teacher_scores)]
    return float(((student_hidden - teacher_hidden) ** 2).mean() + ((scores[0] - scores[1]) ** 2).mean())


def _relation(tokens: Array, head: int, heads: int, token: int) -> Array:
    width = tokens.shape[1] // heads
    part = tokens[:, head * width : (head + 1) * width]
    return log_softmax(part @ part[token] / np.sqrt(width))


def minilm(student: Array, teacher: Array, relation_heads: int = 48) -> float:
    losses = []
    for s, t in zip(student, teacher, strict=True):
        for head in range(relation_heads):
            for token in range(len(s)):
                q, p = (_relation(side, head, relation_heads, token) for side in (s, t))
                losses.append(kl(p, q))
    return float(np.mean(losses))


def token_outputs(rng: np.random.Generator) -> tuple[Array, ...]:
    return tuple(2 * rng.standard_normal((2, 3, width)) for width in (4, 4, 5, 5))


def row_outputs(rng: np.random.Generator) -> tuple[Array, ...]:
    return *(rng.standard_normal((2, 3)) for _ in range(2)), *(rng.standard_normal((2, 4, 5)) for _ in range(2))


def hidden_and_scores(rng: np.random.Generator) -> tuple[Array, ...]:
    hidden = [rng.standard_normal((2, 3, 4)) for _ in range(2)]
    return *hidden, *(3 * rng.standard_normal((2, 2, 3, 3)) for _ in range(2))


def masked_scores(rng: np.random.Generator) -> tuple[Array, ...]:
    """Scores of which the last key was ruled out by adding -10000, as Hugging Face's BERT does."""
    inputs = hidden_and_scores(rng)
    for scores in inputs[2:]:
        scores[..., -1] -= 10000.0
    return inputs


def projections(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 4, 12))


CASES: dict[str, list[Case]] = {
    "distilbert": [
        Case("distilbert", distilbert, token_outputs),
        Case("distilbert", distilbert, row_outputs, {"temperature": 3.0, "soft_weight": 1.0, "cosine_weight": 2.0}),
    ],
    "tinybert": [Case("tinybert", tinybert, hidden_and_scores), Case("tinybert", tinybert, masked_scores)],
    "minilm": [
        Case("minilm", minilm, projections, {"relation_heads": 1}),
        Case("minilm", minilm, projections, {"relation_heads": 6}),
    ],
}
