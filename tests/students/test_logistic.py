"""Logistic and ridge regression on soft targets: scikit-learn's answers, one linear layer, whole files."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor, nn

from stillhouse import students
from stillhouse.errors import UsageError
from stillhouse.students.linear_fitting import fit_linear
from stillhouse.students.soft_rows import Rows
from stillhouse.task import Link


def made(rows: int, columns: int, classes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs with columns of different scale, one of them constant; soft targets of classes; weights."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=draw) * torch.logspace(-2, 2, columns) + torch.linspace(-3, 3, columns)
    x[:, -1] = 5.0
    p = torch.randn(rows, classes, generator=draw).softmax(-1)
    return x, p, torch.rand(rows, generator=draw) + 0.1


def fit(x: Tensor, p: Tensor, *, weights: Tensor | None = None, link: Link = "softmax", **given: Any) -> nn.Module:
    return students.fit_soft("logistic", inputs=x, targets=p, weights=weights, settings=given, seed=0, link=link)


def standard(x: Tensor, w: Tensor) -> np.ndarray:
    """Weighted standardisation in float64."""
    a, b = x.double().numpy(), w.double().numpy()
    mean = np.average(a, axis=0, weights=b)
    scale = np.sqrt(np.average((a - mean) ** 2, axis=0, weights=b))
    return (a - mean) / np.where(scale > 1e-9, scale, 1.0)


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(3, 60),
    columns=st.integers(2, 30),
    strength=st.sampled_from([0.01, 1.0, 10.0]),
)
@settings(max_examples=20, deadline=None)
def test_soft_targets_give_the_fit_of_rows_repeated_for_each_class(
    seed: int, rows: int, columns: int, strength: float
) -> None:
    x, p, w = made(rows, columns, 3, seed)
    ours = fit(x, p, weights=w, C=strength)(x).softmax(-1).detach().numpy()
    z, again = standard(x, w), np.repeat(np.arange(rows), 3)
    theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000)
    theirs.fit(z[again], np.tile(np.arange(3), rows), (w[:, None] / w.mean() * p).double().numpy().ravel())
    np.testing.assert_allclose(ours, theirs.predict_proba(z), atol=1e-3)


@given(seed=st.integers(0, 10_000), rows=st.integers(3, 40), columns=st.integers(2, 30))
@settings(max_examples=20, deadline=None)
def test_values_give_scikit_learns_ridge_on_the_rows_where_each_is_known(seed: int, rows: int, columns: int) -> None:
    x, _, w = made(rows, columns, 3, seed)
    y = torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed))
    y[::3, 1] = torch.nan
    ours = fit(x, y, weights=w, link="identity", C=0.5)(x).detach().numpy()
    z, scaled = standard(x, w), (w / w.mean()).double().numpy()
    for k in range(2):
        known = ~np.isnan(y[:, k].numpy())
        theirs = Ridge(alpha=2.0).fit(z[known], y[known, k].double().numpy(), scaled[known])
        np.testing.assert_allclose(ours[:, k], theirs.predict(z), atol=1e-3)


def test_labels_are_fitted_one_by_one_where_each_is_known() -> None:
    x, _, w = made(80, 6, 3, 1)
    y = (torch.randn(80, 2, generator=torch.Generator().manual_seed(5)) > 0).float()
    y[::4, 0] = torch.nan
    ours = fit(x, y, weights=w, link="sigmoid", C=0.3)(x).sigmoid().detach().numpy()
    z, scaled = standard(x, w), (w / w.mean()).double().numpy()
    for k in range(2):
        known = ~np.isnan(y[:, k].numpy())
        theirs = LogisticRegression(C=0.3, tol=1e-10, max_iter=10_000).fit(z[known], y[known, k], scaled[known])
        np.testing.assert_allclose(ours[:, k], theirs.predict_proba(z)[:, 1], atol=1e-4)


@pytest.mark.parametrize("link", ["softmax", "sigmoid", "identity"])
def test_few_rows_of_many_columns_are_fitted_as_many_rows_are(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(20, 200)), draw.dirichlet(np.ones(3), 20)
    x[3] = x[4]  # equal rows: their products have no inverse
    rows = Rows(x.astype(np.float32), y, np.ones(20), link)
    short = fit_linear(x, rows, 1.0)
    monkeypatch.setattr("stillhouse.students.linear_fitting.MOST_ROWS", 0)
    for ours, theirs in zip(short, fit_linear(x, rows, 1.0), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_a_fit_is_one_linear_layer_that_loads_without_its_rows() -> None:
    x, p, _ = made(50, 6, 4, 2)
    fitted = fit(x.reshape(50, 1, 2, 3), p)
    empty = students.make("logistic", shape=(1, 2, 3), outputs=4, settings={})
    empty.load_state_dict(fitted.state_dict())
    assert torch.equal(empty(x.reshape(50, 1, 2, 3)), fitted(x.reshape(50, 1, 2, 3)))
    assert {name: tuple(t.shape) for name, t in fitted.state_dict().items()} == {
        "head.weight": (4, 6), "head.bias": (4,),
    }  # fmt: skip
    assert float(fitted.state_dict()["head.weight"][:, -1].abs().max()) == 0.0  # of the constant column


def test_the_same_rows_give_the_same_bits() -> None:
    x, p, w = made(60, 8, 3, 3)
    first, second = (fit(x, p, weights=w).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_class_without_rows_is_unlikely_and_finite() -> None:
    x, _, _ = made(60, 5, 3, 4)
    outputs = fit(x, torch.nn.functional.one_hot(torch.arange(60) % 2, 3).float())(x).detach()
    assert torch.isfinite(outputs).all()
    assert outputs.softmax(-1)[:, 2].max() < 1 / 60


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan"), True])
def test_a_strength_that_cannot_be_is_refused(strength: float) -> None:
    with pytest.raises(UsageError, match=r"above 0|wrong type"):
        students.make("logistic", shape=(3,), outputs=2, settings={"C": strength})
