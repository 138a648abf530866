"""Codecs against scipy, torch and sums over every possible draw."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import logsumexp, softmax

from stillhouse.errors import RejectedError, UsageError
from stillhouse.store import Codec, Dense, Field, Sampled, TopK, codec, gradient_error, probabilities
from stillhouse.store.sampling import log_inclusion, systematic


def logits(rows: int, classes: int, scale: float = 3.0) -> np.ndarray:
    return np.random.default_rng(classes).normal(scale=scale, size=(rows, classes)).astype(np.float32)


ALL: list[Codec] = [
    Dense(),
    Dense("float16"),
    Dense("bfloat16"),
    TopK(4),
    TopK(99, "float32"),
    Sampled(6, 3, 1),
    Sampled(2),
]


@pytest.mark.parametrize("one", ALL, ids=lambda c: c.name)
@pytest.mark.parametrize("classes", [2, 5, 40])
def test_what_is_encoded_fits_the_fields_and_costs_what_is_said(one: Codec, classes: int) -> None:
    arrays, fields = one.encode(logits(3, classes)), one.fields(classes)
    assert {f.name: (3, *f.shape) for f in fields} == {n: a.shape for n, a in arrays.items()}
    sizes = {"float32": 4, "float16": 2, "bfloat16": 2, "int16": 2, "int32": 4}
    assert one.bytes_per_row(classes) == sum(int(np.prod(f.shape)) * sizes[f.dtype] for f in fields)


@pytest.mark.parametrize("one", ALL, ids=lambda c: c.name)
def test_a_codecs_name_gives_it_back(one: Codec) -> None:
    assert codec(one.name) == one


@pytest.mark.parametrize(
    "name", ["zip", "topk", "topk:x", "topk:0", "dense:int16", "sampled:4:float16", "dense:float16:1"]
)
def test_a_codec_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        codec(name)


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [(32_767, "int16"), (32_768, "uint16"), (65_536, "uint16"), (65_537, "int32"), (49_152, "uint16")],
)
def test_the_index_type_follows_the_number_of_classes(classes: int, dtype: str) -> None:
    for one in (TopK(3), Sampled(3)):
        assert one.fields(classes)[0].dtype == dtype


def test_at_49152_classes_32_of_them_and_the_tail_take_130_bytes() -> None:
    assert TopK(32).bytes_per_row(49_152) == 130


def test_dense_float32_is_exact() -> None:
    given_logits = logits(5, 7)
    np.testing.assert_array_equal(Dense().decode(Dense().encode(given_logits)), given_logits)


@pytest.mark.parametrize(("dtype", "worst"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_dense_halves_keep_probabilities_however_large_the_logits_are(dtype: str, worst: float) -> None:
    shifted = logits(50, 20) + 1e6 * np.arange(50)[:, None].astype(np.float64)
    found = Dense(dtype).decode(Dense(dtype).encode(shifted))
    np.testing.assert_allclose(softmax(found, axis=1), softmax(shifted, axis=1), rtol=10 * worst, atol=worst / 10)


VALUES = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(-6e4, 6e4))
ULP = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # half a unit in the last place, relative to the value
TINIEST = {"float16": 2.0**-25, "bfloat16": 2.0**-133}  # half of the smallest number that is not 0


def kept(values: np.ndarray, dtype: str) -> np.ndarray:
    """Real values as a store gives them back."""
    one = Dense(dtype, field="values", shift=False)
    return one.decode(one.encode(values))


def test_real_values_are_not_shifted() -> None:
    """A row of one value, such as the prediction of one target, would lose it to its own maximum."""
    values = np.array([[3.2], [-1.0], [250.0]])
    for dtype in ("float32", "float16", "bfloat16"):
        np.testing.assert_allclose(kept(values, dtype), values, rtol=2**-8)
    assert Dense("float16").encode(values)["logits"].tolist() == [[0.0]] * 3


@given(VALUES.map(lambda values: values.astype(np.float32)))
def test_real_values_in_float32_are_exact(values: np.ndarray) -> None:
    np.testing.assert_array_equal(kept(values, "float32"), values)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@given(values=VALUES)
def test_real_values_in_halves_are_off_by_their_rounding_at_most(dtype: str, values: np.ndarray) -> None:
    off = np.abs(kept(values, dtype) - values)
    assert (off <= ULP[dtype] * np.abs(values) * (1 + 1e-6) + TINIEST[dtype]).all()


@given(VALUES, st.floats(-100, 100))
def test_logits_in_halves_keep_the_differences_within_a_row(values: np.ndarray, shift: float) -> None:
    """Of logits only differences count: what is kept is the row less its largest, wherever the row stood."""
    logits = values / 2  # the largest float16 bounds the differences
    found = Dense("float16").encode(logits + shift)["logits"]
    below = logits - logits.max(axis=1, keepdims=True)
    off = np.abs(found - below)
    rounding = 1e-9  # of the sum with the shift, in float64
    assert (off <= ULP["float16"] * np.abs(below) * (1 + 1e-6) + TINIEST["float16"] + rounding).all()


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_real_values_that_are_not_finite_are_refused(dtype: str, bad: float) -> None:
    with pytest.raises(RejectedError, match=r"'values' cannot be kept.*\(rows 1\)"):
        kept(np.array([[1.0], [bad]]), dtype)


def test_real_values_too_large_for_float16_are_refused_and_told_where_they_fit() -> None:
    with pytest.raises(RejectedError, match=r"1e\+06|1000000.*bfloat16 or float32"):
        kept(np.array([[1e6]]), "float16")
    assert kept(np.array([[1e6]]), "bfloat16")[0, 0] == pytest.approx(1e6, rel=2**-8)


def test_the_gradient_error_of_real_values_is_that_of_the_squared_error() -> None:
    """Half the squared error has the gradient student less teacher."""
    teacher = np.random.default_rng(0).normal(size=(20, 3)) * 100
    student = teacher + np.random.default_rng(1).normal(size=(20, 3))
    found = gradient_error(Dense("bfloat16", field="values", shift=False), teacher, student)
    rounded = torch.from_numpy(teacher).bfloat16().double().numpy()
    assert found.relative == pytest.approx(np.linalg.norm(rounded - teacher) / np.linalg.norm(student - teacher))
    mean = gradient_error(Dense("bfloat16", field="values", shift=False), teacher)
    assert mean.relative == pytest.approx(np.linalg.norm(rounded - teacher) / np.linalg.norm(teacher.mean(0) - teacher))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 30), st.integers(1, 40), st.floats(0.1, 30))
def test_top_k_holds_the_largest_masses_and_the_rest_as_its_tail(classes: int, k: int, scale: float) -> None:
    given_logits = logits(4, classes, scale)
    sparse = TopK(k, "float32").decode(TopK(k, "float32").encode(given_logits))
    mass, order = torch.softmax(torch.from_numpy(given_logits).double(), 1).topk(min(k, classes))
    np.testing.assert_array_equal(sparse.indices, order)
    np.testing.assert_allclose(np.exp(sparse.log_probs), mass, rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(sparse.tail, 1 - mass.sum(1), rtol=1e-5, atol=1e-7)


def test_equal_classes_are_listed_by_number() -> None:
    assert TopK(2).encode(np.zeros((1, 2)))["indices"].tolist() == [[0, 1]]


def test_a_tiny_tail_keeps_its_digits() -> None:
    row = np.array([[0.0, -1.0, -30.0, -31.0]])
    expected = np.exp(logsumexp(row[0, 2:]) - logsumexp(row))
    assert TopK(2, "float32").decode(TopK(2, "float32").encode(row)).tail[0] == pytest.approx(expected, rel=1e-5)


def test_classes_of_probability_zero_are_kept_finite() -> None:
    row = np.array([[0.0, -np.inf, -np.inf, -np.inf]])
    for one in (TopK(2), TopK(2, "float32"), Sampled(2), Sampled(3, 2, 0, "float32"), Dense("float16")):
        arrays = one.encode(row)
        assert all(np.isfinite(a).all() for a in arrays.values())
        np.testing.assert_allclose(one.target(arrays, np.full((1, 4), 0.25)), [[1, 0, 0, 0]], atol=1e-12)


@pytest.mark.parametrize("mass", [0.5, 0.9, 0.999])
def test_top_k_by_mass_is_the_smallest_that_covers_it_in_every_row(mass: float) -> None:
    probe = logits(30, 25)
    k = TopK.by_mass(probe, mass).k
    kept = torch.softmax(torch.from_numpy(probe).double(), 1).sort(1, descending=True).values.cumsum(1)
    assert (kept[:, k - 1] >= mass).all()
    assert k == 1 or (kept[:, k - 2] < mass).any()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 25), st.integers(1, 25), st.floats(0.0, 20))
def test_over_all_draws_every_class_weighs_its_probability(classes: int, count: int, scale: float) -> None:
    """Between two breakpoints of the cumulated inclusions the draw is the same: the mean over all starts is exact."""
    count = min(count, classes)
    log_probs = np.sort(np.log(softmax(logits(1, classes, scale).astype(np.float64), axis=1)), axis=1)[:, ::-1]
    log_included = log_inclusion(log_probs, count)
    included = np.exp(log_included)
    np.testing.assert_allclose(included.sum(), count, rtol=1e-9)
    points = np.unique(np.concatenate([[0.0, 1.0], np.cumsum(included[0]) % 1.0]))
    mean = np.zeros(classes)
    for low, high in pairwise(points):
        if high - low < 1e-12:
            continue
        drawn = systematic(included, np.array([[(low + high) / 2]]), count)[0, 0]
        assert len(set(drawn.tolist())) == count
        mean[drawn] += (high - low) * np.exp(log_probs - log_included)[0, drawn]
    np.testing.assert_allclose(mean, np.exp(log_probs[0]), atol=1e-9)


def test_sampled_weights_sum_to_one_and_large_classes_are_exact() -> None:
    given_logits = logits(200, 100)
    one = Sampled(8, 1, 0, "float32")
    sparse = one.decode(one.encode(given_logits))
    np.testing.assert_allclose(np.exp(sparse.log_probs).sum(axis=1), 1, rtol=1e-5)
    truth = softmax(given_logits.astype(np.float64), axis=1)
    top = truth.argmax(axis=1)
    large = truth.max(axis=1) > 0.2
    place = sparse.indices == top[:, None]
    assert place[large].any(axis=1).all()
    np.testing.assert_allclose(np.exp(sparse.log_probs[place & large[:, None]]), truth.max(axis=1)[large], rtol=1e-5)


def test_the_draws_of_many_rows_average_to_the_teacher() -> None:
    row = logits(1, 50)
    rows = np.repeat(row, 4000, axis=0) + np.arange(4000)[:, None] * 1e-3  # another content, the same distribution
    one = Sampled(5, 4, 7, "float32")
    mean = one.target(one.encode(rows), np.zeros(rows.shape)).mean(axis=0)
    np.testing.assert_allclose(mean, softmax(row[0].astype(np.float64)), atol=0.004)


def test_draws_differ_from_each_other_and_by_seed_and_are_repeatable_in_any_batch() -> None:
    given_logits, one = logits(20, 60), Sampled(5, 2, 3)
    arrays = one.encode(given_logits)
    again = {name: np.concatenate([one.encode(given_logits[i : i + 1])[name] for i in range(20)]) for name in arrays}
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], again[name])
    assert (one.decode(arrays, 0).indices != one.decode(arrays, 1).indices).any()
    np.testing.assert_array_equal(one.decode(arrays, 0).indices, one.decode(arrays, 2).indices)
    assert (Sampled(5, 2, 4).encode(given_logits)["indices"] != arrays["indices"]).any()


def bucket_gradient(student: np.ndarray, teacher: np.ndarray, listed: np.ndarray) -> np.ndarray:
    """Autograd's gradient of the KL over the listed classes and one more for all others."""
    x = torch.from_numpy(student).double().requires_grad_()
    q = torch.softmax(x, 1)
    p = torch.from_numpy(softmax(teacher.astype(np.float64), axis=1))
    at = torch.from_numpy(listed)
    bucket_q, bucket_p = (torch.cat([m.gather(1, at), 1 - m.gather(1, at).sum(1, keepdim=True)], 1) for m in (q, p))
    return torch.autograd.grad((bucket_p * (bucket_p.log() - bucket_q.log())).sum(), x)[0].numpy()


