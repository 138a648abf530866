"""Largest classes with a tail whose shape the tokens of a row share, and what codecs of tokens cost."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from stillhouse.errors import UsageError
from stillhouse.store import Dense, Sampled, ShapedTail, TopK, best_within, codec, compare, gradient_error
from tests.store.test_codecs import logits

ROWS, TOKENS, CLASSES = 2, 30, 50


def text(seed: int = 0) -> np.ndarray:
    """Logits (2, 30, 50) of tokens that have some classes of their own and share the frequent ones."""
    rng = np.random.default_rng(seed)
    shared = -np.log(np.arange(1, CLASSES + 1))[rng.permutation(CLASSES)]
    own = rng.normal(scale=1.0, size=(ROWS, TOKENS, CLASSES))
    own[rng.random(own.shape) < 0.1] += 4
    return (shared + own).astype(np.float32)


def test_listed_classes_are_those_of_top_k_and_the_tail_is_the_mean_of_the_rows_tails() -> None:
    given, one = text(), ShapedTail(5, 8, "float32")
    found = one.encode(given)
    assert codec(one.name) == one
    for row in range(ROWS):
        plain = TopK(5, "float32").encode(given[row])
        np.testing.assert_array_equal(found["indices"][row], plain["indices"])
        np.testing.assert_array_equal(found["log_probs"][row], plain["log_probs"])
        p = softmax(given[row].astype(np.float64), -1)
        np.put_along_axis(p, np.argsort(-p, -1)[:, :5], 0.0, -1)
        mean = p.sum(0) / p.sum()
        largest = np.argsort(-mean)[:8]
        np.testing.assert_array_equal(found["tail_indices"][row], largest)
        expected = np.full(CLASSES, np.delete(mean, largest).sum() / (CLASSES - 8))
        expected[largest] = mean[largest]
        np.testing.assert_allclose(one.shape_of_tail(found, CLASSES)[row], expected, rtol=1e-5)
    target = one.target(found, np.zeros(given.shape))
    np.testing.assert_allclose(target.sum(-1), 1.0, rtol=1e-6)


def test_what_is_encoded_fits_the_fields_and_costs_what_is_said() -> None:
    for one in (ShapedTail(5, 8), ShapedTail(99, 99), ShapedTail(50, 3, "float32")):
        arrays, fields = one.encode(text()), one.fields(TOKENS, CLASSES)
        assert {f.name: (ROWS, *f.shape) for f in fields} == {n: a.shape for n, a in arrays.items()}
        assert one.bytes_per_row(TOKENS, CLASSES) == sum(f.nbytes for f in fields)
        assert np.isfinite(one.shape_of_tail(arrays, CLASSES)).all()
    with pytest.raises(UsageError, match="shared by the tokens of a row"):
        ShapedTail(5).fields(CLASSES)
    with pytest.raises(UsageError, match="both lists"):
        ShapedTail(5, 0)


def test_at_a_vocabulary_of_49152_a_token_takes_130_bytes_at_most() -> None:
    for one in (TopK(32), ShapedTail(31), Sampled(32)):
        assert one.bytes_per_row(256, 49_152) / 256 <= 130


@pytest.mark.parametrize("one", [TopK(4), Sampled(6, 3, 1), Sampled(2)], ids=lambda c: c.name)
def test_tokens_are_kept_as_single_answers_are(one: TopK | Sampled) -> None:
    given = text()
    whole, flat = one.encode(given), one.encode(given.reshape(-1, CLASSES))
    fields = one.fields(TOKENS, CLASSES)
    assert {f.name: (ROWS, *f.shape) for f in fields} == {n: a.shape for n, a in whole.items()}
    for name, array in flat.items():
        np.testing.assert_array_equal(whole[name].reshape(array.shape), array)
    student = np.random.default_rng(1).normal(size=given.shape)
    assert gradient_error(one, given, student) == gradient_error(
        one, given.reshape(-1, CLASSES), student.reshape(-1, CLASSES)
    )


def test_on_tokens_that_share_their_tail_a_shaped_one_errs_less_at_the_same_bytes() -> None:
    given, student = text(), 3 * np.random.default_rng(1).normal(size=(ROWS, TOKENS, CLASSES))
    shaped, plain = ShapedTail(5, 8), TopK(6)
    assert shaped.bytes_per_row(TOKENS, CLASSES) <= plain.bytes_per_row(TOKENS, CLASSES)
    assert gradient_error(shaped, given, student).relative < gradient_error(plain, given, student).relative


def test_codecs_are_compared_on_the_same_answers_and_the_best_within_the_bytes_is_found() -> None:
    given, student = text(), np.random.default_rng(1).normal(size=(ROWS, TOKENS, CLASSES))
    costs = compare([TopK(6), ShapedTail(5, 8), Dense("float16")], given, student)
    assert [one.codec for one in costs] == ["topk:6:float16", "shaped:5:8:float16", "dense:float16"]
    for one in costs:
        assert one.bytes_a_token == codec(one.codec).bytes_per_row(TOKENS, CLASSES) / TOKENS
        assert one.gradient_error == gradient_error(codec(one.codec), given, student).relative
        assert one.tokens_a_second > 0
    assert best_within(costs, 30).codec == "shaped:5:8:float16"
    assert best_within(costs, 1000).codec == "dense:float16"
    with pytest.raises(UsageError, match="takes 100"):
        best_within(costs[2:], 30)


def test_answers_without_tokens_are_compared_too() -> None:
    (one,) = compare([TopK(3)], logits(20, 9))
    assert one.bytes_a_token == TopK(3).bytes_per_row(9)
