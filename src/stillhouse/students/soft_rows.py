"""The rows that students are fitted to at once: probabilities of classes or of independent labels, or values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError, UsageError
from stillhouse.students.tree_tables import Doubles
from stillhouse.task import Link

SUM = 1e-3  # by which the probabilities of a row may miss 1


class Rows(NamedTuple):
    """The rows that a student is fitted to."""

    inputs: NDArray[Any]  # (N, ...): finite float32, or int64 token ids
    targets: Doubles  # (N, K); under "softmax" each row adds up to 1, else NaN where a target is unknown
    weights: Doubles  # (N,) positive, of mean 1
    link: Link = "softmax"

    @property
    def flat(self) -> NDArray[np.float32]:
        """Inputs (N, F)."""
        return self.inputs.reshape(len(self.inputs), -1).astype(np.float32, copy=False)

    def where(self, kept: NDArray[np.bool_]) -> Rows:
        """Some of the rows; their weights have mean 1 again."""
        weights = self.weights[kept]
        return Rows(self.inputs[kept], self.targets[kept], weights / weights.mean(), self.link)


def checked_rows(inputs: Tensor, targets: Tensor, weights: Tensor | None, link: Link = "softmax") -> Rows:
    """Check, all rows in memory at once; rows of weight 0, or without any known target, are left out.

    Args:
        inputs: (N, ...) encoded.
        targets: (N, K): probabilities of K classes that add up to 1 ("softmax"), probabilities of K independent labels
            ("sigmoid"), or K values ("identity"). NaN, in the last two: unknown.
        weights: (N,) at least 0; None: 1 each.
        link: which of the three.

    Raises:
        UsageError: targets do not fit ``link``, or the three do not have the same number of rows.
        RejectedError: inputs are not finite (no gaps are accepted), or no row has a weight and a target.
    """
    x = (inputs.detach().float() if inputs.is_floating_point() else inputs.detach()).cpu().numpy()
    y = targets.detach().double().cpu().numpy()
    w = np.ones(len(x)) if weights is None else weights.detach().double().cpu().numpy()
    if y.ndim != 2 or len(y) != len(x) or w.shape != (len(x),):
        raise UsageError(
            f"A student that is fitted at once needs targets (N, outputs) and weights (N,) for {len(x)} rows: "
            f"{y.shape}, {w.shape}."
        )
    gaps = ~np.isfinite(x).reshape(len(x), -1).all(1)
    _refuse(gaps, "hold a value that is not finite in their inputs", RejectedError)
    unknown = np.isnan(y)
    if link == "softmax":
        good = (y >= 0) & (np.abs(y.sum(1, keepdims=True) - 1) <= SUM)
        _refuse(~good.all(1), "have targets that are not probabilities of sum 1", UsageError)
    elif link == "sigmoid":
        good = ((y >= 0) & (y <= 1)) | unknown
        _refuse(~good.all(1), "have targets that are not probabilities between 0 and 1", UsageError)
    else:
        _refuse(~(np.isfinite(y) | unknown).all(1), "have an infinite target", UsageError)
    _refuse(~(np.isfinite(w) & (w >= 0)), "have a weight that is negative or not finite", UsageError)
    kept = (w > 0) & ~unknown.all(1)
    if not kept.any():
        raise RejectedError(
            "No row has a weight above 0 and a target, so there is nothing to fit a student to. Add labelled rows."
        )
    y = y[kept] / y[kept].sum(1, keepdims=True) if link == "softmax" else y[kept]
    return Rows(x[kept], y, w[kept] / w[kept].mean(), link)


def whole_rows(rows: Rows) -> Rows:
    """The rows of which every target is known.

    Raises:
        RejectedError: there is none.
    """
    whole = np.isnan(rows.targets).sum(1) == 0
    if not whole.any():
        raise RejectedError(
            "No row has all of its targets, and a leaf of a tree holds all of them. "
            'Add such rows, or use `[student] name = "gradient_boosting"`, which fits each target by itself.'
        )
    return rows if whole.all() else rows.where(whole)


def _refuse(wrong: NDArray[np.bool_], what: str, error: type[RejectedError] | type[UsageError]) -> None:
    if wrong.any():
        named = ", ".join(map(str, np.flatnonzero(wrong)[:5]))
        raise error(f"{int(wrong.sum())} of {len(wrong)} rows {what}; the first are {named}. Fix or leave them out.")
