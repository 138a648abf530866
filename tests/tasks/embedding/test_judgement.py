"""Embedders are judged by what scipy and scikit-learn say, and the effect of a text is that of leaving it out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from stillhouse.errors import RejectedError
from stillhouse.tasks.embedding.measures import (
    neighbours,
    neighbours_found,
    pair_cosines,
    pair_offsets,
    rank_correlation,
    same_category,
)
from tests.evaluation.worlds import embedders, judged


def vectors(texts: int, width: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(texts, width))


def noisy(of: np.ndarray, noise: float, seed: int = 1) -> np.ndarray:
    return of + noise * np.random.default_rng(seed).normal(size=of.shape)


@settings(max_examples=30, deadline=None)
@given(texts=st.integers(3, 200), most=st.integers(1, 5000), seed=st.integers(0, 99))
def test_every_text_stands_in_equally_many_pairs_and_no_pair_twice(texts: int, most: int, seed: int) -> None:
    offsets = pair_offsets(texts, most, seed)
    pairs = [frozenset({i, (i + int(offset)) % texts}) for offset in offsets for i in range(texts)]
    assert len(set(pairs)) == len(pairs) <= max(most, texts)
    counts = np.bincount([text for pair in pairs for text in pair], minlength=texts)
    assert len(set(counts.tolist())) == 1


def test_the_rank_correlation_is_scipys_over_scikit_learns_cosines() -> None:
    teacher = vectors(101)
    student, offsets = noisy(teacher, 0.5), pair_offsets(101)
    assert len(offsets) == 50  # all pairs
    found = rank_correlation(pair_cosines(student, offsets), pair_cosines(teacher, offsets), offsets)
    above = np.triu_indices(101, 1)
    expected = spearmanr(cosine_similarity(student)[above], cosine_similarity(teacher)[above]).statistic
    assert found.components.mean() == pytest.approx(expected, abs=1e-12)


def test_the_effect_of_a_text_on_the_rank_correlation_is_that_of_leaving_it_out() -> None:
    texts, teacher = 201, vectors(201)
    student, offsets = noisy(teacher, 0.7), pair_offsets(201)
    found = rank_correlation(pair_cosines(student, offsets), pair_cosines(teacher, offsets), offsets).components
    ours, theirs = cosine_similarity(student), cosine_similarity(teacher)

    def without(text: int) -> float:
        left = np.delete(np.arange(texts), text)
        above = np.triu_indices(texts - 1, 1)
        return float(spearmanr(ours[np.ix_(left, left)][above], theirs[np.ix_(left, left)][above]).statistic)

    whole = found.mean()
    jackknife = np.array([(texts - 1) * (whole - without(text)) for text in range(25)])
    assert np.corrcoef(jackknife, found[:25] - whole)[0, 1] > 0.99
    assert np.std(found[:25]) == pytest.approx(np.std(jackknife), rel=0.1)


def test_a_net_that_says_the_same_of_every_text_has_no_rank_correlation() -> None:
    offsets = pair_offsets(30)
    flat = pair_cosines(np.ones((30, 4)), offsets)
    assert rank_correlation(np.ones_like(flat), pair_cosines(vectors(30), offsets), offsets).components.mean() == 0


def test_neighbours_are_scikit_learns() -> None:
    points = vectors(700)
    found = NearestNeighbors(n_neighbors=11, metric="cosine", algorithm="brute").fit(points)
    expected = found.kneighbors(points, return_distance=False)[:, 1:]
    assert (neighbours(points) == expected).all()


def test_ndcg_is_scikit_learns_and_recall_counts_what_both_found() -> None:
    teacher = vectors(80)
    student = noisy(teacher, 0.6)
    wanted, got = neighbours(teacher), neighbours(student)
    ndcg, recall = neighbours_found(got, wanted)
    relevant = np.zeros((80, 80))
    np.put_along_axis(relevant, wanted, 1.0, axis=1)
    likeness = cosine_similarity(student)
    np.fill_diagonal(likeness, -2.0)
    assert ndcg.components.mean() == pytest.approx(ndcg_score(relevant, likeness, k=10), abs=1e-12)
    both = [len(set(a) & set(b)) / 10 for a, b in zip(wanted.tolist(), got.tolist(), strict=True)]
    assert recall.components.tolist() == pytest.approx(both)


def test_texts_without_a_category_are_neither_sought_nor_found() -> None:
    points, labels = vectors(60), np.arange(60) % 3
    labels[::4] = -1
    known = labels >= 0
    shares, expected = (same_category(points[r], labels[r]) for r in (slice(None), known))
    assert shares.components.mean() == pytest.approx(expected.components.mean())
    assert np.ptp(shares.components[~known]) == 0
    assert same_category(points, labels).rows == known.sum()


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.01, 100), seed=st.integers(0, 999))
def test_turning_and_stretching_all_vectors_changes_no_measure(scale: float, seed: int) -> None:
    teacher = vectors(40, 5, seed)
    turn = np.linalg.qr(vectors(5, 5, seed + 1))[0]
    offsets = pair_offsets(40)
    student = scale * teacher @ turn
    ndcg, recall = neighbours_found(neighbours(student), neighbours(teacher))
    ranks = rank_correlation(pair_cosines(student, offsets), pair_cosines(teacher, offsets), offsets)
    assert ndcg.components.mean() > 0.999
    assert recall.components.mean() > 0.999
    assert ranks.components.mean() > 0.999


def scores_of(noise: float, control: float, *, labelled: bool = True, texts: int = 150) -> dict[str, Any]:
    made = embedders(texts, labelled=labelled, distilled=noise, contrast=control, start=3.0)
    return judged("embedding", made, margin=0.05)


def words(scores: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(e["measure"], e["b"]): e["verdict"] for e in scores["comparisons"]}


def test_a_student_nearer_to_the_teacher_than_its_controls_is_better() -> None:
    scores = scores_of(0.1, 1.5)
    assert scores["verdict"] == "better"
    found = words(scores)
    assert found["precision_10", "teacher"] in ("non_inferior", "inconclusive")
    assert {word for (_, b), word in found.items() if b != "teacher"} == {"better"}


def test_a_student_farther_from_the_teacher_than_its_control_is_worse() -> None:
    assert scores_of(1.5, 0.1)["verdict"] == "worse"


def test_two_students_of_one_kind_cannot_be_told_apart() -> None:
    assert words(scores_of(0.5, 0.5))["spearman", "contrast"] in ("inconclusive", "non_inferior")


def test_without_categories_the_headline_is_the_retrieval_of_the_teachers_neighbours() -> None:
    scores = scores_of(0.1, 1.5, labelled=False)
    entries = scores["comparisons"]
    assert entries[0]["measure"] == "ndcg_10"
    assert not any(e["measure"] == "precision_10" for e in entries)


def test_too_few_held_out_texts_are_refused() -> None:
    with pytest.raises(RejectedError, match="20 held-out texts"):
        scores_of(0.1, 1.0, texts=20)
