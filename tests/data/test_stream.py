"""The order of training: a function of the step, every row once an epoch, every view in turn."""

from collections import Counter
from typing import TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data import Stream
from stillhouse.data import stream as stream_module
from stillhouse.errors import RejectedError
from stillhouse.recipe import parse

Sizes: TypeAlias = tuple[int, int, int, int]  # rows, batch, views, seed
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 30), st.integers(1, 4), st.integers(0, 99))


def stream(sizes: Sizes) -> tuple[Stream, torch.Tensor]:
    count, batch, views, seed = sizes
    rows = torch.arange(count) * 3 + 5
    return Stream(rows, batch_size=batch, seed=seed, views=views), rows


@given(SIZES)
def test_batches_are_full_and_their_concatenation_is_permutations_one_after_the_other(sizes: Sizes) -> None:
    order, rows = stream(sizes)
    count, batch, views, _ = sizes
    pairs = [order.at(step) for step in range(-(-3 * views * count // batch))]
    assert all(len(r) == len(v) == batch and r.dtype == v.dtype == torch.int64 for r, v in pairs)
    drawn = torch.cat([r for r, _ in pairs]).tolist()
    for start in range(0, len(drawn) - count + 1, count):
        assert sorted(drawn[start : start + count]) == rows.tolist()


@given(SIZES)
def test_each_row_meets_each_view_once_in_as_many_epochs_as_there_are_views(sizes: Sizes) -> None:
    order, rows = stream((sizes[0], sizes[0], sizes[2], sizes[3]))
    views = sizes[2]
    for first in (0, 3):
        met = Counter(
            pair
            for epoch in range(first, first + views)
            for pair in zip(*map(torch.Tensor.tolist, order.at(epoch)), strict=True)
        )
        assert met == {(row, view): 1 for row in rows.tolist() for view in range(views)}


@given(SIZES, st.lists(st.integers(0, 60), min_size=1, max_size=8))
def test_any_step_is_the_same_whatever_was_asked_before(sizes: Sizes, steps: list[int]) -> None:
    used, _ = stream(sizes)
    for step in steps:
        fresh, _ = stream(sizes)
        for asked, expected in zip(used.at(step), fresh.at(step), strict=True):
            assert asked.equal(expected)


def test_epochs_and_seeds_differ() -> None:
    rows = torch.arange(100)
    first, second = Stream(rows, batch_size=100, seed=0, views=4), Stream(rows, batch_size=100, seed=1, views=4)
    assert not first.at(0)[0].equal(first.at(1)[0])
    assert not first.at(0)[0].equal(second.at(0)[0])
    assert len(set(first.at(0)[1].tolist())) == 4


def test_a_row_stands_anywhere_in_the_epoch_equally_often() -> None:
    order = Stream(torch.arange(10), batch_size=10, seed=0)
    places = np.stack([order.at(epoch)[0].numpy() for epoch in range(4000)])
    counts = np.stack([np.bincount(places[:, place], minlength=10) for place in range(10)])
    assert abs(counts - 400).max() < 5 * np.sqrt(400)


def test_no_rows_are_refused() -> None:
    with pytest.raises(RejectedError, match="no row to train on"):
        Stream(torch.arange(0), batch_size=4, seed=0)


def test_above_a_number_of_rows_an_epoch_is_still_every_row_once_and_every_view_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "KEYED_FROM", 50)
    rows = torch.arange(101) * 3
    order = Stream(rows, batch_size=101, seed=4, views=2)
    first, second = order.at(0), order.at(1)
    assert sorted(first[0].tolist()) == sorted(second[0].tolist()) == rows.tolist()
    assert not torch.equal(first[0], second[0])
    seen = {
        *zip(first[0].tolist(), first[1].tolist(), strict=True),
        *zip(second[0].tolist(), second[1].tolist(), strict=True),
    }
    assert len(seen) == 202
    short = Stream(rows, batch_size=7, seed=4, views=2)
    drawn = torch.cat([short.at(step)[0] for step in range(15)])[:101]
    assert torch.equal(drawn, first[0])  # whatever the batches
    assert short._order.cache_info().currsize == 0  # no table was made


def test_the_order_of_many_rows_belongs_to_the_identity_of_a_run() -> None:
    assert stream_module.order_version(1 << 20) is None  # as before: older runs are resumed
    assert stream_module.order_version((1 << 20) + 1) == "feistel 1"
    assert stream_module.order_version(5, "parts") == "parts 1"
    plain, parts = (parse({"training": training}).digest() for training in ({"order": "rows"}, {"order": "parts"}))
    assert plain == parse({}).digest() != parts


@settings(max_examples=8, deadline=None)
@given(count=st.integers(1, 300), batch=st.integers(20, 500), seed=st.integers(0, 9))
def test_an_order_by_parts_is_every_row_once_whatever_the_batches(count: int, batch: int, seed: int) -> None:
    rows = torch.arange(count) * 2
    whole = Stream(rows, batch_size=count, seed=seed, views=2, order="parts")
    some = Stream(rows, batch_size=batch, seed=seed, views=2, order="parts")
    first, second = whole.at(0), whole.at(1)
    assert sorted(first[0].tolist()) == sorted(second[0].tolist()) == rows.tolist()
    assert len({*zip(first[0].tolist(), first[1].tolist(), strict=True)} & {*zip(*map(list, second), strict=True)}) == 0
    drawn = torch.cat([some.at(step)[0] for step in range(-(-count // batch))])[:count]
    assert torch.equal(drawn, first[0])


def test_an_order_by_parts_uses_an_eighth_of_the_rows_at_a_time_and_mixes_them() -> None:
    count = 64 * 256
    epochs = [Stream(torch.arange(count), batch_size=count, seed=seed, order="parts").at(0)[0] for seed in (0, 1)]
    for order in epochs:
        windows = [sorted({row // 256 for row in some}) for some in order.numpy().reshape(8, -1).tolist()]
        assert all(len(parts) == 8 for parts in windows)
        assert sum(parts[-1] - parts[0] > 8 for parts in windows) >= 7  # parts from everywhere
        assert all(len({row // 256 for row in some}) == 8 for some in order.numpy().reshape(-1, 128).tolist())
    assert not torch.equal(*epochs)


def test_every_row_stands_in_every_window_of_an_order_by_parts_equally_often() -> None:
    order = Stream(torch.arange(96), batch_size=12, seed=0, order="parts")
    places = torch.stack([torch.cat([order.at(8 * epoch + i)[0] for i in range(8)]).argsort() for epoch in range(100)])
    counts = torch.stack([torch.bincount(row // 24, minlength=4) for row in places.T])
    assert abs(counts - 25).max() < 5 * 25**0.5
