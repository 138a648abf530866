"""Rows that stand in two parts are found; what a costly teacher is asked is what the rule says, by brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import entropy

from stillhouse.data import Source, Split
from stillhouse.data.asking import choose_rows
from stillhouse.data.splits.duplicates import across, sentences
from stillhouse.errors import UsageError


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 1), st.integers(0, 2)), min_size=3, max_size=25))
def test_duplicates_are_those_that_loops_find(rows: list[tuple[int, int, int]]) -> None:
    contents, labels, parts = (np.array(column) for column in zip(*rows, strict=True))
    source = Source(contents[:, None].astype(float), labels, ("a", "b"), "array", "s", (1,))
    train, valid, test = (np.flatnonzero(parts == part) for part in range(3))
    found = across(source, Split(train, valid, test, train))
    named = {"train": train, "valid": valid, "test": test}
    for (a, b), overlap in found.items():
        likes = {row: [other for other in named[b] if contents[other] == contents[row]] for row in named[a]}
        pairs: list[tuple[int, int]] = [(int(row), int(others[0])) for row, others in likes.items() if others]
        assert overlap.rows == len(pairs)
        assert list(overlap.first) == pairs[:5]
        theirs = {row: {labels[other] for other in others} - {-1} for row, others in likes.items()}
        assert overlap.contrary == sum(bool(labels[r] >= 0 and s and labels[r] not in s) for r, s in theirs.items())
    assert set(found) == {("test", "valid"), ("test", "train"), ("valid", "train")}
    assert len(sentences(found)) == sum(overlap.rows > 0 for overlap in found.values())


def test_the_rows_and_contrary_labels_are_told() -> None:
    source = Source(np.array([[1.0], [2.0], [1.0]]), np.array([0, 1, 1]), ("a", "b"), "array", "s", (1,))
    found = across(source, Split(np.array([0, 1]), np.array([], np.int64), np.array([2]), np.array([0, 1])))
    assert sentences(found) == [
        "1 test row has the same inputs as a train row; 1 of them with another label: 2 (as 0) (rows counted from 0)."
    ]


POINTS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=9, unique=True)


def radius(points: np.ndarray, centres: list[int]) -> float:
    return float(cdist(points, points[centres]).min(1).max())


@settings(max_examples=40)
@given(POINTS, st.integers(1, 4), st.integers(0, 9))
def test_coreset_is_greedy_and_within_twice_the_best(places: list[tuple[int, int]], count: int, seed: int) -> None:
    points, count = np.array(places, float), min(count, len(places))
    chosen = choose_rows("coreset", count=count, seed=seed, embeddings=points).tolist()
    assert len(set(chosen)) == count
    for n in range(1, count):
        nearest = cdist(points, points[chosen[:n]]).min(1)
        assert nearest[chosen[n]] == pytest.approx(nearest.max())
    best = min(radius(points, list(centres)) for centres in combinations(range(len(points)), count))
    assert radius(points, chosen) <= 2 * best + 1e-9


def test_coreset_begins_from_the_labelled_rows() -> None:
    line = np.arange(11.0)[:, None]
    assert choose_rows("coreset", count=2, seed=0, embeddings=line, labelled=[0]).tolist() == [10, 5]
    images = line.reshape(11, 1, 1)
    assert choose_rows("coreset", count=1, seed=0, embeddings=images, labelled=[0, 10]).tolist() == [5]


def test_uncertainty_takes_the_least_margin_and_entropy_the_most_entropy() -> None:
    probs = np.random.default_rng(0).dirichlet([0.5] * 4, 60)
    two = np.sort(probs, 1)
    asked = {"count": 7, "seed": 0, "log_probs": np.log(probs)}
    by_margin = choose_rows("uncertainty", **asked)  # type: ignore[arg-type]
    assert by_margin.tolist() == np.argsort(two[:, -1] - two[:, -2])[:7].tolist()
    assert choose_rows("entropy", **asked).tolist() == np.argsort(-entropy(probs, axis=1))[:7].tolist()  # type: ignore[arg-type]
    left = choose_rows("uncertainty", labelled=by_margin[:3], **asked)  # type: ignore[arg-type]
    assert left[:4].tolist() == by_margin[3:].tolist()


@pytest.mark.parametrize("how", ["random", "uncertainty", "entropy", "coreset"])
def test_choices_nest_repeat_and_leave_the_labelled(how: str) -> None:
    rng = np.random.default_rng(1)
    given = {"log_probs": np.log(rng.dirichlet([1.0] * 3, 30)), "embeddings": rng.normal(size=(30, 4))}

    def choose(count: int) -> list[int]:
        chosen: list[int] = choose_rows(how, count=count, seed=3, labelled=[4, 5], **given).tolist()  # type: ignore[arg-type]
        return chosen

    assert choose(12)[:5] == choose(5)
    assert sorted(choose(99)) == sorted(set(range(30)) - {4, 5})


def test_random_rows_follow_the_seed_and_certain_rows_come_last() -> None:
    assert (
        choose_rows("random", count=9, seed=0, rows=50).tolist()
        != choose_rows("random", count=9, seed=1, rows=50).tolist()
    )
    certain = np.array([[0.0, -np.inf], np.log([0.5, 0.5])])
    assert choose_rows("entropy", count=2, seed=0, log_probs=certain).tolist() == [1, 0]


def test_what_is_missing_is_said() -> None:
    with pytest.raises(UsageError, match="Did you mean 'coreset'"):
        choose_rows("corset", count=1, seed=0, rows=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="number of rows"):
        choose_rows("random", count=1, seed=0)
    with pytest.raises(UsageError, match="needs `log_probs`"):
        choose_rows("uncertainty", count=1, seed=0, rows=3)
    with pytest.raises(UsageError, match="holds NaN"):
        choose_rows("coreset", count=1, seed=0, embeddings=[[np.nan]])
