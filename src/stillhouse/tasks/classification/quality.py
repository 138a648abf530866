"""Measures of predictions against the true classes, each as sums over rows."""

from __future__ import annotations

import numpy as np

from stillhouse.evaluation.statistics import Floats, Integers, Statistic, auc, mean


def quality(log_probs: Floats, targets: Integers) -> dict[str, Statistic]:
    """All measures of quality of one net.

    ``accuracy``, ``balanced_accuracy``, ``macro_f1`` and, for two classes, ``auc`` in [0, 1]; ``nll`` in nats a row;
    ``brier`` summed over the classes, in [0, 2]; ``aurc``, the area under the risk-coverage curve, in [0, 1].

    Args:
        log_probs: (N, C), finite.
        targets: (N,) in [0, C).

    >>> logs = np.log(np.array([[0.8, 0.2], [0.4, 0.6]]))
    >>> print(f"{quality(logs, np.array([0, 0]))['nll'].components.mean():.4f}")
    0.5697
    """
    classes, rows = log_probs.shape[1], len(targets)
    probabilities, predicted = np.exp(log_probs), log_probs.argmax(1)
    hits = (predicted == targets).astype(np.float64)
    nll = -np.take_along_axis(log_probs, targets[:, None], 1)[:, 0]
    statistics = {
        "accuracy": mean(hits),
        "balanced_accuracy": Statistic(_balanced_accuracy(hits, targets), rows),
        "macro_f1": Statistic(_macro_f1(hits, targets, predicted, classes), rows),
        "nll": mean(nll),
        "brier": mean((probabilities**2).sum(1) - 2 * np.exp(-nll) + 1),
        "aurc": mean(risk_coverage_components(probabilities.max(1), 1 - hits)),
    }
    if classes == 2:
        statistics["auc"] = auc(log_probs[:, 1] - log_probs[:, 0], targets == 1)
    return statistics


def _balanced_accuracy(hits: Floats, targets: Integers) -> Floats:
    """Components of the mean, over the classes that occur, of the share of a class's rows that is right."""
    counts = np.bincount(targets)
    recall = np.bincount(targets, hits) / np.maximum(counts, 1)
    present = int((counts > 0).sum())
    effect = (hits - recall[targets]) / counts[targets]
    components: Floats = recall.sum() / present + len(hits) / present * effect
    return components


def _macro_f1(hits: Floats, targets: Integers, predicted: Integers, classes: int) -> Floats:
    """Components of the mean of 2 TP / (true + predicted) over the classes that occur in either, as in scikit-learn."""
    both = np.bincount(targets, minlength=classes) + np.bincount(predicted, minlength=classes)
    present, size = int((both > 0).sum()), np.maximum(both, 1)
    f1 = 2 * np.bincount(targets, hits, classes) / size
    effect = 2 * hits / size[targets] - f1[targets] / size[targets] - f1[predicted] / size[predicted]
    components: Floats = f1.sum() / present + len(hits) / present * effect
    return components


def selective_risk(confidence: Floats, errors: Floats) -> Floats:
    """Share of errors among the k most confident rows, k = 1 ... N; rows of equal confidence share their errors."""
    _, group, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    shared = (np.bincount(group, errors) / counts)[group]
    return np.cumsum(shared[np.argsort(-confidence, kind="stable")]) / np.arange(1, len(errors) + 1)


def risk_coverage_components(confidence: Floats, errors: Floats) -> Floats:
    """One number for each row; their mean is the area under the risk-coverage curve, and their spread is the area's.

    With r_k the risk of the k most confident rows, a row of rank j and error e has the influence
    r_j - A + sum over k >= j of (e - r_k) / k on the area A = mean of r (derived in docs/statistics.md).
    """
    order = np.argsort(-confidence, kind="stable")
    risk, ranks = selective_risk(confidence, errors), np.arange(1, len(errors) + 1)
    tail_share = np.cumsum((1 / ranks)[::-1])[::-1]
    tail_risk = np.cumsum((risk / ranks)[::-1])[::-1]
    _, group, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    shared = (np.bincount(group, errors) / counts)[group]
    components = np.empty(len(errors))
    components[order] = risk + shared[order] * tail_share - tail_risk
    return components
