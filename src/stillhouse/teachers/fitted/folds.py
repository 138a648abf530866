"""Models fitted here on raw rows, with out-of-fold answers for the rows that they were fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.teachers.crossfit import WHOLE, CrossFitted, fold_of, rows_seen
from stillhouse.teachers.identity import identity_of
from stillhouse.types import Teacher


@dataclass(frozen=True)
class FittedFolds:
    """A model fitted on all labelled rows, and one for each fold that has not seen its rows.

    Attributes:
        whole: answers rows that no fold holds.
        folds: for each fold the model that was fitted without it.
        fold_of: int64 (N,), for each training row the fold that leaves it out, -1 for none.
    """

    whole: Any
    folds: Sequence[Any]
    fold_of: NDArray[np.int64]

    def fingerprint(self) -> str:
        """Hash of all models and of which row is whose."""
        return identity_of(self.whole, list(self.folds), self.fold_of)

    def teacher(self, of_model: Callable[[Any], Teacher]) -> Teacher:
        """All of them as one teacher; ``of_model`` makes one of a fitted model."""
        return CrossFitted([of_model(model) for model in self.folds], self.fold_of, of_model(self.whole))


def fit_folds(
    fit: Callable[[NDArray[np.int64]], Any], labels: NDArray[Any], folds: int, seed: int, name: str
) -> FittedFolds:
    """Fit a model on the labelled rows, and once more without each fold.

    Args:
        fit: fits a new model on the rows whose positions it is given, int64 (n,), and returns it.
        labels: int64 (N,), -1 where there is no label; or numbers (N,) or (N, K), NaN likewise.
        folds: their number; fewer where the rarest class has fewer rows.
        seed: of the folds.
        name: of the model, for the message.

    Raises:
        RejectedError: a class has fewer than two labelled rows, so that no fold could leave one out.
    """
    assigned = fold_of(labels, folds, seed, name)
    return FittedFolds(fit(np.flatnonzero(assigned != WHOLE)), [fit(rows) for rows in rows_seen(assigned)], assigned)
