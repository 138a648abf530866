"""One readable tree, fitted to a teacher's probabilities or values.

Soft targets for trees: Breiman and Shang, "Born again trees" (1996); Che, Purushotham, Khemani and Liu, "Interpretable
deep models for ICU outcome prediction" (AMIA 2016), who boost trees on a net's probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stillhouse.students.bounds import not_negative, whole
from stillhouse.students.fitted_student import FittedTrees
from stillhouse.students.soft_rows import Rows, whole_rows
from stillhouse.students.tree_tables import Doubles, Nodes, as_forest
from stillhouse.students.trees import Forest, TreeEnsemble
from stillhouse.task import Link

SMALLEST = 1e-7  # a probability of 0 becomes this: its logarithm is finite
ZERO = 1e-10  # a split that lowers the variance by less has found only rounding, and its rule would mean nothing;
# for values: by less than this share of the variance


@dataclass(frozen=True, kw_only=True)
class DecisionTree(FittedTrees):
    """One tree, grown by the variance of the targets: with labels in place of probabilities, Gini's impurity.

    Rows with an unknown target are left out, because a leaf holds all outputs.

    Args:
        max_leaf_nodes: the tree grows by its best splits up to this number of leaves.
        max_depth: splits on the way to a leaf, at most; 0: no limit.
        min_samples_leaf: training rows in a leaf, at least.
        smoothing: rows, spread evenly over the classes, that are added to each leaf (1: Provost and Domingos, "Tree
            induction for probability-based ranking", 2003, with one row in all, not one for each class). Not used for
            values.
        shrinkage: pulls the mean of each node towards that of its parent, the more the fewer rows the parent has; the
            lambda of Agarwal, Tan, Ronen, Singh and Yu, "Hierarchical shrinkage" (ICML 2022), in rows. 0: none.
    """

    max_leaf_nodes: int = 16
    max_depth: int = 8
    min_samples_leaf: int = 5
    smoothing: float = 1.0
    shrinkage: float = 0.0

    def __post_init__(self) -> None:
        whole("max_leaf_nodes", self.max_leaf_nodes, least=2)
        whole("max_depth", self.max_depth, least=0)
        whole("min_samples_leaf", self.min_samples_leaf)
        not_negative("smoothing", self.smoothing)
        not_negative("shrinkage", self.shrinkage)

    def fit(self, rows: Rows, seed: int) -> TreeEnsemble:
        """Fit; the seed decides between splits that are equally good."""
        from sklearn.tree import DecisionTreeRegressor

        rows = whole_rows(rows)
        grown = DecisionTreeRegressor(
            max_leaf_nodes=self.max_leaf_nodes,
            max_depth=self.max_depth or None,
            min_samples_leaf=self.min_samples_leaf,
            min_impurity_decrease=ZERO * (_variance(rows) if rows.link == "identity" else 1.0),
            random_state=seed,
        )
        tree = grown.fit(rows.flat, rows.targets, rows.weights).tree_
        return TreeEnsemble(self._forest(tree, rows.link), rows.flat.shape[1])

    def _forest(self, tree: Any, link: Link) -> Forest:
        rows, means = tree.weighted_n_node_samples[:, None], tree.value[:, :, 0]
        means = self._shrunk(tree, means) if self.shrinkage else means
        values = means if link == "identity" else self._logits(rows, means, link)
        nodes = Nodes(
            tree.children_left < 0, tree.feature, tree.threshold, tree.children_left, tree.children_right, values
        )
        return as_forest([nodes], np.zeros(1, np.int64), np.zeros(means.shape[1]), rows[:, 0] / rows[0])

    def _shrunk(self, tree: Any, means: Doubles) -> Doubles:
        """Each step from a node to its child is divided by 1 + shrinkage / rows of the node."""
        found = means.copy()
        for node in np.flatnonzero(tree.children_left >= 0):  # a child stands after its parent
            factor = 1 + self.shrinkage / tree.weighted_n_node_samples[node]
            for child in (tree.children_left[node], tree.children_right[node]):
                found[child] = found[node] + (means[child] - means[node]) / factor
        return found

    def _logits(self, rows: Doubles, means: Doubles, link: Link) -> Doubles:
        """Logarithms of smoothed probabilities of classes, or of the odds of smoothed probabilities of labels."""
        even = means.shape[1] if link == "softmax" else 2
        clipped = np.maximum((rows * means + self.smoothing / even) / (rows + self.smoothing), SMALLEST)
        if link == "softmax":
            return np.asarray(np.log(clipped / clipped.sum(1, keepdims=True)))
        clipped = np.minimum(clipped, 1 - SMALLEST)
        return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _variance(rows: Rows) -> float:
    """Weighted variance of the targets, the mean over them."""
    mean = np.average(rows.targets, axis=0, weights=rows.weights)
    return float(np.average((rows.targets - mean) ** 2, axis=0, weights=rows.weights).mean())
