"""A view by a function of the user's: the same in any batch, tried before it is used, and refused in plain words."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stillhouse.data import Views
from stillhouse.errors import UsageError
from stillhouse.pipeline.setup.own_views import own_policy, try_views
from tests.data.splitmix_reference import reference_word

IMAGES = torch.rand(40, 2, 5, 6, generator=torch.Generator().manual_seed(0))
IDS = torch.randint(1, 30, (40, 7), generator=torch.Generator().manual_seed(1))
Change = Callable[..., Any]


def made(
    change: Change, count: int = 6, seed: int = 3, *, keeps_label: bool = True, vocabulary: int | None = None
) -> Views:
    policy = own_policy(change, "python:mine:change", "abc", keeps_label=keeps_label, vocabulary=vocabulary)
    return Views("python:mine:change", count, 0.0, seed, own=policy)


def noisy(row: Tensor, generator: torch.Generator) -> Tensor:
    return row + torch.randn(row.shape, generator=generator)


def of_everyones(row: Tensor, generator: torch.Generator) -> Tensor:
    """As transforms of other libraries do."""
    return row + torch.rand(()) + float(np.random.rand()) + random.random()  # noqa: NPY002


def exchanged(row: Tensor, generator: torch.Generator) -> Tensor:
    return row[torch.randperm(len(row), generator=generator)]


class Flip(torch.nn.Module):
    def forward(self, row: Tensor, generator: torch.Generator) -> Tensor:
        return row.flip(-1) if torch.rand((), generator=generator) < 0.5 else row


GOOD: list[tuple[Change, Tensor]] = [(noisy, IMAGES), (of_everyones, IMAGES), (exchanged, IDS), (Flip(), IMAGES)]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 5)), min_size=1, max_size=20), st.integers(1, 7))
def test_a_view_is_the_same_in_any_batch(asked: list[tuple[int, int]], batch: int) -> None:
    rows, numbers = (torch.tensor(column) for column in zip(*asked, strict=True))
    for change, inputs in GOOD:
        views = made(change)
        together = views.apply(inputs[rows], rows, numbers)
        parts = zip(torch.split(rows, batch), torch.split(numbers, batch), strict=True)
        assert torch.cat([views.apply(inputs[r], r, n) for r, n in parts]).equal(together)


@pytest.mark.parametrize(("change", "inputs"), GOOD)
def test_view_zero_is_the_row_and_rows_views_and_seeds_differ(change: Change, inputs: Tensor) -> None:
    before, rows = inputs.clone(), torch.arange(40)
    views = made(change)
    try_views(views, inputs)
    assert views.apply(inputs, rows, rows * 0).equal(inputs)
    one, two = (views.apply(inputs, rows, rows * 0 + number) for number in (1, 2))
    assert not one.equal(two)
    assert not one.equal(made(change, seed=4).apply(inputs, rows, rows * 0 + 1))
    assert inputs.equal(before)
    assert (one.shape, one.dtype) == (inputs.shape, inputs.dtype)


def test_the_generator_starts_from_row_view_and_seed_alone() -> None:
    seen = made(noisy).apply(IMAGES[[7, 3]], torch.tensor([7, 3]), torch.tensor([5, 1]))
    for place, (row, view) in enumerate([(7, 5), (3, 1)]):
        start = torch.Generator().manual_seed(reference_word(3, 19, row, view) >> 1)
        assert seen[place].equal(IMAGES[row] + torch.randn((2, 5, 6), generator=start))


def test_the_generators_of_training_are_left_as_they_were() -> None:
    torch.manual_seed(5)
    random.seed(5)
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
    made(of_everyones).apply(IMAGES, torch.arange(40), torch.ones(40, dtype=torch.int64))
    assert torch.get_rng_state().equal(before[0])
    assert random.getstate() == before[1]
    assert str(np.random.get_state()) == before[2]  # noqa: NPY002


def test_the_user_says_whether_a_view_keeps_its_label() -> None:
    targets, numbers = torch.arange(6), torch.arange(6) % 3
    assert made(noisy, 3).targets(targets, numbers).equal(targets)
    without = made(noisy, 3, keeps_label=False)
    assert without.targets(targets, numbers).tolist() == [0, -1, -1, 3, -1, -1]
    assert without.labelled == 1


OWN = torch.Generator().manual_seed(0)
KEPT: list[int] = []


def by_itself(row: Tensor, generator: torch.Generator) -> Tensor:
    return row + torch.rand((), generator=OWN)


def counting(row: Tensor, generator: torch.Generator) -> Tensor:
    KEPT.append(1)
    return row + len(KEPT)


def failing(row: Tensor, generator: torch.Generator) -> Tensor:
    raise RuntimeError("no such corner")


BAD: list[tuple[Change, str]] = [
    (by_itself, r"asked twice for view 1 of training row 0, it returned other values.*generator=generator"),
    (counting, "asked twice"),
    (failing, r"row 0: RuntimeError: no such corner. It is called as function\(row, generator\)"),
    (lambda row, generator: row, "returned 16 training rows as they are"),
    (lambda row, generator: row[..., 1:], r"shape \(2, 5, 5\) for a row of torch.float32 of the shape \(2, 5, 6\)"),
    (lambda row, generator: row.double(), r"torch.float64.*`.to\(row.dtype\)`"),
    (lambda row, generator: row.numpy(), "returned ndarray, not a tensor"),
    (lambda row, generator: row / 0, "NaN or infinite"),
    (torch.nn.Flatten(), r"takes 2 positional arguments but 3 were given. It is called as.*`lambda row, generator"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_what_is_no_view_is_refused_on_the_first_rows(change: Change, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        try_views(made(change), IMAGES)


def test_a_function_of_one_argument_is_refused_and_the_cure_works() -> None:
    transform = torch.nn.Hardtanh(0.2, 0.8)
    with pytest.raises(UsageError, match=r"too many positional arguments.*lambda row, generator: transform\(row\)"):
        made(lambda row: transform(row))
    views = made(lambda row, generator: transform(row))
    try_views(views, IMAGES)
    assert views.apply(IMAGES, torch.arange(40), torch.ones(40, dtype=torch.int64)).equal(IMAGES.clamp(0.2, 0.8))


@pytest.mark.parametrize("shift", [-30, 30])
def test_token_ids_outside_the_vocabulary_are_refused(shift: int) -> None:
    with pytest.raises(UsageError, match="token ids outside 0 to 29"):
        try_views(made(lambda row, generator: row + shift, vocabulary=30), IDS)


def test_what_depends_on_the_batch_is_found_though_asking_twice_gives_the_same() -> None:
    calls: list[int] = []

    def every_sixteenth(row: Tensor, generator: torch.Generator) -> Tensor:
        calls.append(1)
        return row + (len(calls) - 1) % 16

    with pytest.raises(UsageError, match="asked in another batch"):
        try_views(made(every_sixteenth), IMAGES)
