"""Sums of greedy trees, and hierarchical shrinkage of one tree: the papers' formulas, whole files and graphs."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeRegressor
from torch import Tensor

from stillhouse import students
from stillhouse.errors import RejectedError, UsageError
from stillhouse.exporting import Exportable, export
from stillhouse.students.figs import SumOfTrees
from stillhouse.students.soft_rows import checked_rows
from stillhouse.task import Link
from tests.students.tree_cases import FEATURES, made, measured


def fit(x: Tensor, p: Tensor, *, weights: Tensor | None = None, link: Link = "softmax", **given: Any) -> SumOfTrees:
    net = students.fit_soft("figs", inputs=x, targets=p, weights=weights, settings=given, seed=0, link=link)
    assert isinstance(net, SumOfTrees)
    return net


@given(seed=st.integers(0, 10_000), splits=st.integers(1, 8), targets=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_one_tree_alone_is_the_best_first_tree_of_scikit_learn(seed: int, splits: int, targets: int) -> None:
    x, y = measured(120, seed, targets)
    w = torch.rand(120, generator=torch.Generator().manual_seed(seed)) + 0.5
    ours = fit(x, y, weights=w, link="identity", max_splits=splits, max_trees=1)
    rows = checked_rows(x, y, w, "identity")
    theirs = DecisionTreeRegressor(max_leaf_nodes=splits + 1, min_samples_leaf=5, random_state=0)
    theirs.fit(rows.inputs, rows.targets, rows.weights)
    np.testing.assert_allclose(ours(x).numpy(), theirs.predict(x.numpy()).reshape(120, targets), atol=1e-4)


def test_a_sum_of_two_steps_needs_two_splits() -> None:
    x = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, :1] > 0.5).double() + 2.0 * (x[:, 1:] > 0.3)
    both, alone = (fit(x, y, link="identity", max_splits=2, max_trees=most) for most in (2, 1))
    errors = [float((net(x) - y).square().mean()) for net in (both, alone)]
    assert len(both.trees.roots) == 2
    assert errors[0] < errors[1] / 5  # one tree must split both of its leaves by the same rule


def test_every_split_is_the_best_of_all_leaves_and_of_a_new_tree() -> None:
    """The third split, found by trying every threshold of every feature in every leaf."""
    x, y = measured(60, 3, 1)
    two, three = (fit(x, y, link="identity", max_splits=n) for n in (2, 3))
    a, target = x.double().numpy(), y.double().numpy()[:, 0]
    left_over = target - two(x).double().numpy()[:, 0]
    leaves = [np.ones(60, bool)]
    for root in two.trees.roots.tolist():
        one = np.full(60, root)
        for _ in range(two.trees.depth):
            goes = a[np.arange(60), two.trees.feature[one].numpy()] <= two.trees.threshold[one].numpy()
            one = np.where(goes, two.trees.left[one].numpy(), two.trees.right[one].numpy())
        leaves += [one == leaf for leaf in np.unique(one)]
    best = 0.0
    for rows in leaves:
        for j in range(FEATURES):
            for cut in a[rows, j]:
                left = rows & (a[:, j] <= cut)
                right = rows & ~left
                if min(left.sum(), right.sum()) >= 5:
                    after = sum(((left_over[s] - left_over[s].mean()) ** 2).sum() for s in (left, right))
                    best = max(best, (left_over[rows] ** 2).sum() - after)
    before, now = (float(((target - net(x).double().numpy()[:, 0]) ** 2).sum()) for net in (two, three))
    assert before - now == pytest.approx(best, rel=1e-4)


def test_outputs_are_logarithms_of_probabilities_logits_or_values() -> None:
    x, p, _ = made(300, 1)
    sums = fit(x, p).trees(x)
    torch.testing.assert_close(sums.sum(1), torch.ones(300), atol=1e-5, rtol=0)
    torch.testing.assert_close(fit(x, p)(x), sums.clamp(min=1e-3).log())
    labels = p[:, :2]
    net = fit(x, labels, link="sigmoid")
    torch.testing.assert_close(net(x).sigmoid(), net.trees(x).clamp(1e-3, 1 - 1e-3), atol=1e-6, rtol=0)
    gaps = labels.clone()
    gaps[:, 1] = torch.nan
    with pytest.raises(RejectedError, match="gradient_boosting"):
        fit(x, gaps, link="sigmoid")


@pytest.mark.slow
@pytest.mark.parametrize("link", ["softmax", "sigmoid", "identity"])
def test_a_fit_loads_and_is_exported(link: Link, tmp_path: Path) -> None:
    x, p, _ = made(150, 2)
    net = fit(x, p, link=link)
    empty = students.make("figs", shape=(FEATURES,), outputs=3, settings={})
    empty.load_state_dict(net.state_dict())
    assert torch.equal(empty(x), net(x))
    shipped = Exportable(empty, x[:3], empty, x[:3], {"outputs": lambda outputs: outputs})
    file = export(shipped, tmp_path / "figs.onnx", format="onnx", metadata={})
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["outputs"], {"inputs": x.numpy()})[0], net(x).numpy(), atol=1e-5)


def test_rows_that_are_all_alike_give_their_mean() -> None:
    p = torch.tensor([[0.2, 0.3, 0.5]]).repeat(30, 1)
    torch.testing.assert_close(fit(torch.ones(30, 2), p)(torch.zeros(1, 2)).exp(), p[:1])
    with pytest.raises(UsageError, match="max_splits"):
        students.make("figs", shape=(2,), outputs=3, settings={"max_splits": 0})


@given(seed=st.integers(0, 10_000), shrinkage=st.sampled_from([0.5, 10.0, 1000.0]))
@settings(max_examples=15, deadline=None)
def test_shrinkage_divides_each_step_down_the_tree(seed: int, shrinkage: float) -> None:
    x, p, _ = made(150, seed)
    fitted = students.fit_soft(
        "decision_tree", inputs=x, targets=p, weights=None, seed=0,
        settings={"shrinkage": shrinkage, "smoothing": 0.0, "max_depth": 0},
    )  # fmt: skip
    rows = checked_rows(x, p, None)
    grown = DecisionTreeRegressor(max_leaf_nodes=16, min_samples_leaf=5, random_state=0, min_impurity_decrease=1e-10)
    tree = grown.fit(rows.inputs, rows.targets).tree_
    expected = []
    for path in grown.decision_path(rows.inputs).toarray().astype(bool):
        nodes = np.flatnonzero(path)  # from the root down: scikit-learn numbers a child after its parent
        mean = tree.value[nodes[0], :, 0].copy()
        for parent, child in pairwise(nodes):
            step = tree.value[child, :, 0] - tree.value[parent, :, 0]
            mean += step / (1 + shrinkage / tree.n_node_samples[parent])
        expected.append(mean)
    np.testing.assert_allclose(fitted(x).softmax(-1).numpy(), np.array(expected), atol=1e-5)
