"""How good the predictions are against the true classes, each measure as sums over rows."""

from __future__ import annotations

import numpy as np

from stillhouse.evaluation.predictions import Floats, Integers
from stillhouse.evaluation.resampling import Statistic

HIGHER_IS_BETTER = {
    "accuracy": True, "balanced_accuracy": True, "macro_f1": True, "auc": True,
    "nll": False, "brier": False, "aurc": False,
}  # fmt: skip


def quality(log_probs: Floats, targets: Integers) -> dict[str, Statistic]:
    """All measures of quality of one net.

    ``accuracy``, ``balanced_accuracy``, ``macro_f1`` and, for two classes, ``auc`` in [0, 1]; ``nll`` in nats a row;
    ``brier`` summed over the classes, in [0, 2]; ``aurc``, the area under the risk-coverage curve, in [0, 1].

    Args:
        log_probs: (N, C), finite.
        targets: (N,) in [0, C).

    >>> logs = np.log(np.array([[0.8, 0.2], [0.4, 0.6]]))
    >>> s = quality(logs, np.array([0, 0]))["nll"]
    >>> print(f"{s.combine(s.columns.sum(0), np.array(2.0)):.4f}")
    0.5697
    """
    classes = log_probs.shape[1]
    probabilities, predicted = np.exp(log_probs), log_probs.argmax(1)
    truth, said = np.eye(classes)[targets], np.eye(classes)[predicted]
    hits = truth * said
    statistics = {
        "accuracy": mean(hits.sum(1)),
        "balanced_accuracy": Statistic(np.concatenate([truth, hits], 1), _balanced_accuracy, len(targets)),
        "macro_f1": Statistic(np.concatenate([truth + said, hits], 1), _macro_f1, len(targets)),
        "nll": mean(-np.take_along_axis(log_probs, targets[:, None], 1)[:, 0]),
        "brier": mean(((probabilities - truth) ** 2).sum(1)),
        "aurc": mean(risk_coverage_components(probabilities.max(1), 1.0 - hits.sum(1))),
    }
    if classes == 2:
        statistics["auc"] = _auc(log_probs[:, 1] - log_probs[:, 0], targets)
    return statistics


def mean(values: Floats) -> Statistic:
    """The mean of one number a row."""
    return Statistic(values[:, None], lambda sums, total: sums[..., 0] / total, len(values))


def conditional_mean(values: Floats, where: Floats) -> Statistic:
    """The mean of one number a row over the rows where ``where`` is 1; NaN where there is none."""
    return Statistic(np.stack([values * where, where], 1), _ratio, int(where.sum()))


def _ratio(sums: Floats, _total: Floats) -> Floats:
    return _divide(sums[..., 0], sums[..., 1])


def _divide(above: Floats, below: Floats) -> Floats:
    """Quotient with NaN, and no warning, where the denominator is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _balanced_accuracy(sums: Floats, _total: Floats) -> Floats:
    rows, hits = np.split(sums, 2, axis=-1)
    return _mean_of_present(_divide(hits, rows))


def _macro_f1(sums: Floats, _total: Floats) -> Floats:
    true_plus_said, hits = np.split(sums, 2, axis=-1)
    return _mean_of_present(_divide(2 * hits, true_plus_said))


def _mean_of_present(by_class: Floats) -> Floats:
    """Mean over the classes that occur, as scikit-learn takes it; a resample may miss a rare class."""
    present = np.isfinite(by_class)
    return _divide(np.where(present, by_class, 0.0).sum(-1), present.sum(-1).astype(np.float64))


def _auc(scores: Floats, targets: Integers) -> Statistic:
    """Area under the ROC curve as the sum of DeLong's components of positive and of negative rows.

    The components are the first-order effect of each row (DeLong, DeLong and Clarke-Pearson, Biometrics 1988), so
    resampling them has the variance of resampling the curve, without a sort for each resample.
    """
    from scipy.stats import rankdata

    positive = (targets == 1).astype(np.float64)
    negative = 1.0 - positive
    above, below = positive.sum(), negative.sum()
    if not (above and below):
        return Statistic(np.zeros((len(targets), 4)), _auc_from_sums, 0)
    ranks = rankdata(scores)
    within = np.empty_like(ranks)
    for side in (positive, negative):
        within[side == 1] = rankdata(scores[side == 1])
    component = np.where(positive == 1, (ranks - within) / below, 1.0 - (ranks - within) / above)
    half = component[positive == 1].mean() / 2
    columns = [(component - half) * positive, positive, (component - half) * negative, negative]
    return Statistic(np.stack(columns, 1), _auc_from_sums, int(min(above, below)))


def _auc_from_sums(sums: Floats, _total: Floats) -> Floats:
    value = _divide(sums[..., 0], sums[..., 1]) + _divide(sums[..., 2], sums[..., 3])
    return np.clip(value, 0.0, 1.0)


def selective_risk(confidence: Floats, errors: Floats) -> Floats:
    """Share of errors among the k most confident rows, k = 1 ... N; rows of equal confidence share their errors."""
    _, group, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    shared = (np.bincount(group, errors) / counts)[group]
    return np.cumsum(shared[np.argsort(-confidence, kind="stable")]) / np.arange(1, len(errors) + 1)


def risk_coverage_components(confidence: Floats, errors: Floats) -> Floats:
    """One number a row whose mean is the area under the risk-coverage curve and whose spread is that of the area.

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
