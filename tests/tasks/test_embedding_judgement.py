"""Embedders are judged by what scipy and scikit-learn say, and the effect of a text is that of leaving it out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from stillhouse.errors import DamagedError, RejectedError
from stillhouse.tasks.embedding.measures import (
    neighbours,
    neighbours_found,
    pair_cosines,
    pair_offsets,
    rank_correlation,
    same_category,
)
from stillhouse.tasks.embedding.scores import Embedded, score_embeddings


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
    assert np.array_equal(
        same_category(points, labels).components, same_category(points[known], labels[known]).components
    )
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


def judged(noise: float, control: float, *, labelled: bool = True, texts: int = 150) -> dict[str, object]:
    """Students that are the teacher with noise, on three clouds of texts."""
    labels = np.arange(texts) % 3
    teacher = 1.5 * np.eye(3, 8)[labels] + 0.5 * vectors(texts, 8)
    arms = {
        name: {str(s): noisy(teacher, size, 10 * s + k).astype(np.float32) for s in range(3)}
        for k, (name, size) in enumerate({"distilled": noise, "contrast": control, "start": 3.0}.items())
    }
    told = Embedded(
        np.arange(texts),
        labels if labelled else np.full(texts, -1),
        arms | {"teacher": {"-": teacher.astype(np.float32)}},
    )
    return score_embeddings(told, confidence=0.95, margin=0.05, resamples=400, seeds=[0, 1, 2])


def words(scores: dict[str, object]) -> dict[tuple[str, str], str]:
    entries = scores["comparisons"]
    assert isinstance(entries, list)
    return {(e["measure"], e["b"]): e["verdict"] for e in entries}


def test_a_student_nearer_to_the_teacher_than_its_controls_is_better() -> None:
    scores = judged(0.1, 1.5)
    assert scores["verdict"] == "better"
    found = words(scores)
    assert found["precision_10", "teacher"] in ("no worse within m", "cannot tell")
    assert {word for (_, b), word in found.items() if b != "teacher"} == {"better"}


def test_a_student_farther_from_the_teacher_than_its_control_is_worse() -> None:
    assert judged(1.5, 0.1)["verdict"] == "worse"


def test_two_students_of_one_kind_cannot_be_told_apart() -> None:
    assert words(judged(0.5, 0.5))["spearman", "contrast"] in ("cannot tell", "no worse within m")


def test_without_categories_the_headline_is_the_retrieval_of_the_teachers_neighbours() -> None:
    scores = judged(0.1, 1.5, labelled=False)
    entries = scores["comparisons"]
    assert isinstance(entries, list)
    assert entries[0]["measure"] == "ndcg_10"
    assert not any(e["measure"] == "precision_10" for e in entries)


def test_too_few_held_out_texts_are_refused() -> None:
    with pytest.raises(RejectedError, match="20 held-out texts"):
        judged(0.1, 1.0, texts=20)


def test_vectors_are_read_back_as_they_were_and_no_pickle_is(tmp_path: Path) -> None:

    folder = tmp_path
    told = Embedded(np.arange(3), np.array([0, -1, 1]), {"teacher": {"-": np.ones((3, 2), np.float32)}})
    told.save(folder / "e.npz")
    again = Embedded.load(folder / "e.npz")
    assert again.labels.tolist() == [0, -1, 1]
    assert np.array_equal(again.vectors["teacher"]["-"], told.vectors["teacher"]["-"])
    np.savez(folder / "bad.npz", rows=np.array([{}], object), labels=np.zeros(1))
    with pytest.raises(DamagedError, match=r"bad\.npz"):
        Embedded.load(folder / "bad.npz")
