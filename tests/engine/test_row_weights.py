"""How much a row counts: in the loss on labels of every task, in what is matched, and in models of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight
from torch import Tensor, nn

from stillhouse import tasks
from stillhouse.data import Rows, StoredBatches, Stream, Views
from stillhouse.engine import Step
from stillhouse.errors import UsageError
from stillhouse.methods import make
from stillhouse.students.fitted import fit_soft
from stillhouse.task import OutputSpec
from stillhouse.tasks.classification.losses import balanced, label_loss
from stillhouse.teachers import fit_sklearn
from stillhouse.types import Batch, Outputs, withheld

WEIGHTS = st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=6, max_size=6)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(6, 3)), draw.integers(-1, 3, 6)


def of_classes(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    """Sum of w_i times -log softmax, over the number of labelled rows."""
    logs = outputs - np.log(np.exp(outputs).sum(1, keepdims=True))
    known = targets >= 0
    return float((weights * -logs[np.arange(6), targets] * known).sum() / max(known.sum(), 1))


def of_labels(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    yes, known = 1 / (1 + np.exp(-outputs)), ~np.isnan(targets)
    wanted = np.nan_to_num(targets)
    losses = -(wanted * np.log(yes) + (1 - wanted) * np.log(1 - yes)) * known
    return float((weights[:, None] * losses).sum() / max(known.sum(), 1))


def of_values(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    known = ~np.isnan(targets)
    squares = np.where(known, (outputs - np.nan_to_num(targets)) ** 2, 0.0)
    return float((weights[:, None] * squares).sum() / max(known.sum(), 1))


def targets_of(task: str, seed: int) -> np.ndarray:
    _, classes = drawn(seed)
    if task == "classification":
        return classes
    draw = np.random.default_rng(seed + 1)
    found = draw.integers(0, 2, (6, 3)).astype(float) if task == "multilabel" else draw.normal(size=(6, 3))
    found[draw.random((6, 3)) < 0.2] = np.nan
    return found


FORMULAS = {"classification": of_classes, "multilabel": of_labels, "regression": of_values}


@pytest.mark.parametrize("task", FORMULAS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), weights=WEIGHTS)
def test_the_label_loss_is_the_weighted_formula(task: str, seed: int, weights: list[float]) -> None:
    outputs, targets = drawn(seed)[0], targets_of(task, seed)
    given_targets = torch.tensor(targets) if task == "classification" else torch.tensor(targets).float()
    found = tasks.get(task).loss(
        torch.tensor(outputs), given_targets, row_weights=torch.tensor(weights, dtype=torch.float64)
    )
    assert found.item() == pytest.approx(FORMULAS[task](outputs, targets, np.array(weights)), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("task", FORMULAS)
def test_weights_of_one_change_nothing(task: str) -> None:
    outputs, targets = torch.tensor(drawn(1)[0]).float(), torch.tensor(targets_of(task, 1))
    targets = targets if task == "classification" else targets.float()
    loss = tasks.get(task).loss
    torch.testing.assert_close(loss(outputs, targets, row_weights=torch.ones(6)), loss(outputs, targets))


def test_tokens_count_as_their_row_does() -> None:
    outputs, targets = torch.randn(2, 3, 4), torch.tensor([[0, 1, -1], [3, 2, 0]])
    found = label_loss(outputs, targets, row_weights=torch.tensor([0.0, 2.0]))
    second = nn.functional.cross_entropy(outputs[1], targets[1], reduction="sum")
    torch.testing.assert_close(found, 2 * second / 5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=30))
def test_balanced_weights_are_those_of_scikit_learn(targets: list[int]) -> None:
    known = np.array([t for t in targets if t >= 0])
    found = balanced(torch.tensor(targets), None).numpy()
    expected = compute_sample_weight("balanced", known) if len(known) else np.ones(0)
    np.testing.assert_allclose(found[np.array(targets) >= 0], expected, rtol=1e-6)
    assert (found[np.array(targets) < 0] == 1).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 3), st.sampled_from([0.0, 0.25, 1.0, 7.0])), min_size=1, max_size=30))
def test_balanced_classes_have_one_total_whatever_their_rows_weigh(rows: list[tuple[int, float]]) -> None:
    targets, weights = torch.tensor([t for t, _ in rows]), torch.tensor([w for _, w in rows])
    found = balanced(targets, weights).double()
    totals = [float(found[targets == c].sum()) for c in range(4) if weights[targets == c].sum() > 0]
    assert totals == pytest.approx([float(weights[targets >= 0].sum()) / max(len(totals), 1)] * len(totals), rel=1e-5)
    assert torch.equal(found[targets < 0], weights[targets < 0].double())


@pytest.mark.parametrize("task", ["multilabel", "regression", "embedding"])
def test_classes_are_balanced_only_where_a_row_has_one(task: str) -> None:
    with pytest.raises(UsageError, match=r"one class of each row.*Remove the line"):
        tasks.get(task).balanced(torch.zeros(3, 2), None)


def stepped(weights: Tensor | None, repeat: list[int], name: str) -> dict[str, Tensor]:
    """The terms of a batch whose rows are repeated."""
    torch.manual_seed(0)
    net = nn.Linear(4, 3).double()
    method = make(name)
    step = Step(net, [(name, method, 1.0)], loss=label_loss, label_weight=1.0)
    rows = torch.repeat_interleave(torch.arange(6), torch.tensor(repeat))
    inputs, answers = torch.randn(6, 4, dtype=torch.float64)[rows], torch.randn(6, 3, dtype=torch.float64)[rows]
    targets = torch.tensor([0, 1, 2, -1, 1, 0])[rows]
    views = torch.zeros_like(rows)
    terms: dict[str, Tensor] = step(Batch(inputs, targets, rows, views, weights=weights), Outputs(answers))
    return terms


@pytest.mark.parametrize("name", ["hinton", "reverse_kl", "dkd", "logit_regression"])
def test_a_weight_of_two_is_a_row_that_stands_twice(name: str) -> None:
    once = stepped(torch.tensor([2.0, 1.0, 0.0, 1.0, 3.0, 1.0]), [1] * 6, name)
    again = stepped(None, [2, 1, 0, 1, 3, 1], name)
    # A mean divides by the rows that count, however little: 5 of either kind here, and 7 labelled ones of 8 there.
    for term, value in once.items():
        torch.testing.assert_close(5 * value, (7 if term == "labels" else 8) * again[term], rtol=1e-6, atol=0)


def test_related_rows_of_weight_nothing_are_left_out() -> None:
    found = stepped(torch.tensor([2.0, 1.0, 0.0, 1.0, 3.0, 1.0]), [1] * 6, "dist")
    again = stepped(None, [1, 1, 0, 1, 1, 1], "dist")
    torch.testing.assert_close(found["dist/inter_class"], again["dist/inter_class"])
    torch.testing.assert_close(found["dist/intra_class"], again["dist/intra_class"])


def test_a_batch_holds_the_weights_of_its_rows() -> None:
    weights = torch.tensor([0.5, 1.0, 1.5])
    rows = Rows(torch.eye(3), torch.tensor([0, 1, 2]), weights)
    batch = StoredBatches(rows, Stream(torch.arange(3), batch_size=3, seed=0), Views("none", 1, 0.0, 0)).at(
        0, nn.Identity()
    )
    assert batch.weights is not None
    assert torch.equal(batch.weights, weights[batch.rows])
    taken = rows.take(torch.tensor([2, 0]))
    assert taken.weights is not None
    assert taken.weights.tolist() == [1.5, 0.5]


def wrong_rows(task: str) -> tuple[Tensor, Tensor, Tensor, Any, OutputSpec]:
    """Rows whose label follows from the first input, and as many with the opposite label and no weight."""
    x = torch.randn(160, 3, generator=torch.Generator().manual_seed(0))
    yes = (x[:, 0] > 0).long()
    yes[80:] = 1 - yes[80:]
    weights = torch.cat([torch.full((80,), 2.0), torch.zeros(80)])
    kind = tasks.get(task)
    if task == "classification":
        return x, yes, weights, kind, OutputSpec((2,), ("no", "yes"))
    return x, yes[:, None].float(), weights, kind, OutputSpec((1,), ("yes",))


@pytest.mark.parametrize("task", FORMULAS)
@pytest.mark.parametrize("name", ["extra_trees", "hist_gradient_boosting"])
def test_teachers_of_scikit_learn_learn_nothing_from_rows_without_weight(task: str, name: str) -> None:
    x, y, weights, kind, spec = wrong_rows(task)
    teacher = fit_sklearn(name, {}, x, y, weights, task=kind, spec=spec, folds=2, seed=0)
    away = torch.full((80,), -1)
    answers = teacher.outputs(Batch(x[:80], withheld(y[:80]), away, torch.zeros_like(away))).values
    said = answers.argmax(1) if task == "classification" else (answers[:, 0] > (0.5 if task == "regression" else 0))
    assert (said.long() == (x[:80, 0] > 0)).float().mean() > 0.95
    plain = fit_sklearn(name, {}, x, y, task=kind, spec=spec, folds=2, seed=0)
    assert plain.fingerprint() != teacher.fingerprint()


@pytest.mark.parametrize("name", ["decision_tree", "gradient_boosting"])
def test_fitted_students_learn_nothing_from_rows_without_weight(name: str) -> None:
    x, y, weights, _, _ = wrong_rows("classification")
    soft = nn.functional.one_hot(y, 2).float()
    tree = fit_soft(name, inputs=x, targets=soft, weights=weights, settings={}, seed=0)
    assert (tree(x[:80]).argmax(1) == y[:80]).float().mean() > 0.95
