"""Measures of text embedders: rank correlation with the teacher, the teacher's neighbours, neighbours by category.

Each measure is one number for each text, and the mean is the measure, so that resampling the numbers is resampling
texts (``resampling.Statistic``). Similarity is the cosine. Texts are searched among the same held-out texts: as queries
they are a sample, as the collection to search they are fixed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.evaluation.statistics import Floats, Statistic, conditional_mean

PRECISION, NDCG, RECALL, SPEARMAN = "precision_10", "ndcg_10", "recall_10", "spearman"
NEAREST = 10  # neighbours of a text
MOST_PAIRS = 250_000  # of texts, for the rank correlation
LEAST_TEXTS = 2 * NEAREST + 1  # fewer, and a chance ranking finds half of the neighbours
_CHUNK = 512  # queries whose similarities to all texts are held together

Ints = NDArray[np.int64]


def unit(vectors: NDArray[np.floating]) -> Floats:
    """Vectors (N, D) of length 1, float64; a zero vector stays zero and is similar to no text."""
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Floats = vectors / np.where(lengths > 0, lengths, 1.0)
    return found


def pair_offsets(texts: int, most: int = MOST_PAIRS, seed: int = 0) -> Ints:
    """A fixed sample of pairs (i, i + offset modulo N) with every text equally often and no pair twice.

    Args:
        texts: N, at least 3.
        most: pairs at most; at least N are drawn.
        seed: of the draw.

    Returns:
        Sorted offsets, int64 (K,), in [1, (N - 1) / 2].
    """
    possible = (texts - 1) // 2
    drawn = np.random.default_rng(seed).permutation(possible)[: max(1, most // texts)] + 1
    return np.sort(drawn).astype(np.int64)


def pair_cosines(vectors: NDArray[np.floating], offsets: Ints) -> Floats:
    """Cosines (N, K) of each text with the texts at the given offsets from it.

    Args:
        vectors: (N, D).
        offsets: (K,), from ``pair_offsets``.
    """
    units = unit(vectors)
    columns = [np.einsum("nd,nd->n", units, np.roll(units, -offset, axis=0)) for offset in offsets.tolist()]
    return np.stack(columns, axis=1)


def rank_correlation(student: Floats, teacher: Floats, offsets: Ints) -> Statistic:
    """Spearman's rank correlation of two nets' cosines, with the first-order effect of each text.

    The effect of a text is twice the mean of the effects of its pairs (Hajek's projection of a mean over pairs). The
    effect of one pair is the influence function of Spearman's coefficient 12 E[F(x) G(y)] - 3, the shift of the ranks
    included (Croux and Dehon, Statistical Methods and Applications 2010).

    Args:
        student: (N, K), from ``pair_cosines``.
        teacher: the same pairs.
        offsets: (K,).
    """
    from scipy.stats import rankdata, spearmanr

    x, y = student.ravel(), teacher.ravel()
    if np.ptp(x) == 0 or np.ptp(y) == 0:  # a net that gives every text the same vector ranks nothing
        return Statistic(np.zeros(len(student)), len(student))
    value = float(spearmanr(x, y).statistic)
    u, v = (rankdata(values) / len(values) for values in (x, y))
    effects = 12 * (u * v + _mean_above(x, v) + _mean_above(y, u))
    effects = (effects - effects.mean()).reshape(student.shape)
    by_text = effects.sum(1)
    for column, offset in enumerate(offsets.tolist()):
        by_text += np.roll(effects[:, column], offset)
    return Statistic(value + 2 * by_text / (2 * len(offsets)), len(student))


def _mean_above(values: Floats, weights: Floats) -> Floats:
    """For each value: the mean over all values of their weights, where weights of smaller values count as 0."""
    order = np.argsort(values, kind="stable")
    found = np.empty_like(weights)
    found[order] = np.cumsum(weights[order][::-1])[::-1] / len(values)
    return found


def neighbours(vectors: NDArray[np.floating], count: int = NEAREST) -> Ints:
    """The nearest other texts of each by cosine, nearest first, int64 (N, count); of equally near ones the earlier."""
    units = unit(vectors)
    found = []
    for start in range(0, len(units), _CHUNK):
        likeness = units[start : start + _CHUNK] @ units.T
        likeness[np.arange(len(likeness)), np.arange(start, start + len(likeness))] = -np.inf
        found.append(np.argsort(-likeness, axis=1, kind="stable")[:, :count])
    return np.concatenate(found).astype(np.int64)


def neighbours_found(student: Ints, teacher: Ints) -> tuple[Statistic, Statistic]:
    """How well a student finds the teacher's nearest texts, which are all equally relevant: nDCG and recall.

    Args:
        student: (N, k), from ``neighbours``.
        teacher: (N, k).

    Returns:
        nDCG at k, with the discount 1 / log2(rank + 1) (Jarvelin and Kekalainen 2002), and recall at k.
    """
    hits = (student[:, :, None] == teacher[:, None, :]).any(2).astype(np.float64)
    discounts = 1 / np.log2(np.arange(2, student.shape[1] + 2))
    return Statistic(hits @ discounts / discounts.sum(), len(hits)), Statistic(hits.mean(1), len(hits))


def same_category(vectors: NDArray[np.floating], labels: Ints) -> Statistic:
    """Precision at k by category: the share of a text's nearest labelled texts that have its own label.

    Args:
        vectors: (N, D).
        labels: (N,), -1 where a text has none: it is neither a query nor a result.

    Returns:
        A mean over the labelled texts.
    """
    known = labels >= 0
    nearest = neighbours(vectors[known])
    shares = np.zeros(len(labels))
    shares[known] = (labels[known][nearest] == labels[known][:, None]).mean(1)
    return Statistic(shares, len(shares)) if known.all() else conditional_mean(shares, known.astype(np.float64))
