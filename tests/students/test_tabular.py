"""Nets of tables: the linear model is logistic regression, the trees are trees."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from stillhouse import students
from stillhouse.students.tabular import ObliviousTrees, entmoid


def test_linear_reaches_the_logistic_regression_of_scikit_learn() -> None:
    x, y = load_iris(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    reference = LogisticRegression(C=1.0).fit(x, y)
    net = students.make("linear", shape=(4,), outputs=3, settings={}).double()
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    optimiser = torch.optim.LBFGS(net.parameters(), max_iter=200, line_search_fn="strong_wolfe")
    weight = net.get_parameter("head.weight")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(net(inputs), targets, reduction="sum") + weight.square().sum() / 2
        torch.autograd.backward(value)
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    probabilities = net(inputs).softmax(-1).detach().numpy()
    np.testing.assert_allclose(probabilities, reference.predict_proba(x), atol=2e-3)


@given(depth=st.integers(1, 4), trees=st.integers(1, 3), gate=st.sampled_from(["sigmoid", "entmoid"]))
@examples(max_examples=15, deadline=None)
def test_a_leaf_holds_the_product_of_the_decisions_on_its_way(depth: int, trees: int, gate: str) -> None:
    torch.manual_seed(0)
    forest, rows = ObliviousTrees(3, trees, depth, gate).double(), torch.randn(4, 3, dtype=torch.float64)
    right = (torch.sigmoid if gate == "sigmoid" else entmoid)(forest.splits(rows)).reshape(4, trees, depth)
    expected = [
        [
            torch.stack([right[row, tree, k] if bit else 1 - right[row, tree, k] for k, bit in enumerate(bits)]).prod()
            for tree in range(trees)
            for bits in itertools.product((0, 1), repeat=depth)
        ]
        for row in range(4)
    ]
    members = forest(rows)
    torch.testing.assert_close(members, torch.stack([torch.stack(row) for row in expected]))
    torch.testing.assert_close(members.reshape(4, trees, -1).sum(-1), torch.ones(4, trees, dtype=torch.float64))


def test_sharp_splits_make_a_hard_tree() -> None:
    forest = ObliviousTrees(2, 1, 2, "entmoid")
    with torch.no_grad():
        forest.splits.weight.copy_(torch.eye(2) * 1000.0)
        forest.splits.bias.zero_()
    rows = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    assert torch.equal(forest(rows), torch.eye(4))


@given(st.floats(-4.0, 4.0))
@examples(max_examples=40, deadline=None)
def test_entmoid_is_the_entmax_of_two_entries(x: float) -> None:
    def mass(tau: float) -> float:  # 1.5-entmax: p_i = max(0, x_i / 2 - tau) ** 2, which must add up to 1
        return float(max(0.0, x / 2 - tau) ** 2 + max(0.0, -tau) ** 2 - 1.0)

    tau = brentq(mass, max(x / 2, 0.0) - 1.5, max(x / 2, 0.0), xtol=1e-14)
    expected = max(0.0, x / 2 - tau) ** 2
    assert entmoid(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(expected, abs=1e-6)


@given(st.floats(-1e4, 1e4))
@examples(max_examples=40, deadline=None)
def test_the_gradient_of_entmoid_is_finite_everywhere(x: float) -> None:
    point = torch.tensor(x, requires_grad=True)
    torch.autograd.backward(entmoid(point))
    assert point.grad is not None
    assert torch.isfinite(point.grad)
