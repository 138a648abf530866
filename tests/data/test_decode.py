"""From encoded rows back to raw ones: what the encoder kept comes back, in the form in which it was read."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stillhouse.data.encoders.fitting import encoder_from_state, fit_encoder
from stillhouse.data.encoders.table import TableEncoder
from stillhouse.data.source import Source

RNG = np.random.default_rng(0)
GAPPY = pd.DataFrame({
    "gappy": [3.5, np.nan, 90.0, -2.0, np.nan],
    "word": pd.Series(["red", None, "green", "red", "red"], dtype=object),
    "whole": [1e-4, 2e-4, 4e-4, 4e-4, 5e-4],
    "same": [7.0] * 5,
})  # fmt: skip


def fitted(raw: Any, kind: Any, **more: Any) -> Any:
    source = Source(raw, np.arange(len(raw)) % 2, ("a", "b"), kind, "s", tuple(raw.shape[1:]), **more)
    return fit_encoder(source, np.arange(len(raw)))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int16])
@pytest.mark.parametrize("shape", [(9, 5, 4), (9, 1, 5, 4), (9, 3, 5, 4), (9, 5, 6, 3)])
def test_images_come_back_with_their_axes_and_type(shape: tuple[int, ...], dtype: Any) -> None:
    raw = (RNG.random(shape) * 255).astype(dtype)
    encoder = encoder_from_state(fitted(raw, "image").state())
    decoded = encoder.decode(encoder.encode(raw))
    assert isinstance(decoded, np.ndarray)
    assert (decoded.dtype, decoded.shape) == (raw.dtype, raw.shape)
    np.testing.assert_allclose(decoded, raw, atol=0 if raw.dtype.kind in "iu" else 1e-4)
    np.testing.assert_allclose(encoder.encode(decoded), encoder.encode(raw), atol=1e-5)


def test_a_view_brighter_than_white_comes_back_as_white() -> None:
    raw = np.array([[[0, 255], [10, 20]]] * 2, np.uint8)
    encoder = fitted(raw, "image")
    assert encoder.decode(encoder.encode(raw) + 9.0).min() == 255
    assert encoder.decode(encoder.encode(raw) - 9.0).max() == 0
    mask = raw > 15
    encoder = fitted(mask, "image")
    assert encoder.decode(encoder.encode(mask)).tolist() == mask.tolist()


def test_an_image_encoder_saved_before_it_could_decode_is_still_read() -> None:
    raw = RNG.random((4, 3, 5, 4)).astype(np.float32)
    state = {key: value for key, value in fitted(raw, "image").state().items() if key not in ("plain", "dtype")}
    encoder = encoder_from_state(state)
    np.testing.assert_allclose(encoder.decode(encoder.encode(raw)), raw, atol=1e-6)


@settings(max_examples=40)
@given(arrays.arrays(np.float64, (6, 3), elements=st.floats(-1e6, 1e6, width=32)))
def test_arrays_come_back_in_their_units(raw: np.ndarray) -> None:
    for as_is in (True, False):
        encoder = fitted(raw, "array", as_is=as_is)
        encoded = encoder.encode(raw)
        np.testing.assert_allclose(encoder.encode(encoder.decode(encoded)), encoded, atol=1e-5)
    spread = np.abs(raw).max(0) + 1
    np.testing.assert_allclose(encoder.decode(encoded) / spread, raw / spread, atol=1e-6)


def test_the_users_own_tensors_come_back_as_they_are() -> None:
    tokens = RNG.integers(0, 99, (5, 7))
    encoder = fitted(tokens, "array", as_is=True)
    decoded = encoder.decode(encoder.encode(tokens))
    assert decoded.dtype == np.int64
    assert decoded.tolist() == tokens.tolist()


def test_a_table_comes_back_in_units_and_words_with_its_gaps() -> None:
    encoder = fitted(GAPPY, "table")
    decoded = encoder.decode(encoder.encode(GAPPY))
    pd.testing.assert_frame_equal(decoded, GAPPY, rtol=1e-6)
    np.testing.assert_allclose(encoder.encode(decoded), encoder.encode(GAPPY), atol=1e-5)


def test_what_a_table_lost_decodes_to_what_encodes_the_same() -> None:
    encoder = fitted(GAPPY, "table")
    later = pd.DataFrame({"gappy": [np.nan], "word": ["blue"], "whole": [np.nan], "same": [8.0]})
    decoded = encoder.decode(encoder.encode(later))
    assert decoded["word"].tolist() == ["(unseen)"]
    assert np.isnan(decoded["gappy"][0])  # training rows had gaps there, so they are marked
    np.testing.assert_allclose(decoded["whole"], [GAPPY["whole"].median()], rtol=1e-6)
    assert decoded["same"].tolist() == [7.0]
    np.testing.assert_allclose(encoder.encode(decoded), encoder.encode(later), atol=1e-5)


def test_a_category_called_unseen_is_not_taken_for_the_unseen() -> None:
    frame = pd.DataFrame({"word": pd.Series(["(unseen)", "red"], dtype=object), "x": [1.0, 2.0]})
    encoder = fitted(frame, "table")
    later = frame.assign(word=["(unseen)", "blue"])
    decoded = encoder.decode(encoder.encode(later))
    assert decoded["word"].tolist() == ["(unseen)", "((unseen))"]
    assert encoder.encode(decoded).equal(encoder.encode(later))


def test_a_blend_of_categories_decodes_to_the_heaviest() -> None:
    encoder = fitted(GAPPY, "table")
    assert isinstance(encoder, TableEncoder)
    rows = encoder.encode(GAPPY)
    blend = 0.7 * rows[2] + 0.3 * rows[3]
    assert encoder.decode(blend[None])["word"].tolist() == ["green"]


def test_no_rows_decode_to_no_rows() -> None:
    for raw, kind in ((GAPPY, "table"), (RNG.random((4, 3)), "array"), (RNG.random((4, 5, 4)), "image")):
        encoder = fitted(raw, kind)
        assert len(encoder.decode(torch.zeros(0, *encoder.shape))) == 0
