"""Splits: disjoint, complete, stratified, and the same for the same seed."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedShuffleSplit

from stillhouse.data import Split, choose_labelled, split
from stillhouse.data.splits.random import apportion
from stillhouse.errors import RejectedError, UsageError
from tests.data.reading import read, source_of

LABELS = st.lists(st.integers(-1, 3), min_size=8, max_size=80)
SHARES = st.sampled_from([0.05, 0.2, 0.5, 0.9])


@given(LABELS, SHARES, st.sampled_from([0.0, 0.1, 0.6]), st.integers(0, 50))
def test_every_row_is_in_exactly_one_part_and_parts_are_sorted(
    labels: list[int], test: float, valid: float, seed: int
) -> None:
    source = source_of(labels)
    try:
        parts = split(source, labels="all", valid=valid, test=test, seed=seed)
    except RejectedError:
        known = [label for label in labels if label >= 0]
        spare = len(known) - len(set(known))
        left = spare - max(1, round(test * len(known)))
        assert spare < 1 or (valid > 0 and left < 1)  # too few to leave one of each class
        return
    together = np.concatenate([parts.train, parts.valid, parts.test])
    assert sorted(together.tolist()) == list(range(len(labels)))
    for part in (parts.train, parts.valid, parts.test, parts.labelled):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
    assert (source.targets[parts.valid] >= 0).all()
    assert (source.targets[parts.test] >= 0).all()
    assert set(source.targets[parts.labelled]) == set(source.targets[source.targets >= 0])
    assert parts.labelled.tolist() == [row for row in parts.train if source.targets[row] >= 0]


@given(LABELS, st.integers(1, 40), st.integers(0, 50))
def test_exactly_the_asked_number_keeps_its_label_with_each_class_at_least_once(
    labels: list[int], count: int, seed: int
) -> None:
    labels = [0, *labels]
    source, train = source_of(labels), np.arange(len(labels))
    known = sorted({label for label in labels if label >= 0})
    count = min(max(count, len(known)), sum(label >= 0 for label in labels))
    chosen = choose_labelled(source, train, labels=count, seed=seed)
    assert len(set(chosen.tolist())) == count
    assert sorted(set(source.targets[chosen].tolist())) == known


@given(LABELS, st.integers(0, 50))
def test_the_number_of_labels_moves_no_row_between_the_parts(labels: list[int], seed: int) -> None:
    enough = labels + [0, 1, 2, 3] * 3
    few, all_ = (split(source_of(enough), labels=n, valid=0.1, test=0.1, seed=seed) for n in (4, "all"))
    for name in ("train", "valid", "test"):
        np.testing.assert_array_equal(getattr(few, name), getattr(all_, name))
    assert set(few.labelled) <= set(all_.labelled)


def test_class_shares_are_those_of_scikit_learn() -> None:
    labels = np.repeat([0, 1, 2], [700, 250, 50])
    parts = split(source_of(labels.tolist()), labels=100, valid=0.1, test=0.2, seed=3)
    truth = next(StratifiedShuffleSplit(1, test_size=200, random_state=0).split(labels, labels))[1]
    assert np.bincount(labels[parts.test]).tolist() == np.bincount(labels[truth]).tolist() == [140, 50, 10]
    assert np.bincount(labels[parts.valid]).tolist() == [56, 20, 4]
    assert np.bincount(labels[parts.labelled]).tolist() == [70, 25, 5]


def test_the_seed_and_nothing_else_chooses() -> None:
    source = read(name="digits")

    def rows(seed: int) -> list[list[int]]:
        parts = split(source, labels=50, valid=0.1, test=0.2, seed=seed)
        return [part.tolist() for part in (parts.train, parts.valid, parts.test, parts.labelled)]

    assert rows(1) == rows(1)
    assert all(a != b for a, b in zip(rows(1), rows(2), strict=True))


def test_fixed_test_rows_are_kept() -> None:
    parts = split(source_of([0, 1] * 10, test=[0, 1, 2, 5]), labels="all", valid=0.25, test=0.9, seed=0)
    assert parts.test.tolist() == [0, 1, 2, 5]
    assert len(parts.valid) == 4


def test_positions_of_labelled_rows_are_their_places_in_the_training_rows() -> None:
    parts = split(read(name="digits"), labels=40, valid=0.1, test=0.2, seed=0)
    np.testing.assert_array_equal(parts.train[parts.labelled_positions()], parts.labelled)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 200))
def test_parts_differ_from_their_quota_by_less_than_one_row_where_unbounded(sizes: list[int], count: int) -> None:
    count = min(count, sum(sizes))
    counts = np.array(sizes, np.int64)
    parts = apportion(counts, count, counts * 0, counts)
    assert parts.sum() == count
    assert (np.abs(parts - counts * count / counts.sum()) < 1).all()


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3), st.integers(0, 3)), min_size=1), st.integers(0, 300))
def test_parts_keep_their_bounds(rows: list[tuple[int, int, int]], count: int) -> None:
    sizes, least, spare = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    low = np.minimum(least, sizes)
    high = np.maximum(sizes - spare, low)
    parts = apportion(sizes, count, low, high)
    assert (low <= parts).all()
    assert (parts <= high).all()
    assert parts.sum() == np.clip(count, low.sum(), high.sum())


@pytest.mark.parametrize(
    ("labels", "message"),
    [(50, "only 16 training rows have a label"), (1, "fewer labelled rows than the 2 classes")],
)
def test_labels_that_cannot_be_had_are_refused(labels: int | Literal["all"], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split(source_of([0, 1] * 10), labels=labels, valid=0.0, test=0.2, seed=0)


def test_no_test_rows_are_refused() -> None:
    with pytest.raises(UsageError, match=r"test = 0\.2"):
        split(source_of([0, 1] * 10), labels="all", valid=0.0, test=0.0, seed=0)


def test_too_few_labelled_rows_to_divide_are_refused() -> None:
    with pytest.raises(RejectedError, match="2 labelled rows left in 2 classes"):
        split(source_of([0, 1, -1, -1]), labels="all", valid=0.0, test=0.5, seed=0)


def test_split_is_made_of_plain_rows() -> None:
    rows = np.arange(4)
    assert Split(rows, rows[:0], rows[:0], rows[1:3]).labelled_positions().tolist() == [1, 2]
