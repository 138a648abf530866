"""Joined teachers answer as the formulas say, and what they disagree about is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from torch import Tensor, nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.tasks.classification.joining import confidence_weights
from stillhouse.teachers.ensemble import DISAGREEMENT, EnsembleTeacher, row_weights
from stillhouse.teachers.module import ModuleTeacher
from stillhouse.types import Batch, Outputs, Teacher
from tests.teachers.tasks import CLASSIFICATION, wide


class Says:
    """A teacher that answers each row by a table of its probabilities."""

    def __init__(self, probabilities: Any, parameters: int = 1) -> None:
        self.table = np.asarray(probabilities, np.float64)
        self.parameters = parameters

    @property
    def shape(self) -> tuple[int]:
        return (int(self.table.shape[1]),)

    def outputs(self, batch: Batch) -> Outputs:
        logits = np.log(self.table)[batch.rows.numpy()] + 7.0  # logits carry a constant that means nothing
        return Outputs(torch.from_numpy(logits).float())

    def fingerprint(self) -> str:
        return str(self.table.tolist())


def batch(count: int, targets: Tensor | None = None, views: int = 0) -> Batch:
    rows = torch.arange(count)
    none = torch.full_like(rows, -1)
    return Batch(torch.zeros(count, 1), none if targets is None else targets, rows, torch.full_like(rows, views))


def drawn(seed: int, members: int = 3, rows: int = 6, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), (members, rows))


def told(teacher: Teacher, asked: Batch) -> np.ndarray:
    return teacher.outputs(asked).logits.double().softmax(-1).numpy()


WEIGHTS = st.one_of(st.none(), st.lists(st.floats(0.1, 10), min_size=3, max_size=3))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), WEIGHTS)
def test_the_means_are_those_of_the_formulas(seed: int, weights: list[float] | None) -> None:
    tables = drawn(seed)
    members = [Says(table) for table in tables]
    asked = batch(6)
    expected = np.average(tables, axis=0, weights=weights)
    np.testing.assert_allclose(
        told(EnsembleTeacher(members, CLASSIFICATION, "mean", weights), asked), expected, atol=1e-5
    )
    geometric = np.exp(np.average(np.log(tables), axis=0, weights=weights))
    geometric /= geometric.sum(-1, keepdims=True)
    np.testing.assert_allclose(
        told(EnsembleTeacher(members, CLASSIFICATION, "log_mean", weights), asked), geometric, atol=1e-5
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_confidence_weighs_each_row_by_the_cross_entropy_with_its_label(seed: int) -> None:
    """Equation 4 of CA-MKD, written as in the paper; the last row has no label and gets the mean."""
    tables = drawn(seed)
    targets = np.random.default_rng(seed).integers(0, 4, 6)
    expected = np.empty((6, 4))
    for row, label in enumerate(targets):
        missed = np.exp([-np.log(table[row, label]) for table in tables])
        weights = (1 - missed / missed.sum()) / (len(tables) - 1)
        expected[row] = sum(w * table[row] for w, table in zip(weights, tables, strict=True))
    expected[-1] = tables[:, -1].mean(0)
    seen = torch.from_numpy(targets)
    seen[-1] = -1
    teacher = EnsembleTeacher([Says(table) for table in tables], CLASSIFICATION, "confidence")
    np.testing.assert_allclose(told(teacher, batch(6, seen)), expected, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_disagreement_is_the_mutual_information(seed: int, members: int) -> None:
    tables = drawn(seed, members)
    found = EnsembleTeacher([Says(table) for table in tables], CLASSIFICATION).outputs(batch(6)).features[DISAGREEMENT]
    expected = entropy(tables.mean(0), axis=-1) - entropy(tables, axis=-1).mean(0)
    assert found.shape == (6, 1)
    np.testing.assert_allclose(found[:, 0].numpy(), expected, atol=1e-5)
    assert 0 <= found.min() <= found.max() <= math.log(members) + 1e-6


def test_teachers_that_agree_do_not_disagree() -> None:
    table = drawn(0)[0]
    answer = EnsembleTeacher([Says(table), Says(table)], CLASSIFICATION).outputs(batch(6))
    assert float(answer.features[DISAGREEMENT].max()) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(answer.logits.exp().numpy(), table, atol=1e-6)


@pytest.mark.parametrize("how", ["mean", "log_mean", "confidence"])
def test_a_teacher_alone_answers_for_itself(how: Any) -> None:
    table = drawn(0)[0]
    np.testing.assert_allclose(
        told(EnsembleTeacher([Says(table)], CLASSIFICATION, how), batch(6, torch.ones(6).long())), table, atol=1e-6
    )


@pytest.mark.parametrize("how", ["mean", "log_mean", "confidence"])
def test_probabilities_of_zero_do_no_harm(how: Any) -> None:
    with np.errstate(divide="ignore"):
        teacher = EnsembleTeacher([Says([[1.0, 0.0]]), Says([[0.0, 1.0]])], CLASSIFICATION, how)
        answer = teacher.outputs(batch(1, torch.zeros(1).long()))
    assert answer.logits.isfinite().all()
    assert float(answer.features[DISAGREEMENT]) == pytest.approx(math.log(2), abs=1e-5)
    if how == "confidence":  # the one that knows the label is believed
        assert float(answer.logits.exp()[0, 0]) == pytest.approx(1.0)


def test_a_hopeless_teacher_still_answers_where_all_others_have_no_weight() -> None:
    teacher = EnsembleTeacher([Says([[1e-30, 1.0]]), Says([[0.9, 0.1]])], CLASSIFICATION, "confidence", [1.0, 0.0])
    np.testing.assert_allclose(told(teacher, batch(1, torch.zeros(1).long())), [[0.0, 1.0]], atol=1e-6)


def test_labels_by_row_serve_a_labelling_pass_that_shows_no_targets() -> None:
    members = [Says(table) for table in drawn(1)]
    labels = torch.tensor([0, 1, 2, 3, 0, -1])
    shown = told(EnsembleTeacher(members, CLASSIFICATION, "confidence"), batch(6, labels))
    known = EnsembleTeacher(members, CLASSIFICATION, "confidence", labels=labels)
    np.testing.assert_array_equal(told(known, batch(6)), shown)
    mean = told(EnsembleTeacher(members, CLASSIFICATION), batch(6))
    np.testing.assert_allclose(told(known, batch(6, views=1)), mean, atol=1e-6)  # a blend of rows has no label
    every = EnsembleTeacher(members, CLASSIFICATION, "confidence", labels=labels, labelled_views=2)
    np.testing.assert_array_equal(told(every, batch(6, views=1)), shown)


def test_rows_of_other_splits_have_no_label_there() -> None:
    table = np.array([[0.9, 0.1]])
    members = [Says(table), Says(table[:, ::-1])]
    asked = batch(1)._replace(rows=torch.tensor([-1]))
    answer = told(EnsembleTeacher(members, CLASSIFICATION, "confidence", labels=torch.tensor([0])), asked)
    np.testing.assert_allclose(answer, [[0.5, 0.5]], atol=1e-6)


def test_weights_of_confidence_add_up_to_one() -> None:
    logs = torch.from_numpy(drawn(3)).log()
    weights = confidence_weights(logs, torch.tensor([0, 1, 2, 3, -1, -1]))
    torch.testing.assert_close(weights.sum(0), torch.ones(6).double())
    torch.testing.assert_close(weights[:, 4:], torch.full((3, 2), 1 / 3).double())


def test_sizes_add_up_and_the_fingerprint_holds_all_that_decides() -> None:
    one, other = Says(drawn(0)[0], 10), Says(drawn(1)[0], 5)
    labels = torch.zeros(6).long()
    assert EnsembleTeacher([one, other], CLASSIFICATION).parameters == 15
    teachers = [
        EnsembleTeacher([one, other], CLASSIFICATION),
        EnsembleTeacher([other, one], CLASSIFICATION),
        EnsembleTeacher([one], CLASSIFICATION),
        EnsembleTeacher([one, other], CLASSIFICATION, "log_mean"),
        EnsembleTeacher([one, other], CLASSIFICATION, weights=[1, 2]),
        EnsembleTeacher([one, other], CLASSIFICATION, "confidence"),
        EnsembleTeacher([one, other], CLASSIFICATION, "confidence", labels=labels),
        EnsembleTeacher([one, other], CLASSIFICATION, "confidence", labels=labels + 1),
    ]
    assert len({teacher.fingerprint() for teacher in teachers}) == len(teachers)
    assert EnsembleTeacher([one, other], CLASSIFICATION, weights=[2, 2]).fingerprint() == teachers[0].fingerprint()


def test_members_of_other_classes_are_refused() -> None:
    with pytest.raises(RejectedError, match="2, 3 numbers a row"):
        EnsembleTeacher([Says([[0.5, 0.5]]), Says([[0.2, 0.3, 0.5]])], CLASSIFICATION)


def test_a_member_that_answers_nan_is_named_with_its_rows() -> None:
    bad = drawn(0)[0]
    bad[4] = math.nan
    with pytest.raises(RejectedError, match=r"Member 2 of 2 .* 1 of 6 rows; the first row ids are 4"):
        EnsembleTeacher([Says(drawn(0)[0]), Says(bad)], CLASSIFICATION).outputs(batch(6))


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, math.nan], [1.0, math.inf]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(UsageError, match="do not fit 2 members"):
        EnsembleTeacher([Says([[0.5, 0.5]]), Says([[0.5, 0.5]])], CLASSIFICATION, weights=weights)


def test_no_members_and_unknown_ways_are_refused() -> None:
    with pytest.raises(UsageError, match="without members"):
        EnsembleTeacher([], CLASSIFICATION)
    with pytest.raises(UsageError, match=r"Did you mean 'log_mean'"):
        EnsembleTeacher([Says([[0.5, 0.5]])], CLASSIFICATION, "logmean")


def test_rows_on_which_teachers_disagree_can_weigh_less() -> None:
    apart = torch.tensor([[0.0], [0.1], [0.6]])
    weights = row_weights(apart, 3.0)
    assert weights.tolist() == pytest.approx([1.0, math.exp(-0.3), math.exp(-1.8)])
    assert row_weights(apart, 0.0).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(UsageError, match="0 or more"):
        row_weights(apart, -1.0)


def test_nets_and_tables_can_be_members_of_one_ensemble() -> None:
    torch.manual_seed(0)
    net = nn.Linear(1, 4)
    teacher: Teacher = EnsembleTeacher([ModuleTeacher(net, CLASSIFICATION, wide(4)), Says(drawn(0)[0])], CLASSIFICATION)
    assert isinstance(teacher, Teacher)
    own = net(torch.zeros(6, 1)).softmax(-1).detach().numpy()
    np.testing.assert_allclose(told(teacher, batch(6)), (own + drawn(0)[0]) / 2, atol=1e-5)
