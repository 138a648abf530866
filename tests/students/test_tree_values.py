"""Trees fitted to values and to independent labels: the same answers as scikit-learn's, one output at a time."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from stillhouse import students
from stillhouse.errors import RejectedError, UsageError
from stillhouse.task import Link
from tests.students.tree_cases import FEATURES, TREES, fit, measured


@given(seed=st.integers(0, 10_000), targets=st.integers(1, 4), leaves=st.integers(2, 30))
@settings(max_examples=20, deadline=None)
def test_a_tree_of_values_answers_as_scikit_learns_does(seed: int, targets: int, leaves: int) -> None:
    x, y = measured(120, seed, targets)
    ours = fit("decision_tree", x, y, link="identity", seed=seed, max_leaf_nodes=leaves, max_depth=0)
    theirs = DecisionTreeRegressor(max_leaf_nodes=leaves, min_samples_leaf=5, random_state=seed)
    theirs.fit(x.numpy(), y.double().numpy())
    fresh = measured(200, seed + 1)[0]
    np.testing.assert_allclose(ours(fresh).numpy(), theirs.predict(fresh.numpy()).reshape(200, targets), atol=1e-5)


@given(seed=st.integers(0, 10_000), targets=st.integers(1, 3), rounds=st.integers(1, 12))
@settings(max_examples=15, deadline=None)
def test_boosting_of_values_is_scikit_learns_one_target_at_a_time(seed: int, targets: int, rounds: int) -> None:
    x, y = measured(150, seed, targets)
    sizes: dict[str, Any] = {"max_iter": rounds, "max_leaf_nodes": 8, "min_samples_leaf": 5}
    ours = fit("gradient_boosting", x, y, link="identity", seed=seed, **sizes)
    fresh = measured(200, seed + 1)[0]
    for k in range(targets):
        theirs = HistGradientBoostingRegressor(early_stopping=False, random_state=seed, **sizes)
        theirs.fit(x.numpy(), y[:, k].double().numpy(), np.ones(len(x)))
        np.testing.assert_allclose(ours(fresh)[:, k].numpy(), theirs.predict(fresh.numpy()), atol=1e-5)


@given(seed=st.integers(0, 10_000), labels=st.integers(1, 3), rounds=st.integers(1, 12))
@settings(max_examples=15, deadline=None)
def test_boosting_of_labels_is_scikit_learns_one_label_at_a_time(seed: int, labels: int, rounds: int) -> None:
    x, y = measured(150, seed, labels)
    hot = (y > 0).float()
    sizes: dict[str, Any] = {"max_iter": rounds, "max_leaf_nodes": 8, "min_samples_leaf": 5}
    ours = fit("gradient_boosting", x, hot, link="sigmoid", seed=seed, **sizes)
    for k in range(labels):
        theirs = HistGradientBoostingClassifier(early_stopping=False, random_state=seed, **sizes)
        theirs.fit(x.numpy(), hot[:, k].numpy(), np.ones(len(x)))
        np.testing.assert_allclose(ours(x)[:, k].sigmoid().numpy(), theirs.predict_proba(x.numpy())[:, 1], atol=1e-6)


def test_a_tree_of_labels_answers_with_the_odds_of_its_leaves() -> None:
    x = torch.arange(20.0)[:, None]
    p = torch.where(x < 12, torch.tensor([[0.9, 0.25, 0.0]]), torch.tensor([[0.3, 0.25, 1.0]]))
    exact = fit("decision_tree", x, p, link="sigmoid", smoothing=0.0)
    torch.testing.assert_close(exact(x).sigmoid(), p)
    assert torch.isfinite(exact(x)).all()
    smoothed = fit("decision_tree", x, p, link="sigmoid", smoothing=1.0)
    torch.testing.assert_close(smoothed(x[:1])[0].sigmoid(), (12 * p[0] + 0.5) / 13)


@pytest.mark.parametrize("link", ["identity", "sigmoid"])
def test_a_target_that_is_unknown_teaches_nothing(link: Link) -> None:
    x, y = measured(120, 20)
    y = y if link == "identity" else (y > 0).float()
    gaps = y.clone()
    gaps[::3, 1] = torch.nan
    boosted = fit("gradient_boosting", x, gaps, link=link, max_iter=4)
    known = torch.arange(120) % 3 > 0
    torch.testing.assert_close(
        boosted(x)[:, 1:], fit("gradient_boosting", x[known], y[known, 1:], link=link, max_iter=4)(x), atol=0, rtol=0
    )
    torch.testing.assert_close(
        boosted(x)[:, :1], fit("gradient_boosting", x, y[:, :1], link=link, max_iter=4)(x), atol=0, rtol=0
    )
    whole = fit("decision_tree", x[known], y[known], link=link)
    torch.testing.assert_close(fit("decision_tree", x, gaps, link=link)(x), whole(x), atol=0, rtol=0)
    gaps[:, 1] = torch.nan
    with pytest.raises(RejectedError, match="gradient_boosting"):
        fit("decision_tree", x, gaps, link=link)
    assert torch.isfinite(fit("gradient_boosting", x, gaps, link=link, max_iter=4)(x)).all()


@pytest.mark.parametrize("name", TREES)
def test_targets_that_are_not_what_the_link_says_are_named(name: str) -> None:
    x, y = measured(30, 21)
    wrong = (y > 0).float()
    wrong[6, 1] = 1.5
    with pytest.raises(UsageError, match="first are 6"):
        fit(name, x, wrong, link="sigmoid")
    y[4, 0] = torch.inf
    with pytest.raises(UsageError, match="first are 4"):
        fit(name, x, y, link="identity")


@pytest.mark.parametrize("name", TREES)
def test_a_single_output_is_saved_and_loaded(name: str) -> None:
    x, y = measured(100, 22, targets=1)
    fitted = fit(name, x, y, link="identity")
    empty = students.make(name, shape=(FEATURES,), outputs=1, settings={})
    empty.load_state_dict(fitted.state_dict())
    assert torch.equal(empty(x), fitted(x))
    assert empty(x).shape == (100, 1)
