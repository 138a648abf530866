"""LightGBM's walk and the tables of nodes give the same outputs, bit for bit."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stillhouse import students
from stillhouse.students import trees
from stillhouse.students.trees import FEW, TreeEnsemble
from stillhouse.task import Link

pytest.importorskip("lightgbm")
INPUTS = 5


def fitted(name: str, outputs: int, link: Link) -> TreeEnsemble:
    draw = np.random.default_rng(0)
    x = torch.from_numpy(draw.normal(size=(200, INPUTS)).astype(np.float32))
    targets = torch.from_numpy(draw.dirichlet(np.ones(outputs), size=200))
    few = {"max_iter": 24, "max_leaf_nodes": 6, "min_samples_leaf": 5}
    net = students.fit_soft(name, inputs=x, targets=targets, weights=None, settings=few, seed=0, link=link)
    assert isinstance(net, TreeEnsemble)
    return net.eval()


def by_tables(net: TreeEnsemble, rows: Tensor) -> Tensor:
    """The outputs where the library is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "can_walk", lambda *_: False)
        other = copy.deepcopy(net)
        found: Tensor = other(rows)
        assert other.native is None
    return found


@pytest.fixture(
    scope="module",
    params=[("lightgbm", 2, "softmax"), ("lightgbm", 3, "softmax"), ("gradient_boosting", 3, "sigmoid")],
)
def net(request: pytest.FixtureRequest) -> TreeEnsemble:
    return fitted(*request.param)


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(4, 40), scale=st.sampled_from([1e-3, 1.0, 1e30]))
@settings(max_examples=15)
def test_outputs_are_those_of_the_tables(net: TreeEnsemble, seed: int, rows: int, scale: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, INPUTS, generator=draw) * scale
    x[0], x[1] = torch.inf, -torch.inf
    inner = net.left != torch.arange(net.size)
    x[2:, 0] = net.threshold[inner][torch.randint(int(inner.sum()), (rows - 2,), generator=draw)]  # on the very border
    assert torch.equal(net(x), by_tables(net, x))
    assert (net.native is not None) or rows <= FEW
    x[3, 1] = torch.nan
    assert torch.equal(net(x), by_tables(net, x))


def test_copies_and_loaded_weights_answer_as_their_own_trees_do(net: TreeEnsemble) -> None:
    x = torch.randn(20, INPUTS, generator=torch.Generator().manual_seed(0))
    wanted = net(x)
    other = fitted("lightgbm", net.outputs, "softmax")
    other(x)  # its own trees are prepared
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), wanted)
    for same in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(same(x), wanted)


def test_few_trees_are_walked_here() -> None:
    net = fitted("lightgbm", 2, "softmax")
    few = TreeEnsemble(
        trees.Forest(*(getattr(net, name) for name in trees.Forest._fields))._replace(roots=net.roots[:4]), INPUTS
    )
    few(torch.randn(20, INPUTS))
    assert few.native is None
