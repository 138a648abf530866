"""Splits by group and in time: nobody stands on two sides, nothing is learned from the future."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stillhouse.data import Source, Split, split
from stillhouse.errors import RejectedError, UsageError
from tests.data.reading import source_of

ROWS = st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 12)), min_size=6, max_size=70)


def parts_of(source: Source, **settings: Any) -> Split:
    asked: dict[str, Any] = {"labels": "all", "valid": 0.2, "test": 0.25, "seed": 0}
    return split(source, **(asked | settings))


@settings(max_examples=60)
@given(ROWS, st.integers(0, 9), st.sampled_from([0.0, 0.2]))
def test_no_group_stands_in_two_parts(rows: list[tuple[int, int]], seed: int, valid: float) -> None:
    labels, groups = zip(*rows, strict=True)
    source, group = source_of(list(labels)), np.array(groups)
    assume((source.targets >= 0).any())
    try:
        parts = parts_of(source, groups=group, seed=seed, valid=valid)
    except RejectedError:
        return
    sides = [set(group[part]) for part in (parts.train, parts.valid, parts.test)]
    assert len(set.union(*sides)) == sum(map(len, sides))
    assert len(parts.test) > 0
    assert (len(parts.valid) > 0) == (valid > 0)
    assert set(source.targets[parts.labelled]) == set(source.targets[source.targets >= 0])
    assert (source.targets[np.concatenate([parts.test, parts.valid])] >= 0).all()
    # What is in no part has no label and belongs to a group that was set aside.
    left = np.setdiff1d(np.arange(len(source)), np.concatenate([parts.train, parts.valid, parts.test]))
    assert (source.targets[left] == -1).all()
    assert set(group[left]) <= sides[1] | sides[2]
    for part in (parts.train, parts.valid, parts.test):
        assert (np.diff(part) > 0).all()


@settings(max_examples=40)
@given(st.lists(st.integers(1, 9), min_size=4, max_size=30), st.integers(0, 9), st.sampled_from([0.1, 0.3, 0.5]))
def test_a_share_is_missed_by_half_the_largest_group_at_most(sizes: list[int], seed: int, share: float) -> None:
    group = np.repeat(np.arange(len(sizes)), sizes)
    parts = parts_of(source_of([0] * len(group)), groups=group, seed=seed, valid=0.0, test=share)
    asked = share * len(group)
    assert abs(len(parts.test) - asked) <= max(sizes) / 2 + 1e-9 or len(set(group[parts.test])) == 1


def test_classes_keep_their_shares_where_groups_are_many() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(300), rng.integers(1, 9, 300))
    labels = (rng.random(len(group)) < 0.1 + 0.5 * rng.random(300)[group]).astype(int)
    parts = parts_of(source_of(labels.tolist()), groups=group, test=0.2, valid=0.1)
    shares = np.bincount(labels[parts.test]) / np.bincount(labels)
    np.testing.assert_allclose(shares, 0.2, atol=0.02)
    tests = [parts_of(source_of(labels.tolist()), groups=group, seed=seed).test.tolist() for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]


def test_groups_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(RejectedError, match="2 groups of labelled rows to divide into 3 parts"):
        parts_of(source_of([0, 1, 0, 1]), groups=[1, 1, 2, 2])
    with pytest.raises(RejectedError, match="each of them holds all labelled rows of some class"):
        parts_of(source_of([0, 0, 1, 1, 2, 2]), groups=[0, 0, 1, 1, 2, 2])
    with pytest.raises(RejectedError, match=r"rows 1, 3 \(counted from 0\) have no group"):
        parts_of(source_of([0, 1, 0, 1]), groups=["a", "", "b", None])
    with pytest.raises(RejectedError, match=r"fixes its test rows, but row 1 \(counted from 0\)"):
        parts_of(source_of([0, 1, 0, 1, 0, 1], test=[0]), groups=[1, 1, 2, 3, 4, 5])
    with pytest.raises(UsageError, match="4 rows"):
        parts_of(source_of([0, 1, 0, 1]), groups=[1, 2])
    with pytest.raises(UsageError, match="group and order"):
        parts_of(source_of([0, 1, 0, 1]), groups=[1, 2, 3, 4], order=[1, 2, 3, 4])


@settings(max_examples=60)
@given(ROWS, st.sampled_from([0.0, 0.3]))
def test_what_is_judged_is_later_than_all_that_is_learned(rows: list[tuple[int, int]], valid: float) -> None:
    labels, moments = zip(*rows, strict=True)
    source, moment = source_of(list(labels)), np.array(moments)
    assume((source.targets >= 0).any())
    try:
        parts = parts_of(source, order=moment, valid=valid)
    except RejectedError:
        return
    after = np.concatenate([parts.valid, parts.test])
    assert moment[parts.train].max() < moment[after].min()
    if valid:
        assert moment[parts.valid].max() < moment[parts.test].min()
    known = np.flatnonzero(source.targets >= 0)
    assert sorted({*parts.labelled, *parts.valid, *parts.test}) == known.tolist()
    assert set(source.targets[parts.test]) <= set(source.targets[parts.labelled])


def test_the_latest_share_is_the_test_and_moments_stay_together() -> None:
    source = source_of([0, 1] * 10)
    parts = parts_of(source, order=np.arange(20)[::-1], test=0.2, valid=0.25)
    assert (parts.test.tolist(), parts.valid.tolist()) == ([0, 1, 2, 3], [4, 5, 6, 7])
    years = np.repeat([2001, 2002, 2003, 2004], 5)
    assert parts_of(source, order=years, test=0.3, valid=0.0).test.tolist() == list(range(15, 20))


@pytest.mark.parametrize(
    "form",
    [
        lambda days: days,
        lambda days: pd.Series(days),
        lambda days: days.astype(str),
        lambda days: np.array([date.fromisoformat(day) for day in days.astype(str)], object),
        lambda days: np.array([f"{day}T10:00:00+02:00" for day in days.astype(str)], object),
        lambda days: days.astype(int),
        lambda days: days.astype(int).astype(str),
    ],
)
def test_dates_and_numbers_of_every_form_give_the_same_split(form: Any) -> None:
    days = np.datetime64("2023-12-25") + np.arange(20) * 3
    order = np.random.default_rng(0).permutation(20)
    parts = parts_of(source_of([0, 1] * 10), order=form(days[order]), test=0.2, valid=0.0)
    assert parts.test.tolist() == np.flatnonzero(order >= 16).tolist()


def test_orders_that_cannot_be_used_are_refused() -> None:
    source = source_of([0, 1, 0, 1])
    with pytest.raises(
        RejectedError, match=r"row 2 \(counted from 0\) hold no number or date to order by, but '31/05/24'"
    ):
        parts_of(source, order=["2024-05-01", "2024-05-02", "31/05/24", "2024-06-01"])
    with pytest.raises(RejectedError, match="all with the same time"):
        parts_of(source, order=[1, 1, 1, 1])
    with pytest.raises(RejectedError, match="1 of the classes have no labelled row before"):
        parts_of(source_of([0, 0, 0, 1]), order=[1, 2, 3, 4], valid=0.0)
    with pytest.raises(UsageError, match="4 rows"):
        parts_of(source, order=[1, 2])
