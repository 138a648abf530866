"""How rows find their leaves, prepared once from the tables of nodes: level by level, or by all paths at once.

Level by level costs little arithmetic and many small operations, so it suits many rows. All paths at once tests every
node and counts, for each leaf, the tests that lead to it: few operations, so it suits a row alone (the "GEMM" strategy
of Nakandala et al. 2020, "A Tensor Compiler for Unified Machine Learning Prediction Serving"). Both find the same leaf.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MOST_PATHS = 2**21  # numbers in the table of paths; larger trees are walked


class Levels(NamedTuple):
    """The trees sorted by depth, so that a level takes only the trees that reach it."""

    roots: Tensor  # (T,) int64: each tree once, the deepest first
    place: Tensor  # (trees,) int64: where a tree of the ensemble stands in ``roots``
    children: Tensor  # (2 * nodes,) int64: a node's left child, then its right
    counts: tuple[int, ...]  # of each level: the trees that have nodes there
    tree: Tensor  # (nodes,) int64: the tree of a node, as a position in ``roots``; -1: of none

    def to(self, device: torch.device) -> Levels:
        """The same on a device."""
        return Levels(
            self.roots.to(device), self.place.to(device), self.children.to(device), self.counts, self.tree.to(device)
        )


class Paths(NamedTuple):
    """Every test of every tree, and what the way to each leaf demands; T trees of N tests and L leaves, or fewer."""

    feature: Tensor  # (T * N,) int64
    threshold: Tensor  # (T * N, 1) float32
    ways: Tensor  # (T, L, N): 1 where a way goes left, -1 where it goes right, 0 where it does not pass
    lefts: Tensor  # (T, L, 1): how often a way goes left; -1 where there is no leaf
    value: Tensor  # (T, W, L)


def levels_of(left: Tensor, right: Tensor, roots: Tensor) -> Levels:
    """Prepare the walk; every node has one parent, and a leaf is its own child."""
    once, place = torch.unique(roots, return_inverse=True)
    depth, tree = torch.zeros_like(once), torch.full_like(left, -1)
    tree[once] = torch.arange(len(once))
    inner, level = once[left[once] != once], 0
    while len(inner):
        level += 1
        depth[tree[inner]] = level
        below = torch.cat([left[inner], right[inner]])
        tree[below] = tree[inner].repeat(2)
        inner = below[left[below] != below]
    order = depth.argsort(descending=True, stable=True)
    rank = order.argsort()
    counts = tuple(int((depth > one).sum()) for one in range(level))
    tree = torch.where(tree < 0, tree, rank[tree.clamp(min=0)])
    return Levels(once[order], rank[place], torch.stack([left, right], 1).flatten(), counts, tree)


def paths_of(levels: Levels, feature: Tensor, threshold: Tensor, value: Tensor) -> Paths | None:
    """Prepare all paths; None where their table would be too large."""
    left, right = levels.children.view(-1, 2).unbind(1)
    nodes, trees = torch.arange(len(left)), len(levels.roots)
    inner = nodes[(left != nodes) & (levels.tree >= 0)]
    leaves = nodes[(left == nodes) & (levels.tree >= 0)]
    test, tests = _numbered(levels.tree, inner, trees)
    leaf, most = _numbered(levels.tree, leaves, trees)
    if trees * max(tests, 1) * most > MOST_PATHS:
        return None
    found = Paths(
        torch.zeros(trees, max(tests, 1), dtype=torch.int64),
        torch.full((trees, max(tests, 1)), torch.inf),
        torch.zeros(trees, most, max(tests, 1)),
        torch.full((trees, most, 1), -1.0),
        torch.zeros(trees, value.shape[1], most),
    )
    of, own = levels.tree[inner], test[inner]
    found.feature[of, own], found.threshold[of, own] = feature[inner], threshold[inner]
    of, own = levels.tree[leaves], leaf[leaves]
    found.lefts[of, own], found.value[of, :, own] = 0.0, value[leaves]
    parent = nodes.clone()
    parent[left[inner]] = parent[right[inner]] = inner
    below, above = leaves, parent[leaves]
    for _ in levels.counts:  # from all leaves up, one step at a time; a root is its own parent
        goes = torch.where(below == above, 0.0, torch.where(left[above] == below, 1.0, -1.0))
        moved = goes != 0
        found.ways[of[moved], own[moved], test[above[moved]]] = goes[moved]
        found.lefts[of, own, 0] += goes.clamp(min=0)
        below, above = above, parent[above]
    return found._replace(feature=found.feature.flatten(), threshold=found.threshold.view(-1, 1))


def _numbered(tree: Tensor, nodes: Tensor, trees: int) -> tuple[Tensor, int]:
    """A number for each of these nodes within its tree (by node), and the most that a tree has."""
    own = tree[nodes]
    order = own.argsort(stable=True)
    counts = own.bincount(minlength=trees)
    number = torch.zeros_like(tree)
    number[nodes[order]] = torch.arange(len(nodes)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    return number, int(counts.max())


def walked(rows: Tensor, levels: Levels, feature: Tensor, threshold: Tensor, value: Tensor) -> Tensor:
    """Values (T, B, W) of the leaves that rows (B, F) reach, level by level."""
    start = torch.arange(rows.shape[0], device=rows.device) * rows.shape[1]
    flat, at = rows.reshape(-1), levels.roots[:, None].expand(-1, rows.shape[0])
    for count in levels.counts:
        node = at[:count].reshape(-1)
        place = feature.index_select(0, node).view(count, -1) + start
        right = flat.index_select(0, place.view(-1)) > threshold.index_select(0, node)
        moved = levels.children.index_select(0, node * 2 + right).view(count, -1)
        at = torch.cat([moved, at[count:]]) if count < len(at) else moved
    return value.index_select(0, at.reshape(-1)).view(len(levels.roots), -1, value.shape[1])


def at_once(rows: Tensor, paths: Paths) -> Tensor:
    """Values (T, B, W) of the leaves that rows (B, F) reach, by all paths at once."""
    tests = paths.ways.shape[2]
    goes_left = rows.t().index_select(0, paths.feature) <= paths.threshold
    lefts = torch.bmm(paths.ways, goes_left.to(rows.dtype).view(-1, tests, rows.shape[0]))
    return torch.bmm(paths.value, (lefts == paths.lefts).to(rows.dtype)).transpose(1, 2)
