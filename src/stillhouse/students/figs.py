"""A sum of a few small trees, grown greedily, on a teacher's probabilities or values: FIGS.

Tan, Singh, Nasseri, Agarwal and Yu, "Fast interpretable greedy-tree sums" (2022): each step adds the one split, to any
tree or as a new one, that lowers the squared error of what the other trees leave most.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.students.bounds import whole
from stillhouse.students.fitted_student import FittedStudent
from stillhouse.students.soft_rows import Rows, whole_rows
from stillhouse.students.tree_tables import Doubles, Nodes, as_forest
from stillhouse.students.trees import TreeEnsemble, stump
from stillhouse.task import Link

LINKS: tuple[Link, ...] = ("softmax", "sigmoid", "identity")
SMALLEST = 1e-3  # a sum of trees may leave [0, 1]; a probability is at least this
ZERO = 1e-10  # a split that lowers the variance by less than this share of it has found only rounding


@dataclass(frozen=True, kw_only=True)
class Figs(FittedStudent):
    """A sum of small trees of probabilities or values, grown split by split; the trees are few and each is readable.

    Rows with an unknown target are left out, because a leaf holds all outputs.

    Args:
        max_splits: of all trees together; a single tree of 16 leaves has 15.
        max_trees: how many trees are summed, at most; 0: no limit.
        min_samples_leaf: training rows in a leaf, at least.
    """

    reads = ("table", "image")

    max_splits: int = 15
    max_trees: int = 0
    min_samples_leaf: int = 5

    def __post_init__(self) -> None:
        whole("max_splits", self.max_splits)
        whole("max_trees", self.max_trees, least=0)
        whole("min_samples_leaf", self.min_samples_leaf)

    def in_words(self, link: Link) -> str:
        """Its own name."""
        return "FIGS"

    def fit(self, rows: Rows, seed: int) -> SumOfTrees:
        """Fit; the seed decides between splits that are equally good."""
        rows = whole_rows(rows)
        growth = Growth(rows, self.min_samples_leaf, seed)
        while growth.splits < self.max_splits and growth.step(self.max_trees or self.max_splits):
            pass
        return SumOfTrees(growth.ensemble(), rows.link)

    def unfitted(self, shape: tuple[int, ...], outputs: int) -> SumOfTrees:
        """One empty leaf."""
        return SumOfTrees(TreeEnsemble(stump(outputs), int(np.prod(shape))), "identity")


class SumOfTrees(nn.Module):
    """Outputs (B, K) of encoded inputs: logarithms of probabilities, or logits, of what the trees add up to; or values.

    Args:
        trees: their sum is a probability of each class or label, or a value.
        link: which; it is part of the state.
    """

    link: Tensor  # () int64: a position in LINKS

    def __init__(self, trees: TreeEnsemble, link: Link) -> None:
        super().__init__()
        self.trees = trees
        self.register_buffer("link", torch.tensor(LINKS.index(link)))
        self.of: Link = link

    @property
    def size(self) -> int:
        """Number of nodes."""
        return self.trees.size

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs float32 (B, K)."""
        found: Tensor = self.trees(inputs)
        if self.of == "softmax":
            return found.clamp(min=SMALLEST).log()
        if self.of == "sigmoid":
            inside = found.clamp(SMALLEST, 1 - SMALLEST)
            return inside.log() - (-inside).log1p()
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.of = LINKS[int(self.link.clamp(0, len(LINKS) - 1))]


class Split(NamedTuple):
    """The best split of a leaf."""

    gain: float  # by which the weighted sum of squares falls
    leaf: int
    feature: int
    threshold: float
    left: NDArray[np.bool_]  # of the leaf's rows
    values: Doubles  # (2, K) of the two new leaves


@dataclass
class Growth:
    """Trees while they grow; a node is a position in the lists."""

    rows: Rows
    least: int
    seed: int
    splits: int = 0
    members: list[NDArray[np.intp]] = field(default_factory=list)  # the rows of each node
    tree: list[int] = field(default_factory=list)
    feature: list[int] = field(default_factory=list)  # -1 in leaves
    threshold: list[float] = field(default_factory=list)
    children: list[tuple[int, int]] = field(default_factory=list)
    value: list[Doubles] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.base = np.average(self.rows.targets, axis=0, weights=self.rows.weights)
        self.left_over = self.rows.targets - self.base
        self.least_gain = ZERO * float((self.rows.weights[:, None] * self.left_over**2).sum())
        self.all = np.arange(len(self.rows.targets))

    def step(self, most_trees: int) -> bool:
        """Add the best split; returns whether there is one."""
        leaves = [node for node, feature in enumerate(self.feature) if feature < 0]
        found = [self.best(node, self.members[node], self.value[node]) for node in leaves]
        if len(self.roots) < most_trees:
            found.append(self.best(-1, self.all, np.zeros_like(self.base)))
        good = [split for split in found if split is not None and split.gain > self.least_gain]
        if not good:
            return False
        self.add(max(good, key=lambda split: split.gain))
        return True

    def best(self, leaf: int, members: NDArray[np.intp], value: Doubles) -> Split | None:
        """The best split of a leaf's rows by what the other trees leave to its own."""
        from sklearn.tree import DecisionTreeRegressor

        if len(members) < 2 * self.least:
            return None
        stump = DecisionTreeRegressor(max_depth=1, min_samples_leaf=self.least, random_state=self.seed)
        weights = self.rows.weights[members]
        grown = stump.fit(self.rows.flat[members], self.left_over[members] + value, weights).tree_
        if grown.node_count < 3:
            return None
        errors = grown.weighted_n_node_samples * grown.impurity * len(self.base)
        left = self.rows.flat[members, grown.feature[0]] <= grown.threshold[0]
        split = (int(grown.feature[0]), float(grown.threshold[0]), left, grown.value[1:, :, 0])
        return Split(float(errors[0] - errors[1:].sum()), leaf, *split)

    def add(self, split: Split) -> None:
        """Split a leaf, or begin a tree."""
        node = split.leaf
        if node < 0:
            self.roots.append(len(self.feature))
            node = self.node(self.all, np.zeros_like(self.base), len(self.roots) - 1)
        members, old = self.members[node], self.value[node]
        self.feature[node], self.threshold[node] = split.feature, split.threshold
        sides = [
            self.node(members[chosen], value, self.tree[node])
            for chosen, value in zip((split.left, ~split.left), split.values, strict=True)
        ]
        self.children[node] = (sides[0], sides[1])
        for side in sides:
            self.left_over[self.members[side]] += old - self.value[side]
        self.splits += 1

    def node(self, members: NDArray[np.intp], value: Doubles, tree: int) -> int:
        """A new leaf."""
        self.members.append(members)
        self.tree.append(tree)
        self.feature.append(-1)
        self.threshold.append(0.0)
        self.children.append((0, 0))
        self.value.append(value)
        return len(self.feature) - 1

    def ensemble(self) -> TreeEnsemble:
        """The trees as tables; one empty leaf where there is no split."""
        if not self.roots:
            self.roots.append(self.node(self.all, np.zeros_like(self.base), 0))
        feature, children = np.array(self.feature), np.array(self.children)
        share = np.array([self.rows.weights[members].sum() for members in self.members]) / self.rows.weights.sum()
        nodes = Nodes(
            feature < 0, feature, np.array(self.threshold), children[:, 0], children[:, 1], np.array(self.value)
        )
        roots = np.array(self.roots, np.int64)
        return TreeEnsemble(as_forest([nodes], roots, self.base, share), self.rows.flat.shape[1])
