"""LightGBM as a student: the library's own answers from our tables, for probabilities, labels and values."""

from typing import Any

import lightgbm
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stillhouse import students
from stillhouse.errors import UsageError
from stillhouse.students.trees import TreeEnsemble
from stillhouse.task import Link
from tests.students.tree_cases import fit, made, measured, nll, one_hot

SAME: dict[str, Any] = {
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
    "min_data_in_bin": 1,
}
SIZES: dict[str, Any] = {"max_iter": 6, "max_leaf_nodes": 6, "min_samples_leaf": 5}


def own(x: Tensor, y: Tensor, objective: str, weights: Tensor | None = None, **more: Any) -> lightgbm.Booster:
    """The library's model with its own objective, fitted to hard labels or values."""
    data = lightgbm.Dataset(x.numpy(), y.double().numpy(), weight=None if weights is None else weights.numpy())
    model: lightgbm.Booster = lightgbm.train(
        SAME | {"num_leaves": 6, "min_data_in_leaf": 5, "objective": objective} | more, data, 6
    )
    return model


@given(seed=st.integers(0, 10_000), step=st.sampled_from([0.0, 0.25, 1.0]))
@settings(max_examples=15, deadline=None)
def test_hard_labels_of_three_classes_give_the_librarys_multiclass_trees_at_ties_too(seed: int, step: float) -> None:
    x, _, y = made(200, seed, step=step)
    if int((y.bincount(minlength=3) > 0).sum()) < 3:
        return
    ours = fit("lightgbm", x, one_hot(y), **SIZES)
    theirs = own(x, y, "multiclass", num_class=3)
    # Near a threshold as it is stored, the two may only part where float32 values do not.
    asked = torch.cat([x, made(200, seed + 1, step=step)[0]])
    np.testing.assert_allclose(ours(asked).softmax(-1).numpy(), np.asarray(theirs.predict(asked.numpy())), atol=2e-5)


@pytest.mark.parametrize(("link", "objective"), [("sigmoid", "cross_entropy"), ("identity", "regression")])
def test_labels_and_values_are_the_librarys_one_at_a_time_where_known(link: Link, objective: str) -> None:
    x, y = measured(200, 3)
    y = y.sigmoid() if link == "sigmoid" else y
    gaps = y.clone()
    gaps[::3, 1] = torch.nan
    ours = fit("lightgbm", x, gaps, link=link, **SIZES)
    for k, kept in enumerate((torch.ones(200).bool(), torch.arange(200) % 3 > 0)):
        theirs = np.asarray(own(x[kept], y[kept, k], objective).predict(x.numpy(), raw_score=True))
        np.testing.assert_allclose(ours(x)[:, k].numpy(), theirs, atol=1e-5)


def test_two_classes_need_one_tree_an_iteration() -> None:
    x, p, _ = made(200, 4, classes=2)
    ours = fit("lightgbm", x, p, **SIZES)
    theirs = np.asarray(own(x, p[:, 1], "cross_entropy").predict(x.numpy()))
    np.testing.assert_allclose(ours(x).softmax(-1)[:, 1].numpy(), theirs, atol=1e-6)
    assert len(ours.levels.roots) == 7  # and one that is silent


def test_soft_targets_give_nearly_the_trees_of_rows_repeated_for_each_class() -> None:
    x, p, _ = made(300, 5)
    fresh, truth, _ = made(2000, 6)
    ours = fit("lightgbm", x, p, max_iter=30, max_leaf_nodes=6, min_samples_leaf=5)
    data = lightgbm.Dataset(np.repeat(x.numpy(), 3, 0), np.tile(np.arange(3), 300), weight=p.numpy().ravel())
    given_ = {"objective": "multiclass", "num_class": 3, "num_leaves": 6, "min_data_in_leaf": 15}
    theirs = np.asarray(lightgbm.train(SAME | given_, data, 30).predict(fresh.numpy()))
    loss = float(-(truth.numpy() * np.log(theirs)).sum(1).mean())
    assert nll(ours, fresh, truth) < loss + 0.01
    assert nll(ours, fresh, truth) < nll(fit("lightgbm", x, one_hot(p.argmax(1)), **SIZES), fresh, truth)


def test_the_gradient_is_that_of_the_soft_cross_entropy() -> None:
    """One leaf of one tree: a Newton step from the classes' shares, times the learning rate."""
    x = torch.tensor([0.0] * 20 + [1.0] * 20)[:, None]
    q = torch.tensor([[0.7, 0.2, 0.1]] * 20 + [[0.1, 0.3, 0.6]] * 20, dtype=torch.float64)
    w = torch.tensor([1.0] * 20 + [3.0] * 20)
    ours = fit("lightgbm", x, q, weights=w, max_iter=1, max_leaf_nodes=2, min_samples_leaf=1, learning_rate=0.5)
    p = (q * w[:, None]).sum(0) / w.sum()
    step = -0.5 * (p - q) / (1.5 * p * (1 - p))  # K / (K - 1) = 1.5
    torch.testing.assert_close(ours(x).double(), p.log() + step, atol=1e-5, rtol=0)


def test_few_rows_give_the_shares_of_the_classes() -> None:
    x, _, y = made(12, 7)
    shares = one_hot(y).mean(0)
    net = fit("lightgbm", x, one_hot(y), max_iter=3)
    torch.testing.assert_close(net(x).softmax(-1), shares.clamp(min=1e-7).expand(12, -1), atol=1e-5, rtol=0)
    values = fit("lightgbm", x, torch.arange(12.0)[:, None], link="identity", max_iter=3)
    torch.testing.assert_close(values(x), torch.full((12, 1), 5.5))


def test_rows_that_are_all_alike_give_the_shares_too() -> None:
    p = torch.tensor([[0.2, 0.3, 0.5]]).repeat(30, 1)
    torch.testing.assert_close(fit("lightgbm", torch.ones(30, 5), p)(torch.zeros(1, 5)).softmax(-1), p[:1])
    two = torch.tensor([[0.0, 1.0]]).repeat(30, 1)
    assert fit("lightgbm", torch.ones(30, 5), two)(torch.zeros(1, 5)).softmax(-1)[0, 1] > 0.999


def test_it_loads_and_answers_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    x, p, _ = made(100, 8)
    fitted = fit("lightgbm", x, p, **SIZES)
    monkeypatch.setattr("stillhouse.extras.find_spec", lambda name: None)
    empty = students.make("lightgbm", shape=(5,), outputs=3, settings=SIZES)
    empty.load_state_dict(fitted.state_dict())
    assert isinstance(empty, TreeEnsemble)
    assert torch.equal(empty(x), fitted(x))
    with pytest.raises(UsageError, match=r"stillhouse\[trees\].*gradient_boosting"):
        students.check_reads("lightgbm", (5,), text=False)
    names = {member.name for member in students.simple_candidates((5,), False, "softmax")}
    assert names == {"logistic", "gradient_boosting"}
