"""How sure a net must be of its own answer, so that the answer becomes a label of self-training."""

from __future__ import annotations

from torch import Tensor

from stillhouse.types import has_label

DEFAULT = 0.9  # where no validation row has a label
THRESHOLDS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def best_threshold(outputs: Tensor, targets: Tensor) -> float:
    """The threshold that leaves most information in the pseudo-labels, on validation rows with a label.

    n labels of which a share e is wrong, each wrong class as likely, teach about as much as n (1 - e C / (C - 1))^2
    right ones (Angluin and Laird, "Learning From Noisy Examples", Machine Learning 1988, for two classes).
    """
    labelled = has_label(targets)
    sure, classes = outputs[labelled].exp().max(-1)
    right, width = (classes == targets[labelled]).double(), outputs.shape[-1]
    best, most = DEFAULT, -1.0
    for threshold in THRESHOLDS:
        chosen = sure >= threshold
        if not chosen.any():
            break
        error = float(1 - right[chosen].mean())
        worth = float(chosen.double().mean()) * max(0.0, 1 - error * width / max(width - 1, 1)) ** 2
        if worth > most:
            best, most = threshold, worth
    return best
