"""Encoders: fitted on training rows alone, checked against scikit-learn, saved and read back."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from stillhouse.data import Encoder, Source, encoder_from_state, fit_encoder, prepare, split
from stillhouse.data.columns import MOST_CATEGORIES
from stillhouse.data.encoders.table import TableEncoder
from stillhouse.errors import DamagedError, RejectedError
from tests.data.reading import read

RNG = np.random.default_rng(0)


def table(rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(rows)
    numbers = rng.normal(3, 5, rows)
    numbers[rng.random(rows) < 0.2] = np.nan
    words = rng.choice(np.array(["red", "green", None], object), rows)
    whole = rng.normal(size=rows)
    return pd.DataFrame({"gappy": numbers, "word": pd.Series(words, dtype=object), "whole": whole})


def source_of(raw: Any, kind: Any, **more: Any) -> Source:
    labels = np.arange(len(raw)) % 2
    return Source(raw, labels, ("a", "b"), kind, "s", tuple(raw.shape[1:]), **more)


def fitted(raw: Any, kind: Any, rows: int | None = None, **more: Any) -> Encoder:
    return fit_encoder(source_of(raw, kind, **more), np.arange(len(raw) if rows is None else rows))


def every_encoder() -> list[tuple[str, Encoder, Any]]:
    kinds: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("table", table(), "table", {}),
        ("image", RNG.integers(0, 255, (9, 5, 4)).astype(np.uint8), "image", {}),
        ("colour", RNG.integers(0, 255, (9, 3, 5, 4)).astype(np.uint8), "image", {}),
        ("array", RNG.normal(size=(9, 3)), "array", {}),
        ("identity", RNG.normal(size=(9, 3)).astype(np.float32), "array", {"as_is": True}),
    ]
    return [(name, fitted(raw, kind, **more), raw) for name, raw, kind, more in kinds]


def test_table_columns_are_those_of_scikit_learn() -> None:
    frame = table()
    encoded = fitted(frame, "table").encode(frame).numpy()
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = frame[["word"]].astype(object)
    onehot = OneHotEncoder(sparse_output=False, categories=[["green", "red"]], handle_unknown="ignore")
    np.testing.assert_allclose(encoded[:, [0, 6]], numeric.fit_transform(frame[["gappy", "whole"]]), atol=1e-6)
    np.testing.assert_array_equal(encoded[:, 1], frame["gappy"].isna())
    np.testing.assert_array_equal(encoded[:, 2:4], onehot.fit_transform(words))
    np.testing.assert_array_equal(encoded[:, 4], 0)
    np.testing.assert_array_equal(encoded[:, 5], frame["word"].isna())


def test_images_and_arrays_are_standardised_as_numpy_does() -> None:
    colour = RNG.integers(0, 255, (3000, 3, 4, 5)).astype(np.uint8)
    mean, deviation = colour.mean((0, 2, 3), keepdims=True), colour.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(fitted(colour, "image").encode(colour), (colour - mean) / deviation, atol=1e-5)
    plain = RNG.normal(7, [1, 100, 1e-3], (3000, 3))
    np.testing.assert_allclose(
        fitted(plain, "array").encode(plain), StandardScaler().fit_transform(plain), rtol=1e-5, atol=1e-6
    )


def test_an_image_may_come_in_every_form_that_is_the_same_image() -> None:
    grey = RNG.integers(0, 255, (6, 5, 4)).astype(np.uint8)
    encoder = fitted(grey, "image")
    assert encoder.shape == (1, 5, 4)
    whole = encoder.encode(grey)
    columns = pd.DataFrame(grey.reshape(6, -1)).astype(str)  # as a CSV of pixels is read
    for form in (grey[:, None], grey.reshape(6, -1), torch.from_numpy(grey), grey.tolist(), columns):
        assert encoder.encode(form).equal(whole)
    last = RNG.integers(0, 255, (6, 5, 4, 3)).astype(np.uint8)
    encoder = fitted(last, "image")
    assert encoder.shape == (3, 5, 4)
    assert encoder.encode(last).equal(encoder.encode(np.moveaxis(last, -1, 1)))


def test_the_background_of_an_image_is_its_least_training_value() -> None:
    images = RNG.integers(0, 255, (6, 2, 5, 4)).astype(np.uint8)
    encoder = fitted(images, "image")
    least = encoder.encode(images).amin((0, 2, 3))
    np.testing.assert_allclose(encoder.fill, least, rtol=1e-6)
    own = images.astype(np.float32) / 255 - 0.5
    assert fitted(own, "image", as_is=True).fill == (float(own.min()),)


def test_the_users_own_tensors_stay_as_they_are() -> None:
    plain = RNG.normal(size=(5, 2, 7)).astype(np.float32)
    assert fitted(plain, "image", as_is=True).encode(torch.from_numpy(plain)).numpy().tobytes() == plain.tobytes()
    tokens = RNG.integers(0, 99, (5, 7))
    encoded = fitted(tokens, "array", as_is=True).encode(tokens)
    assert encoded.dtype == torch.int64
    assert encoded.tolist() == tokens.tolist()


def test_noise_columns_are_the_numbers_that_varied() -> None:
    frame = table().assign(same=4.0)
    encoder = fitted(frame, "table")
    assert encoder.noise_columns == (0, 6)
    assert encoder.shape == (8,)
    assert fitted(np.array([[1.0, 2.0], [1.0, 3.0]]), "array").noise_columns == (1,)


@pytest.mark.parametrize("value", [0.1, 1e9, -3.3333333333333335, 0.0])
def test_a_constant_column_says_nothing_then_or_later(value: float) -> None:
    raw = np.column_stack([np.full(1000, value), np.arange(1000.0)])
    later = np.array([[value + 5.0, 1.0]])
    assert fitted(raw, "array").encode(raw)[:, 0].abs().max() == 0
    assert fitted(raw, "array").encode(later)[0, 0] == 0
    frame = pd.DataFrame({"a": raw[:, 0], "b": raw[:, 1]})
    assert fitted(frame, "table").encode(frame)[:, 0].abs().max() == 0


def test_unseen_categories_and_gaps_have_their_own_buckets() -> None:
    encoder = fitted(table(), "table")
    later = pd.DataFrame({"word": ["red", "blue", None], "whole": [0.0, 0.0, None], "gappy": [1.0, None, 1.0]})
    encoded = encoder.encode(later)
    assert encoded[:, 2:6].tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert encoded[:, 1].tolist() == [0, 1, 0]
    median = fitted(table(), "table").encode(table().assign(whole=table()["whole"].median()))[0, 6]
    assert encoded[2, 6] == median


def test_column_order_and_ignored_columns_do_not_matter() -> None:
    frame = table()
    encoder = fitted(frame, "table", ignored=("label", "id"))
    more = frame[["whole", "word", "gappy"]].assign(label="x", id=3)
    assert encoder.encode(more).equal(encoder.encode(frame))
    as_text = frame.astype({"whole": str})
    assert encoder.encode(as_text).equal(encoder.encode(frame))


def test_numbers_as_categories_are_the_same_category_in_every_type() -> None:
    frame = pd.DataFrame({"ward": pd.Series(["3", "12", "3"], dtype=object), "x": [1.0, 2.0, 3.0]})
    encoder = fitted(frame, "table")
    for ward in ([3, 12, 3], [3.0, 12.0, 3.0], ["3", "12", "3"], pd.Categorical([3, 12, 3])):
        assert encoder.encode(frame.assign(ward=ward)).equal(encoder.encode(frame))


def test_the_rarest_of_too_many_categories_share_the_bucket_of_the_unseen() -> None:
    words = [f"w{i}" for i in range(MOST_CATEGORIES + 5)]
    frame = pd.DataFrame({"w": pd.Series(words[:5] + words + words[:MOST_CATEGORIES], dtype=object)})
    encoder = fitted(frame, "table")
    assert encoder.shape == (MOST_CATEGORIES + 2,)
    last = encoder.encode(pd.DataFrame({"w": words[-5:]}))
    assert last[:, MOST_CATEGORIES].tolist() == [1.0] * 5


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_encoder_never_sees_rows_that_are_not_for_training(data: st.DataObject) -> None:
    rows = 12
    train = np.array(sorted(data.draw(st.sets(st.integers(0, rows - 1), min_size=2, max_size=rows - 1))))
    other = np.setdiff1d(np.arange(rows), train)
    for raw, kind in (
        (table(rows), "table"),
        (RNG.normal(size=(rows, 3)), "array"),
        (RNG.normal(size=(rows, 2, 3)), "image"),
    ):
        before = fit_encoder(source_of(raw, kind), train).state()
        spoilt = raw.copy()
        if isinstance(spoilt, pd.DataFrame):
            spoilt.loc[other, ["gappy", "whole"]] = 1e6
            spoilt.loc[other, "word"] = "never seen"
        else:
            spoilt[other] = 1e6
        assert fit_encoder(source_of(spoilt, kind), train).state() == before


def test_prepare_fits_on_the_training_rows_and_keeps_the_order_of_the_split() -> None:
    source = read(name="breast_cancer")
    parts = split(source, labels=30, valid=0.2, test=0.2, seed=0)
    prepared = prepare(source, parts)
    scaler = StandardScaler().fit(np.asarray(source.raw)[parts.train])
    for rows, part in ((prepared.train, parts.train), (prepared.valid, parts.valid), (prepared.test, parts.test)):
        np.testing.assert_allclose(rows.inputs, scaler.transform(np.asarray(source.raw)[part]), atol=1e-4)
        assert rows.targets.tolist() == source.targets[part].tolist()
    assert (prepared.train.targets >= 0).all()


def test_an_empty_validation_part_is_encoded_to_nothing() -> None:
    for name in ("digits", "breast_cancer"):
        source = read(name=name)
        prepared = prepare(source, split(source, labels="all", valid=0.0, test=0.2, seed=0))
        assert prepared.valid.inputs.shape == (0, *prepared.encoder.shape)


@pytest.mark.parametrize(("name", "encoder", "raw"), every_encoder())
def test_a_saved_encoder_encodes_the_same_bit_for_bit(name: str, encoder: Encoder, raw: Any) -> None:
    again = encoder_from_state(json.loads(json.dumps(encoder.state())))
    assert again == encoder
    assert again.encode(raw).equal(encoder.encode(raw))
    assert encoder.encode(raw).shape[1:] == encoder.shape
    assert encoder.encode(raw).dtype == torch.float32


@pytest.mark.parametrize(("name", "encoder", "raw"), every_encoder())
def test_a_row_is_encoded_the_same_whatever_its_neighbours(name: str, encoder: Encoder, raw: Any) -> None:
    whole = encoder.encode(raw)
    for i in (0, len(raw) - 1):
        assert encoder.encode(raw[i : i + 1]).equal(whole[i : i + 1])


@pytest.mark.parametrize("state", [{}, {"kind": "sound"}, {"kind": "array"}, {"kind": "table", "columns": [{}]}])
def test_a_damaged_state_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(DamagedError, match="preprocessing"):
        encoder_from_state(state)


def test_missing_and_unknown_columns_are_named() -> None:
    encoder = fitted(table(), "table", ignored=("label",))
    with pytest.raises(RejectedError, match=r"lack 'gappy'.*trained on 'gappy', 'word'.*unknown 'gapy'"):
        encoder.encode(table().rename(columns={"gappy": "gapy"}))
    with pytest.raises(RejectedError, match="of the name"):
        encoder.encode(pd.concat([table(), table()[["whole"]]], axis=1))


def test_cells_that_are_no_numbers_are_named_by_their_rows() -> None:
    encoder = fitted(table(), "table")
    spoilt = table().astype({"whole": object})
    spoilt.loc[[3, 5, 7, 8, 9, 30], "whole"] = "many"
    with pytest.raises(RejectedError, match=r"'whole' holds numbers, but rows 3, 5, 7, 8, 9 and 1 more .* 'many'"):
        encoder.encode(spoilt)
    with pytest.raises(RejectedError, match=r"row 2 .*infinite"):
        encoder.encode(table().assign(whole=np.where(np.arange(40) == 2, np.inf, 0.0)))


@given(arrays.arrays(np.float64, (6, 3), elements=st.sampled_from([0.0, 1.0, np.nan, np.inf, -np.inf])))
def test_rows_that_are_not_finite_are_named(raw: np.ndarray) -> None:
    broken = np.flatnonzero(~np.isfinite(raw).all(1))
    for as_is in (True, False):
        encoder = fitted(np.arange(18.0).reshape(6, 3), "array", as_is=as_is)
        if not len(broken):
            assert encoder.encode(raw).shape == (6, 3)
            continue
        with pytest.raises(RejectedError) as error:
            encoder.encode(raw)
        assert f"{', '.join(map(str, broken[:5]))}" in str(error.value)


@pytest.mark.parametrize("given_shape", [(4, 6, 5), (4, 3, 5, 4), (4, 19), (5, 4)])
def test_images_of_another_shape_are_refused(given_shape: tuple[int, ...]) -> None:
    encoder = fitted(np.arange(60.0).reshape(3, 5, 4), "image")
    with pytest.raises(RejectedError, match=r"trained on \(N, 1, 5, 4\)"):
        encoder.encode(np.zeros(given_shape))


def test_rows_that_are_no_table_or_no_numbers_are_refused() -> None:
    with pytest.raises(RejectedError, match="lack"):
        fitted(table(), "table").encode(np.zeros((3, 2)))
    with pytest.raises(RejectedError, match="not numbers"):
        fitted(np.eye(3), "array").encode([["a", "b", "c"]])
    with pytest.raises(RejectedError, match=r"trained on \(N, 3\)"):
        fitted(np.eye(3), "array").encode(np.zeros((3, 2)))


def test_a_double_beyond_single_precision_is_refused_for_the_users_modules() -> None:
    encoder = fitted(np.eye(3), "array", as_is=True)
    with pytest.raises(RejectedError, match="row 1 "):
        encoder.encode(np.eye(3) * [[1], [1e300], [1]])


def test_arrays_of_the_user_can_be_scaled_for_a_net_of_the_zoo() -> None:
    source = source_of(np.arange(6.0).reshape(3, 2), "array", as_is=True)
    encoded = fit_encoder(replace(source, as_is=False), np.arange(3)).encode(source.raw)
    np.testing.assert_allclose(encoded.mean(0), [0, 0], atol=1e-6)


def test_table_encoder_takes_rows_as_dictionaries() -> None:
    encoder = fitted(table(), "table")
    assert isinstance(encoder, TableEncoder)
    rows = [{"whole": 1.0, "word": "red", "gappy": 2.0}]
    assert encoder.encode(rows).equal(encoder.encode(pd.DataFrame(rows)))
