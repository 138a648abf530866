"""Gradient boosting by LightGBM, fitted to soft targets, written as our own tables of nodes.

Ke et al. 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree". The library is needed to fit only: what
is stored, loaded and exported are tables, as for every tree here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stillhouse.students.boosting import Stages, known, side_by_side, summed
from stillhouse.students.bounds import above_zero, not_negative, whole
from stillhouse.students.fitted_student import FittedTrees
from stillhouse.students.soft_rows import Rows
from stillhouse.students.tree_fitting import SMALLEST
from stillhouse.students.tree_tables import Doubles, Nodes
from stillhouse.students.trees import TreeEnsemble
from stillhouse.task import Link


@dataclass(frozen=True, kw_only=True)
class LightGBM(FittedTrees):
    """Boosted trees of LightGBM: of the cross-entropy with soft targets, or of the squared error of values.

    More than two classes are boosted by the exact gradient of the soft cross-entropy, p - q, with the library's own
    second derivative. Two classes, independent labels and values use its objectives ``cross_entropy`` and
    ``regression``; labels and values are boosted one at a time, each on the rows where it is known.

    Args:
        max_iter: trees for each output.
        learning_rate: factor of what each tree adds.
        max_leaf_nodes: of each tree.
        max_depth: splits on the way to a leaf, at most; 0: no limit.
        min_samples_leaf: rows in a leaf, at least.
        l2_regularization: penalty on the squares of the leaves' values.
    """

    package = "lightgbm"

    max_iter: int = 100
    learning_rate: float = 0.1
    max_leaf_nodes: int = 15
    max_depth: int = 0
    min_samples_leaf: int = 20
    l2_regularization: float = 0.0

    def __post_init__(self) -> None:
        whole("max_iter", self.max_iter)
        above_zero("learning_rate", self.learning_rate)
        whole("max_leaf_nodes", self.max_leaf_nodes, least=2)
        whole("max_depth", self.max_depth, least=0)
        whole("min_samples_leaf", self.min_samples_leaf)
        not_negative("l2_regularization", self.l2_regularization)

    def in_words(self, link: Link) -> str:
        """Its own name."""
        return "LightGBM"

    def fit(self, rows: Rows, seed: int) -> TreeEnsemble:
        """Fit, in one thread: the same rows give the same bits."""
        outputs = rows.targets.shape[1]
        if rows.link != "softmax":
            stages = side_by_side([self._one(known(rows, k), seed) for k in range(outputs)])
        elif outputs == 2:
            one = self._one(rows._replace(targets=rows.targets[:, 1:], link="sigmoid"), seed)
            stages = Stages(np.array([0.0, one.base[0]]), [{1: stage[0]} for stage in one.trees])
        else:
            stages = self._classes(rows, seed)
        return TreeEnsemble(summed(stages), rows.flat.shape[1])

    def _one(self, rows: Rows, seed: int) -> Stages:
        """One label or value; the sum begins at its mean."""
        targets, logit = rows.targets[:, 0], rows.link == "sigmoid"
        mean = np.average(targets, weights=rows.weights)
        inside = np.clip(mean, SMALLEST, 1 - SMALLEST)
        base = np.array([np.log(inside) - np.log1p(-inside) if logit else mean])
        given = {"objective": "cross_entropy" if logit else "regression"}
        trees = self._boosted(
            rows, seed, given, label=targets, weight=rows.weights, init_score=base.repeat(len(targets))
        )
        return Stages(base, [{0: tree} for tree in trees])

    def _classes(self, rows: Rows, seed: int) -> Stages:
        """Classes that exclude each other; the sum begins at the logarithms of their shares."""
        targets, weights, outputs = rows.targets, rows.weights[:, None], rows.targets.shape[1]
        base = np.log(np.maximum(np.average(targets, axis=0, weights=rows.weights), SMALLEST))
        factor = outputs / (outputs - 1)  # of the second derivative, as the library's own softmax has it

        def objective(scores: Doubles, _: Any) -> tuple[Doubles, Doubles]:
            shares = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
            return weights * (shares - targets), weights * factor * shares * (1 - shares)

        given = {"objective": objective, "num_class": outputs}
        start = np.tile(base, (len(targets), 1))
        trees = self._boosted(rows, seed, given, label=np.zeros(len(targets)), init_score=start)
        rounds = range(0, len(trees), outputs)
        return Stages(base, [dict(enumerate(trees[i : i + outputs])) for i in rounds])

    def _boosted(self, rows: Rows, seed: int, given: dict[str, Any], **data: Any) -> list[Nodes]:
        """The trees of a model; none where no row differs from another, which the library refuses."""
        import lightgbm

        if (rows.flat == rows.flat[0]).all():
            return []
        settings = {
            "learning_rate": self.learning_rate,
            "num_leaves": self.max_leaf_nodes,
            "max_depth": self.max_depth or -1,
            "min_data_in_leaf": self.min_samples_leaf,
            "lambda_l2": self.l2_regularization,
            "min_data_in_bin": 1,
            "feature_pre_filter": False,  # else few rows leave no column, which the library refuses
            "seed": seed,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }
        dataset = lightgbm.Dataset(rows.flat, **data)
        model = lightgbm.train(settings | given, dataset, self.max_iter)
        return [nodes_of(tree["tree_structure"]) for tree in model.dump_model()["tree_info"]]


def nodes_of(root: dict[str, Any]) -> Nodes:
    """One dumped tree, fitted on numbers without gaps, as a table; a child stands after its parent."""
    waiting, records, places = [root], [], {id(root): 0}
    for node in waiting:  # grows
        for side in ("left_child", "right_child"):
            if side in node:
                places[id(node[side])] = len(waiting)
                waiting.append(node[side])
        sides = [places[id(node[side])] if side in node else 0 for side in ("left_child", "right_child")]
        split = (node.get("split_feature", 0), node.get("threshold", 0.0))
        records.append(("leaf_value" in node, *split, *sides, node.get("leaf_value", 0.0)))
    leaf, feature, threshold, left, right, value = (np.array(column) for column in zip(*records, strict=True))
    return Nodes(leaf, feature, threshold.astype(np.float64), left, right, value.astype(np.float64)[:, None])
