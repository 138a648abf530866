"""Trees fitted to a teacher's probabilities: one that can be read, and a boosted sum of many.

Soft targets for trees: Breiman and Shang, "Born again trees" (1996); Che, Purushotham, Khemani and Liu, "Interpretable
deep models for ICU outcome prediction" (AMIA 2016), who boost trees on a net's probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError, UsageError
from stillhouse.students.tree_tables import SILENT, Doubles, Nodes, as_forest, boosted_nodes
from stillhouse.students.trees import Forest, TreeEnsemble

SMALLEST = 1e-7  # a probability of 0 becomes this: its logarithm is finite
NOUGHT = 1e-10  # a split that lowers the variance by less has found rounding, and would be a rule that says nothing
SUM = 1e-3  # by which the probabilities of a row may miss 1


class Rows(NamedTuple):
    """What trees are fitted to."""

    inputs: NDArray[np.float32]  # (N, F) finite
    targets: Doubles  # (N, C), each row adds up to 1
    weights: Doubles  # (N,) positive, of mean 1


def checked_rows(inputs: Tensor, targets: Tensor, weights: Tensor | None) -> Rows:
    """Flatten and check, all rows in memory at once; rows of weight 0 are left out.

    Args:
        inputs: (N, ...) encoded.
        targets: (N, C) probabilities.
        weights: (N,) at least 0; None: 1 each.

    Raises:
        UsageError: targets are no probabilities, or the three do not belong to the same rows.
        RejectedError: inputs are not finite (trees fitted here know no gaps), or no row has a weight.
    """
    x = inputs.detach().flatten(1).float().cpu().numpy()
    p = targets.detach().double().cpu().numpy()
    w = np.ones(len(x)) if weights is None else weights.detach().double().cpu().numpy()
    if p.ndim != 2 or len(p) != len(x) or w.shape != (len(x),):
        raise UsageError(f"Trees need targets (N, classes) and weights (N,) for {len(x)} rows: {p.shape}, {w.shape}.")
    _refuse(~np.isfinite(x).all(1), "hold a value that is not finite in their inputs", RejectedError)
    _refuse(
        ~((p >= 0).all(1) & (np.abs(p.sum(1) - 1) <= SUM)),
        "have targets that are not probabilities of sum 1",
        UsageError,
    )
    _refuse(~(np.isfinite(w) & (w >= 0)), "have a weight that is negative or not finite", UsageError)
    kept = w > 0
    if not kept.any():
        raise RejectedError("No row has a weight above 0, so there is nothing to fit a tree to. Give it labelled rows.")
    return Rows(x[kept], p[kept] / p[kept].sum(1, keepdims=True), w[kept] / w[kept].mean())


def _refuse(wrong: NDArray[np.bool_], what: str, error: type[RejectedError] | type[UsageError]) -> None:
    if wrong.any():
        named = ", ".join(map(str, np.flatnonzero(wrong)[:5]))
        raise error(f"{int(wrong.sum())} of {len(wrong)} rows {what}; the first are {named}. Mend or leave them out.")


@dataclass(frozen=True, kw_only=True)
class DecisionTree:
    """One tree, grown by the variance of the probabilities: with labels in place of probabilities, Gini's impurity.

    Args:
        max_leaf_nodes: the tree is grown best split first up to so many leaves.
        max_depth: questions to a leaf, at most; 0: no bound.
        min_samples_leaf: training rows in a leaf, at least.
        smoothing: rows spread evenly over the classes that are added to each leaf (1: Provost and Domingos, "Tree
            induction for probability-based ranking", 2003, with one row in place of one a class).
    """

    max_leaf_nodes: int = 16
    max_depth: int = 8
    min_samples_leaf: int = 5
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        _whole(self, max_leaf_nodes=2, max_depth=0, min_samples_leaf=1)
        _at_least(self, smoothing=0.0)

    def fit(self, rows: Rows, seed: int) -> TreeEnsemble:
        """Fit; the seed decides between splits that are equally good."""
        from sklearn.tree import DecisionTreeRegressor

        grown = DecisionTreeRegressor(
            max_leaf_nodes=self.max_leaf_nodes,
            max_depth=self.max_depth or None,
            min_samples_leaf=self.min_samples_leaf,
            min_impurity_decrease=NOUGHT,
            random_state=seed,
        )
        tree = grown.fit(rows.inputs, rows.targets, rows.weights).tree_
        return TreeEnsemble(self._forest(tree, rows.targets.shape[1]), rows.inputs.shape[1])

    def _forest(self, tree: Any, classes: int) -> Forest:
        rows = tree.weighted_n_node_samples[:, None]
        smoothed = (rows * tree.value[:, :, 0] + self.smoothing / classes) / (rows + self.smoothing)
        clipped = np.maximum(smoothed, SMALLEST)
        logs = np.log(clipped / clipped.sum(1, keepdims=True))
        nodes = Nodes(
            tree.children_left < 0, tree.feature, tree.threshold, tree.children_left, tree.children_right, logs
        )
        return as_forest([nodes], np.zeros(1, np.int64), np.zeros(classes), rows[:, 0] / rows[0])


@dataclass(frozen=True, kw_only=True)
class GradientBoosting:
    """Boosted trees of the cross-entropy with soft targets.

    scikit-learn boosts labels, not probabilities; a row that is repeated for each class, weighted with the class's
    probability, gives the same loss, gradients and trees as the probabilities would.

    Args:
        max_iter: trees a class.
        learning_rate: factor of what each tree adds.
        max_leaf_nodes: of each tree.
        min_samples_leaf: repeated rows in a leaf, at least.
        l2_regularization: of the leaves' values.
        probability_floor: a class below it is left out of its row, whose other probabilities are scaled up to 1; 0
            keeps all and costs as many rows as classes.
    """

    max_iter: int = 100
    learning_rate: float = 0.1
    max_leaf_nodes: int = 15
    min_samples_leaf: int = 20
    l2_regularization: float = 0.0
    probability_floor: float = 1e-3

    def __post_init__(self) -> None:
        _whole(self, max_iter=1, max_leaf_nodes=2, min_samples_leaf=1)
        _at_least(self, l2_regularization=0.0, probability_floor=0.0)
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate = {self.learning_rate} must be above 0")

    def fit(self, rows: Rows, seed: int) -> TreeEnsemble:
        """Fit, in one thread: the same rows give the same bits, and forked workers do not wait for a lost pool."""
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        classes, inputs = rows.targets.shape[1], rows.inputs.shape[1]
        repeated = repeat_by_class(rows, self.probability_floor)
        present = np.unique(repeated.labels)
        if len(present) == 1:
            return TreeEnsemble(_boosted([], np.zeros(1), present, classes, len(rows.inputs)), inputs)
        model = HistGradientBoostingClassifier(
            max_iter=self.max_iter,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            categorical_features=None,
            early_stopping=False,
            random_state=seed,
        )
        with threadpool_limits(1, user_api="openmp"):
            model.fit(rows.inputs[repeated.rows], repeated.labels, repeated.weights)
        stages = [[tree.nodes for tree in stage] for stage in model._predictors]
        base = model._baseline_prediction[0]
        return TreeEnsemble(_boosted(stages, base, present, classes, len(rows.inputs)), inputs)


class Repeated(NamedTuple):
    """Rows once for each of their classes."""

    rows: NDArray[np.int64]  # (M,)
    labels: NDArray[np.int64]  # (M,)
    weights: Doubles  # (M,)


def repeat_by_class(rows: Rows, floor: float) -> Repeated:
    """A weighted label for each class of a row whose probability is above the floor, or is the row's largest."""
    kept = (rows.targets > floor) | (rows.targets == rows.targets.max(1, keepdims=True))
    shares = np.where(kept, rows.targets, 0.0)
    shares *= (rows.weights / shares.sum(1))[:, None]
    at, labels = np.nonzero(kept)
    return Repeated(at, labels, shares[at, labels])


def _boosted(
    stages: Sequence[Sequence[NDArray[np.void]]], base: Doubles, present: NDArray[np.int64], classes: int, rows: int
) -> Forest:
    """scikit-learn's stages of trees as one table, with a tree that adds nothing where a class has none.

    Two classes share one tree, of the second. A class that no row has starts at the odds of less than one row.
    """
    tabled = present[-len(base) :]
    scores = np.zeros(classes)
    scores[tabled] = base
    absent = np.setdiff1d(np.arange(classes), present)
    scores[absent] = np.logaddexp.reduce(scores[present]) - math.log(rows + 1)
    tables = [SILENT]
    roots = np.zeros((max(len(stages), 1), classes), np.int64)
    end = 1
    for stage, row in zip(stages, roots, strict=False):
        for number, nodes in zip(tabled, stage, strict=True):
            row[number] = end
            tables.append(boosted_nodes(nodes))
            end += len(nodes)
    return as_forest(tables, roots.ravel(), scores, np.zeros(0))


def _whole(settings: object, **least: int) -> None:
    for name, low in least.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"{name} = {value!r} must be a whole number of at least {low}")


def _at_least(settings: object, **least: float) -> None:
    for name, low in least.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < math.inf:
            raise ValueError(f"{name} = {value!r} must be a number of at least {low:g}")
