"""Gradient boosting fitted to probabilities or values, by scikit-learn's histogram trees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.students.bounds import above_zero, not_negative, whole
from stillhouse.students.fitted_student import FittedTrees
from stillhouse.students.soft_rows import Rows
from stillhouse.students.tree_tables import SILENT, Doubles, Nodes, as_forest, boosted_nodes
from stillhouse.students.trees import Forest, TreeEnsemble


class Stages(NamedTuple):
    """A boosted sum, not yet one table."""

    base: Doubles  # (K,): the outputs before any tree
    trees: Sequence[dict[int, Nodes]]  # of each iteration: a tree by output


@dataclass(frozen=True, kw_only=True)
class GradientBoosting(FittedTrees):
    """Boosted trees: of the cross-entropy with soft targets, or of the squared error of values.

    scikit-learn boosts labels, not probabilities. A row repeated for each class, with the class's probability as
    weight, gives the same loss, gradients and trees as the probabilities. Independent labels and values are boosted one
    output at a time, each on the rows where it is known.

    Args:
        max_iter: trees for each output.
        learning_rate: factor of what each tree adds.
        max_leaf_nodes: of each tree.
        min_samples_leaf: repeated rows in a leaf, at least.
        l2_regularization: of the leaves' values.
        probability_floor: a class below it is left out of the row, and the row's other probabilities are scaled to sum
            to 1; 0 keeps all classes and makes as many rows as classes. Not used for values.
    """

    max_iter: int = 100
    learning_rate: float = 0.1
    max_leaf_nodes: int = 15
    min_samples_leaf: int = 20
    l2_regularization: float = 0.0
    probability_floor: float = 1e-3

    def __post_init__(self) -> None:
        whole("max_iter", self.max_iter)
        whole("max_leaf_nodes", self.max_leaf_nodes, least=2)
        whole("min_samples_leaf", self.min_samples_leaf)
        not_negative("l2_regularization", self.l2_regularization)
        not_negative("probability_floor", self.probability_floor)
        above_zero("learning_rate", self.learning_rate)

    def fit(self, rows: Rows, seed: int) -> TreeEnsemble:
        """Fit, in one thread: the same rows give the same bits, and forked workers do not wait for a lost pool."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="openmp"):
            if rows.link == "softmax":
                stages = self._classes(rows, seed)
            else:
                one = self._label if rows.link == "sigmoid" else self._value
                stages = side_by_side([one(known(rows, k), seed) for k in range(rows.targets.shape[1])])
        return TreeEnsemble(summed(stages), rows.flat.shape[1])

    def _classes(self, rows: Rows, seed: int) -> Stages:
        """Classes that exclude each other. Two classes need one tree, for the second.

        A class that no row has starts at the odds of less than one row.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier

        repeated = repeat_by_class(rows, self.probability_floor)
        present = np.unique(repeated.labels)
        base, fitted = np.zeros(1), []
        if len(present) > 1:
            model = HistGradientBoostingClassifier(**self._settings(seed))
            model.fit(rows.flat[repeated.rows], repeated.labels, repeated.weights)
            base, fitted = model._baseline_prediction[0], model._predictors
        tabled = present[-len(base) :]
        scores = np.zeros(rows.targets.shape[1])
        scores[tabled] = base
        absent = np.setdiff1d(np.arange(len(scores)), present)
        scores[absent] = np.logaddexp.reduce(scores[present]) - math.log(len(rows.inputs) + 1)
        trees = [{int(c): boosted_nodes(tree.nodes) for c, tree in zip(tabled, stage, strict=True)} for stage in fitted]
        return Stages(scores, trees)

    def _label(self, rows: Rows, seed: int) -> Stages:
        """The logit of one label: the difference of its two classes; all trees are for the second."""
        both = self._classes(rows._replace(targets=np.hstack([1 - rows.targets, rows.targets])), seed)
        return Stages(both.base[1:] - both.base[:1], [{0: stage[1]} for stage in both.trees])

    def _value(self, rows: Rows, seed: int) -> Stages:
        """One value, by least squares."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        model = HistGradientBoostingRegressor(loss="squared_error", **self._settings(seed))
        model.fit(rows.flat, rows.targets[:, 0], rows.weights)
        return Stages(
            model._baseline_prediction[0], [{0: boosted_nodes(stage[0].nodes)} for stage in model._predictors]
        )

    def _settings(self, seed: int) -> dict[str, Any]:
        return {
            "max_iter": self.max_iter,
            "learning_rate": self.learning_rate,
            "max_leaf_nodes": self.max_leaf_nodes,
            "min_samples_leaf": self.min_samples_leaf,
            "l2_regularization": self.l2_regularization,
            "categorical_features": None,
            "early_stopping": False,
            "random_state": seed,
        }


def known(rows: Rows, output: int) -> Rows:
    """The rows where one output is known, with that output alone; one row of 0 where it is never known."""
    column = rows.targets[:, output : output + 1]
    there = ~np.isnan(column[:, 0])
    if not there.any():
        return Rows(rows.inputs[:1], np.zeros((1, 1)), np.ones(1), rows.link)
    return rows._replace(targets=column).where(there)


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


def side_by_side(parts: Sequence[Stages]) -> Stages:
    """Combine sums of one output each into one sum of several outputs."""
    iterations = max(len(part.trees) for part in parts)
    trees: list[dict[int, Nodes]] = [
        {k: part.trees[i][0] for k, part in enumerate(parts) if i < len(part.trees)} for i in range(iterations)
    ]
    return Stages(np.concatenate([part.base for part in parts]), trees)


def summed(stages: Stages) -> Forest:
    """The trees as one table; an output without a tree gets one that adds 0."""
    tables = [SILENT]
    roots = np.zeros((max(len(stages.trees), 1), len(stages.base)), np.int64)
    end = 1
    for stage, row in zip(stages.trees, roots, strict=False):
        for output, nodes in stage.items():
            row[output] = end
            tables.append(nodes)
            end += len(nodes.leaf)
    return as_forest(tables, roots.ravel(), stages.base, np.zeros(0))
