"""Trees fitted to probabilities: the same answers as scikit-learn's, better ones than from labels, whole files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from stillhouse import students
from stillhouse.errors import RejectedError, UsageError
from stillhouse.students.boosting import repeat_by_class
from stillhouse.students.soft_rows import Rows, checked_rows
from stillhouse.students.tree_tables import round_down
from stillhouse.students.trees import TreeEnsemble
from tests.students.tree_cases import CLASSES, FEATURES, TREES, fit, made, nll, one_hot


def test_a_tree_of_one_hot_targets_is_the_tree_of_the_labels() -> None:
    x, _, y = made(600, 0)
    limits: dict[str, Any] = {"max_leaf_nodes": 12, "min_samples_leaf": 10}
    ours = fit("decision_tree", x, one_hot(y), smoothing=0.0, max_depth=0, **limits)
    theirs = DecisionTreeClassifier(criterion="gini", random_state=0, **limits).fit(x.numpy(), y.numpy())
    fresh = made(2000, 1)[0]
    np.testing.assert_allclose(ours(fresh).softmax(-1).numpy(), theirs.predict_proba(fresh.numpy()), atol=1e-6)


@given(seed=st.integers(0, 10_000), step=st.sampled_from([0.0, 0.1, 0.25, 1.0]), leaves=st.integers(2, 40))
@settings(max_examples=25, deadline=None)
def test_a_tree_answers_as_scikit_learns_does_at_ties_too(seed: int, step: float, leaves: int) -> None:
    x, p, _ = made(120, seed, step=step)
    ours = fit("decision_tree", x, p, seed=seed, max_leaf_nodes=leaves, max_depth=0, min_samples_leaf=1, smoothing=0.0)
    rows = checked_rows(x, p, None)  # the same bits: of splits that are nearly as good, another would be the best
    theirs = DecisionTreeRegressor(max_leaf_nodes=leaves, random_state=seed, min_impurity_decrease=1e-10).fit(
        rows.inputs, rows.targets
    )
    near = torch.from_numpy(_beside(theirs.tree_))
    for asked in (x, near):
        np.testing.assert_allclose(ours(asked).softmax(-1).numpy(), theirs.predict(asked.numpy()), atol=1e-6)


def _beside(tree: Any) -> np.ndarray:
    """Rows whose values are the thresholds as float32, and the float32 below and above each."""
    splits = tree.feature >= 0
    at = tree.threshold[splits].astype(np.float32)
    values = np.concatenate([at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))])
    return np.repeat(values[:, None], FEATURES, axis=1)


@given(
    seed=st.integers(0, 10_000),
    step=st.sampled_from([0.0, 0.1, 0.25, 1.0]),
    classes=st.integers(2, 4),
    rounds=st.integers(1, 12),
)
@settings(max_examples=25, deadline=None)
def test_boosting_answers_as_scikit_learns_does_at_ties_too(seed: int, step: float, classes: int, rounds: int) -> None:
    x, _, y = made(150, seed, step=step, classes=classes)
    if int(y.bincount().count_nonzero()) < classes:
        return
    sizes: dict[str, Any] = {"max_iter": rounds, "max_leaf_nodes": 8, "min_samples_leaf": 5}
    ours = fit("gradient_boosting", x, one_hot(y, classes), seed=seed, **sizes)
    theirs = HistGradientBoostingClassifier(early_stopping=False, random_state=seed, **sizes)
    theirs.fit(x.numpy(), y.numpy(), np.ones(len(y)))
    thresholds = np.concatenate([t.nodes["num_threshold"] for stage in theirs._predictors for t in stage])
    near = torch.from_numpy(np.repeat(thresholds.astype(np.float32)[:, None], FEATURES, axis=1))
    for rows in (x, near):
        np.testing.assert_allclose(ours(rows).softmax(-1).numpy(), theirs.predict_proba(rows.numpy()), atol=1e-6)


@given(st.floats(allow_nan=False), st.floats(width=32, allow_nan=False))
@pytest.mark.filterwarnings("ignore:overflow encountered in nextafter")
def test_a_threshold_rounded_down_parts_float32_values_as_before(threshold: float, value: float) -> None:
    near = round_down(np.array([threshold]))[0]
    for x in (np.float32(value), near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
        assert (x <= near) == (float(x) <= threshold)


@given(seed=st.integers(0, 1000), floor=st.sampled_from([0.0, 1e-3, 0.2, 0.9]))
@settings(max_examples=20, deadline=None)
def test_repeated_rows_weigh_what_their_row_does(seed: int, floor: float) -> None:
    draw = np.random.default_rng(seed)
    p, w = draw.dirichlet(np.full(4, 0.5), 30), draw.uniform(0.1, 3, 30)
    again = repeat_by_class(Rows(np.zeros((30, 1), np.float32), p, w), floor)
    np.testing.assert_allclose(np.bincount(again.rows, again.weights, 30), w)
    if floor == 0.0:
        rebuilt = np.zeros_like(p)
        rebuilt[again.rows, again.labels] = again.weights
        np.testing.assert_allclose(rebuilt, p * w[:, None])


def test_boosting_on_probabilities_beats_boosting_on_the_likeliest_class() -> None:
    x, p, _ = made(400, 2)
    fresh, truth, _ = made(4000, 3)
    sizes: dict[str, Any] = {"max_iter": 40, "max_leaf_nodes": 6}
    soft = fit("gradient_boosting", x, p, **sizes)
    hard = fit("gradient_boosting", x, one_hot(p.argmax(1)), **sizes)
    assert nll(soft, fresh, truth) < nll(hard, fresh, truth) - 0.1


def test_a_tree_of_probabilities_beats_a_tree_of_few_labels() -> None:
    x, p, y = made(300, 4)
    fresh, truth, _ = made(4000, 5)
    assert nll(fit("decision_tree", x, p), fresh, truth) < nll(fit("decision_tree", x, one_hot(y)), fresh, truth)


@pytest.mark.parametrize("name", TREES)
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    x, p, _ = made(200, 6, step=1.0)
    states = [fit(name, x, p, seed=seed).state_dict() for seed in (1, 1)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("name", TREES)
def test_a_row_of_weight_two_is_the_row_twice(name: str) -> None:
    x, p, _ = made(60, 8)
    twice = torch.arange(60) % 2 + 1
    loose: dict[str, Any] = {"min_samples_leaf": 1, "max_leaf_nodes": 4} | (
        {} if name == "decision_tree" else {"max_iter": 5}
    )
    loose |= {"smoothing": 0.0} if name == "decision_tree" else {}
    weighted = fit(name, x, p, weights=twice.float(), **loose)
    repeated = fit(name, x.repeat_interleave(twice, 0), p.repeat_interleave(twice, 0), **loose)
    torch.testing.assert_close(weighted(x).softmax(-1), repeated(x).softmax(-1), atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", TREES)
def test_rows_of_no_weight_teach_nothing(name: str) -> None:
    x, p, _ = made(100, 9)
    some = (torch.arange(100) < 70).float()
    small: dict[str, Any] = {} if name == "decision_tree" else {"max_iter": 5}
    torch.testing.assert_close(
        fit(name, x, p, weights=some, **small)(x), fit(name, x[:70], p[:70], **small)(x), atol=0, rtol=0
    )


@pytest.mark.parametrize("present", [[1], [0, 2], [0, 1, 3]])
def test_boosting_gives_a_class_without_rows_less_than_one_row(present: list[int]) -> None:
    x, _, y = made(200, 10)
    labels = torch.tensor(present)[y % len(present)]
    proba = fit("gradient_boosting", x, one_hot(labels, 5), max_iter=5)(x).softmax(-1)
    absent = [c for c in range(5) if c not in present]
    assert torch.isfinite(proba).all()
    assert proba[:, absent].max() < 0.05
    assert proba[:, absent].sum(1).mean() < 5 / 200


def test_a_leaf_of_one_class_leaves_a_chance_to_the_others() -> None:
    x = torch.arange(20.0)[:, None]
    tree = fit("decision_tree", x, one_hot((x[:, 0] >= 10).long(), 2), min_samples_leaf=1)
    assert tree.size == 3
    torch.testing.assert_close(tree(x[:1]).softmax(-1), torch.tensor([[10.5 / 11, 0.5 / 11]]))


@pytest.mark.parametrize("name", TREES)
def test_an_empty_ensemble_takes_a_fitted_one_from_a_file(name: str, tmp_path: Path) -> None:
    x, p, _ = made(200, 11)
    fitted = fit(name, x.reshape(200, 1, FEATURES), p)
    save_file(fitted.state_dict(), tmp_path / "model.safetensors")
    empty = students.make(name, shape=(1, FEATURES), outputs=CLASSES, settings={"max_leaf_nodes": 9})
    assert torch.allclose(empty(x).softmax(-1), torch.tensor(1 / 3))
    empty.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(empty(x), fitted(x))
    assert isinstance(empty, TreeEnsemble)
    assert (empty.size, empty.depth, empty.leaves) == (fitted.size, fitted.depth, fitted.leaves)


@pytest.mark.parametrize(
    ("key", "spoil", "said"),
    [
        ("left", lambda t: torch.zeros_like(t), "children"),
        ("right", lambda t: t + 1000, "children"),
        ("feature", lambda t: t + FEATURES, "input that does not exist"),
        ("roots", lambda t: t - 1, "outside the table"),
        ("roots", lambda t: t + 1, "two parents"),
        ("threshold", lambda t: t[1:], "length"),
        ("value", lambda t: t[:, :2], "values"),
    ],
)
def test_a_damaged_table_is_refused(key: str, spoil: Any, said: str) -> None:
    x, p, _ = made(200, 12)
    state = fit("decision_tree", x, p).state_dict()
    state[key] = spoil(state[key])
    empty = students.make("decision_tree", shape=(FEATURES,), outputs=CLASSES, settings={})
    with pytest.raises(RuntimeError, match=said):
        empty.load_state_dict(state)


@given(
    seed=st.integers(0, 10_000),
    step=st.sampled_from([0.0, 1.0]),
    leaves=st.integers(2, 12),
    name=st.sampled_from(TREES),
)
@settings(max_examples=25, deadline=None)
def test_a_row_alone_finds_the_leaves_that_it_finds_among_many(seed: int, step: float, leaves: int, name: str) -> None:
    x, p, _ = made(100, seed, step=step)
    sizes: dict[str, Any] = {"max_leaf_nodes": leaves} | ({"max_iter": 4} if name != "decision_tree" else {})
    trees = fit(name, x, p, **sizes)
    assert trees.paths is not None
    many = trees(x)
    torch.testing.assert_close(torch.cat([trees(row[None]) for row in x]), many, atol=1e-6, rtol=0)
    trees.paths = None
    assert torch.equal(trees(x), many)
    torch.testing.assert_close(torch.cat([trees(row[None]) for row in x]), many, atol=1e-6, rtol=0)


def test_a_tree_of_other_classes_is_refused() -> None:
    x, p, _ = made(200, 12)
    empty = students.make("decision_tree", shape=(FEATURES,), outputs=CLASSES + 1, settings={})
    with pytest.raises(RuntimeError, match="base"):
        empty.load_state_dict(fit("decision_tree", x, p).state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("name", TREES)
def test_an_exported_ensemble_answers_as_the_module_for_any_batch(name: str, tmp_path: Path) -> None:
    from stillhouse.exporting import Exportable, export

    x, p, _ = made(200, 13)
    small: dict[str, Any] = {} if name == "decision_tree" else {"max_iter": 10}
    fitted = fit(name, x, p, **small)
    outputs = {"logits": lambda logits: logits}
    shipped = Exportable(fitted, x[:3], fitted, x[:3], outputs)
    file = export(shipped, tmp_path / "trees.onnx", format="onnx", metadata={})
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for rows in (x[:1], x):
        (logits,) = session.run(["logits"], {"inputs": rows.numpy()})
        np.testing.assert_allclose(logits, fitted(rows).numpy(), atol=1e-5)


def test_fitted_students_have_settings_as_nets_have() -> None:
    assert students.defaults("decision_tree") == {
        "max_leaf_nodes": 16, "max_depth": 8, "min_samples_leaf": 5, "smoothing": 1.0, "shrinkage": 0.0,
    }  # fmt: skip
    assert students.is_fitted("gradient_boosting")
    assert not students.is_fitted("mlp_tiny")
    assert not set(students.FITTED) & set(students.names())


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("decision_tree", {"leaves": 3}, "Did you mean 'max_leaf_nodes'|Known"),
        ("decision_tree", {"max_leaf_nodes": 1}, "at least 2"),
        ("decision_tree", {"smoothing": -1.0}, "at least 0"),
        ("gradient_boosting", {"max_iter": 1.5}, "whole number"),
        ("gradient_boosting", {"learning_rate": 0.0}, "above 0"),
        ("decision_trea", {}, "Did you mean 'decision_tree'"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_and_at_the_fit(name: str, given: dict[str, Any], said: str) -> None:
    x, p, _ = made(30, 14)
    with pytest.raises(UsageError, match=said):
        students.make(name, shape=(FEATURES,), outputs=CLASSES, settings=given)
    with pytest.raises(UsageError, match=said):
        fit(name, x, p, **given)


def test_rows_that_cannot_be_fitted_are_named() -> None:
    x, p, _ = made(30, 15)
    gap, wrong = x.clone(), p.clone()
    gap[4, 2], wrong[6] = float("nan"), 0.9
    with pytest.raises(RejectedError, match="first are 4"):
        fit("gradient_boosting", gap, p)
    with pytest.raises(UsageError, match="first are 6"):
        fit("decision_tree", x, wrong)
    with pytest.raises(UsageError, match="30 rows"):
        fit("decision_tree", x, p[:20])
    with pytest.raises(UsageError, match="first are 0"):
        fit("decision_tree", x, p, weights=-torch.ones(30))
    with pytest.raises(RejectedError, match="nothing to fit"):
        fit("decision_tree", x, p, weights=torch.zeros(30))
