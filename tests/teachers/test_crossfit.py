"""Cross-fitted teachers are honest about the rows they were trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.crossfit import CrossFitted, fold_of, rows_seen, take
from stillhouse.teachers.module import ModuleTeacher
from stillhouse.types import Batch, Outputs, Teacher
from tests.teachers.tasks import CLASSIFICATION, wide


class Remembers:
    """A teacher that is sure of class 1 for rows it was trained on, and of class 0 for all others."""

    shape, parameters = (2,), 7

    def __init__(self, seen: Tensor) -> None:
        self.seen = seen

    def outputs(self, batch: Batch) -> Outputs:
        met = torch.isin(batch.inputs[:, 0].long(), self.seen)
        return Outputs(torch.stack([~met, met], 1).float() * 20)

    def fingerprint(self) -> str:
        return str(self.seen.tolist())


def batch(rows: Tensor, **more: Any) -> Batch:
    """Inputs that hold the number of the row itself."""
    none = torch.full_like(rows, -1)
    return Batch(rows.float().unsqueeze(1), none, rows, torch.zeros_like(rows), **more)


def cross_fit(make: Callable[[Tensor], Teacher], labels: Tensor, folds: int, seed: int) -> CrossFitted:
    """One teacher without each fold, and one more that has seen every labelled row."""
    assigned = fold_of(labels.numpy(), folds, seed, "a test")
    made = [make(torch.from_numpy(rows)) for rows in rows_seen(assigned)]
    return CrossFitted(made, assigned, make(torch.nonzero(torch.from_numpy(assigned >= 0)).flatten()))


LABELS = st.lists(st.integers(-1, 2), min_size=8, max_size=60).map(lambda drawn: [0, 0, 1, 1, 2, 2, *drawn])


@settings(deadline=None, max_examples=40)
@given(LABELS, st.integers(2, 5), st.integers(0, 5))
def test_no_row_is_answered_by_a_teacher_that_saw_it(labels: list[int], folds: int, seed: int) -> None:
    targets = torch.tensor(labels)
    teacher = cross_fit(Remembers, targets, folds, seed)
    surest = teacher.outputs(batch(torch.arange(len(labels)))).logits.argmax(1)
    assert surest.sum() == 0
    for fold, rows in zip(teacher.folds, rows_seen(teacher.fold_of), strict=True):
        assert isinstance(fold, Remembers)
        assert (targets[fold.seen] >= 0).all()
        assert fold.seen.tolist() == sorted(rows.tolist())


@settings(deadline=None, max_examples=40)
@given(LABELS, st.integers(2, 5), st.integers(0, 5))
def test_folds_are_stratified_and_hold_every_labelled_row_once(labels: list[int], folds: int, seed: int) -> None:
    y = np.array(labels)
    assigned = fold_of(y, folds, seed, "a test")
    assert ((assigned >= 0) == (y >= 0)).all()
    for label in range(3):
        counts = np.bincount(assigned[y == label], minlength=assigned.max() + 1)
        assert counts.max() - counts.min() <= 1


def test_other_rows_are_answered_by_one_that_saw_all() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 1, -1])
    asked = batch(torch.tensor([6, -1]))._replace(inputs=torch.tensor([[6.0], [2.0]]))
    whole = cross_fit(Remembers, labels, 3, 0)
    assert whole.outputs(asked).logits.softmax(-1)[:, 1].tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert (whole.parameters, whole.shape) == (7, (2,))


def test_nets_are_less_sure_of_their_own_rows_out_of_fold() -> None:
    """Labels are noise: in fold a net learns them by heart, out of fold it cannot know them."""
    draw = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(60, 60, generator=draw), torch.arange(60) % 2

    def make(rows: Tensor) -> Teacher:
        torch.manual_seed(0)
        net = nn.Linear(60, 2)
        optimiser = torch.optim.Adam(net.parameters(), 0.1)
        for _ in range(60):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(inputs[rows]), targets[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return ModuleTeacher(net, CLASSIFICATION, wide(2))

    rows = torch.arange(60)
    asked = Batch(inputs, torch.full_like(rows, -1), rows, torch.zeros_like(rows))
    honest = cross_fit(make, targets, 4, 0)
    right = (honest.outputs(asked).logits.argmax(1) == targets).float().mean()
    by_heart = (make(rows).outputs(asked).logits.argmax(1) == targets).float().mean()
    assert by_heart > 0.9
    assert right < 0.7
    assert isinstance(honest, Teacher)


def test_the_fingerprint_follows_folds_and_teachers() -> None:
    labels = torch.tensor([0, 1] * 6)
    made = [cross_fit(Remembers, labels, folds, seed) for folds, seed in ((3, 0), (3, 0), (3, 1), (2, 0))]
    prints = [teacher.fingerprint() for teacher in made]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_one_labelled_row_of_a_class_cannot_be_left_out() -> None:
    with pytest.raises(RejectedError, match="at least two labelled rows"):
        cross_fit(Remembers, torch.tensor([0, 0, 0, 1, -1]), 3, 0)
    with pytest.raises(RejectedError, match="at least two labelled rows"):
        cross_fit(Remembers, torch.tensor([-1, -1]), 3, 0)


def test_rare_classes_make_for_fewer_folds() -> None:
    assert len(cross_fit(Remembers, torch.tensor([0] * 9 + [1] * 3), 5, 0).folds) == 3


def test_wrong_settings_are_usage_errors() -> None:
    labels = torch.tensor([0, 1] * 3)
    with pytest.raises(UsageError, match="two or more"):
        cross_fit(Remembers, labels, 1, 0)


@pytest.mark.parametrize("form", ["array", "frame", "list", "none"])
def test_raw_rows_go_along_with_theirs(form: str) -> None:
    texts = ["a", "b", "c", "d"]
    raw: Any = {"array": np.array(texts, object), "frame": pd.DataFrame({"t": texts}), "list": texts, "none": None}[
        form
    ]
    part = take(batch(torch.arange(4), raw=raw, mask=torch.tensor([True, False, True, False])), np.array([2, 0]))
    assert part.rows.tolist() == [2, 0]
    assert part.inputs[:, 0].tolist() == [2.0, 0.0]
    assert part.mask is not None
    assert part.mask.tolist() == [True, True]
    if form == "none":
        assert part.raw is None
    else:
        assert list(part.raw["t"] if form == "frame" else part.raw) == ["c", "a"]
