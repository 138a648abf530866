"""Measures of predicted sets of labels, each as one number for each row.

A label is predicted where its probability is at least one half. An unknown label of a row is NaN and does
not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stillhouse.evaluation.statistics import Floats, Statistic, auc, average, mean, ratio, undefined


def quality(log_odds: Floats, targets: Floats, names: Sequence[str]) -> dict[str, Statistic]:
    """All measures of one net.

    ``micro_f1`` 2 TP / (true + predicted) over all labels of all rows; ``macro_f1`` the mean over labels that occur in
    either; ``auc`` the mean area under the ROC curves of the labels that have both kinds of rows, and "auc:label" each;
    ``label_accuracy`` share of the labels of a row that are right; ``subset_accuracy`` share of rows with all labels
    right; ``log_loss`` mean binary negative log-likelihood of a label, nats; all but the last in [0, 1].

    Args:
        log_odds: (N, L), finite.
        targets: (N, L) of 0 and 1, NaN where a label is unknown.
        names: of the L labels.
    """
    known = ~np.isnan(targets)
    truth, where = np.where(known, targets, 0.0), known.astype(np.float64)
    said = (log_odds >= 0) * where
    both, size = said * truth, said + truth
    right = np.where(known, said == truth, True)
    share: Floats = np.maximum(where.sum(axis=1), 1.0)
    correct: Floats = (right * where).sum(axis=1) / share
    losses: Floats = np.logaddexp(0.0, np.where(truth > 0, -log_odds, log_odds)) * where
    loss: Floats = losses.sum(axis=1) / share
    subset: Floats = np.asarray(right.all(axis=1), np.float64)
    areas = [_auc(log_odds[:, k], targets[:, k]) for k in range(len(names))]
    return {
        "micro_f1": ratio(2 * both.sum(1), size.sum(1)),
        "macro_f1": average([ratio(2 * both[:, k], size[:, k]) for k in range(len(names))]),
        "auc": average(areas),
        "label_accuracy": mean(correct),
        "subset_accuracy": mean(subset),
        "log_loss": mean(loss),
        **{f"auc:{name}": area for name, area in zip(names, areas, strict=True)},
    }


def _auc(scores: Floats, targets: Floats) -> Statistic:
    """Over the rows whose label is known: the effects of the others are 0."""
    known = ~np.isnan(targets)
    inside = auc(scores[known], targets[known] > 0)
    if not inside.rows:
        return undefined(len(scores))
    value = inside.components.mean()
    components = np.full(len(scores), value)
    components[known] += (inside.components - value) * (len(scores) / known.sum())
    return Statistic(components, inside.rows)


def fidelity(log_odds: Floats, teacher: Floats) -> dict[str, Statistic]:
    """How close a student (N, L) is to its teacher (N, L), the mean over the labels.

    ``agreement``: share of equal predictions; ``kl``: KL(teacher, student) of a label in nats; ``total_variation``: the
    difference of the probabilities; ``agreement_f1``: micro F1 of the student's labels against the teacher's.
    """
    from scipy.special import expit

    ours, theirs = log_odds >= 0, teacher >= 0
    p, q = expit(teacher), expit(log_odds)
    divergence = p * (_log(teacher) - _log(log_odds)) + (1 - p) * (_log(-teacher) - _log(-log_odds))
    return {
        "agreement": mean((ours == theirs).mean(1)),
        "agreement_f1": ratio(2.0 * (ours & theirs).sum(1), (ours.sum(1) + theirs.sum(1)).astype(np.float64)),
        "kl": mean(divergence.mean(1)),
        "total_variation": mean(np.abs(p - q).mean(1)),
    }


def _log(log_odds: Floats) -> Floats:
    """Logarithm of the probability."""
    found: Floats = -np.logaddexp(0.0, -log_odds)
    return found