def test_the_gradient_error_of_top_k_is_that_of_autograd() -> None:
    teacher, student = logits(6, 12), logits(6, 13)[:, :12]
    one = TopK(4, "float32")
    listed = one.decode(one.encode(teacher)).indices
    exact = softmax(student.astype(np.float64), axis=1) - softmax(teacher.astype(np.float64), axis=1)
    off = np.linalg.norm(bucket_gradient(student, teacher, listed) - exact) / np.linalg.norm(exact)
    assert gradient_error(one, teacher, student).relative == pytest.approx(off, rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(ALL), st.integers(2, 20), st.integers(0, 10**6), st.floats(0.0, 10))
def test_no_student_sees_a_larger_error_than_the_bound(one: Codec, classes: int, seed: int, scale: float) -> None:
    teacher = logits(3, classes)
    student = np.random.default_rng(seed).normal(scale=scale, size=teacher.shape)
    seen = one.target(one.encode(teacher), softmax(student, axis=1))
    off = np.abs(seen - softmax(teacher.astype(np.float64), axis=1)).sum(axis=1).max()
    assert off <= gradient_error(one, teacher).bound * (1 + 1e-9) + 1e-9


def test_more_classes_or_wider_numbers_bring_less_error() -> None:
    teacher = logits(20, 200)
    errors = [gradient_error(one, teacher).relative for one in (TopK(4), TopK(16), TopK(64), Dense("float16"), Dense())]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == 0.0


def test_a_batch_is_encoded_as_its_rows_are(monkeypatch: pytest.MonkeyPatch) -> None:
    given_logits = logits(10, 30)
    whole = TopK(5).encode(given_logits)
    monkeypatch.setattr(probabilities, "PART", 60)
    for name, values in TopK(5).encode(given_logits).items():
        np.testing.assert_array_equal(values, whole[name])


def test_a_field_costs_its_elements_times_their_size() -> None:
    assert Field("logits", (10,), "bfloat16").nbytes == 20
