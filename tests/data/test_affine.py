"""Affine views: what scipy makes of the same map, replayed exactly, and nothing but the map that was asked for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from stillhouse.data import Views
from stillhouse.data.views.affine import affine, drawn_maps
from stillhouse.errors import UsageError
from tests.data.replay import same_in_any_batch
from tests.data.splitmix_reference import reference, reference_word

IMAGES = torch.rand(40, 2, 9, 12, generator=torch.Generator().manual_seed(0))
FILL = (-9.0, 3.0)
AFFINE = Views("affine", 8, 1.0, seed=3, fill=FILL)


def moved_by_scipy(image: np.ndarray, forward: np.ndarray, shift: tuple[float, float], fill: float) -> np.ndarray:
    """Move a picture (H, W) by a map of (down, right) about its centre, then by ``shift`` pixels (down, right)."""
    centre = (np.array(image.shape) - 1) / 2
    back = np.linalg.inv(forward)
    offset = centre - back @ (centre + np.array(shift))
    found: np.ndarray = ndimage.affine_transform(image, back, offset, order=1, mode="grid-constant", cval=fill)
    return found


def forward_of(angle: float, factor: float, shear: float) -> np.ndarray:
    """Shear along the lines, scale, rotate clockwise, for vectors of (down, right); angles in degrees."""
    turn, slant = math.radians(angle), math.radians(shear)
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    forward: np.ndarray = factor * rotation @ np.array([[1.0, 0.0], [math.tan(slant), 1.0]])
    return forward


PARTS = st.tuples(*[st.floats(-1, 1, width=32)] * 5)


@settings(max_examples=60)
@given(PARTS, st.floats(0, 4, width=32), st.integers(2, 11), st.integers(2, 11))
def test_every_map_is_the_one_of_scipy(parts: tuple[float, ...], strength: float, height: int, width: int) -> None:
    image = np.random.default_rng(height * width).random((2, height, width))
    maps = drawn_maps(np.array([parts]), strength, height, width)
    seen = affine(torch.from_numpy(image[None]), maps, FILL)[0]
    angle, scale, shear, right, down = (strength * part for part in parts)
    forward = forward_of(15 * angle, 1.15**scale, 10 * shear)
    for channel in range(2):
        expected = moved_by_scipy(image[channel], forward, (0.1 * down * height, 0.1 * right * width), FILL[channel])
        np.testing.assert_allclose(seen[channel], expected, atol=1e-9)


def test_a_quarter_turn_is_that_of_numpy() -> None:
    maps = drawn_maps(np.array([[1.0, 0, 0, 0, 0]]), 6.0, 9, 9)
    square = IMAGES[:1, :, :, :9]
    np.testing.assert_allclose(affine(square, maps, 0.0)[0, 0], np.rot90(square[0, 0], -1), atol=1e-5)


def test_strength_zero_changes_nothing() -> None:
    rows = torch.arange(40)
    assert Views("affine", 8, 0.0, 3, fill=FILL).apply(IMAGES, rows, rows % 8).equal(IMAGES)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 7)), min_size=1, max_size=30), st.integers(1, 7))
def test_a_view_is_the_same_in_any_batch(asked: list[tuple[int, int]], batch: int) -> None:
    assert same_in_any_batch(AFFINE, IMAGES, asked, batch)


def test_view_zero_is_the_row_as_it_is_and_inputs_are_left_alone() -> None:
    before, rows = IMAGES.clone(), torch.arange(40)
    seen = AFFINE.apply(IMAGES, rows, rows % 2)
    assert seen[::2].equal(IMAGES[::2])
    assert all(not seen[i].equal(IMAGES[i]) for i in range(1, 40, 2))
    assert IMAGES.equal(before)
    assert (seen.shape, seen.dtype) == (IMAGES.shape, IMAGES.dtype)
    assert AFFINE.labelled == 8


def test_views_keep_their_published_definition_so_that_stores_stay_valid() -> None:
    rows, views = torch.tensor([0, 7, 39]), torch.tensor([1, 7, 3])
    seen = AFFINE.apply(IMAGES[rows], rows, views)
    for i, (row, view) in enumerate([(0, 1), (7, 7), (39, 3)]):
        drawn = reference(reference_word(3, 18, row, view), 5)
        angle, scale, shear, right, down = (2 * (word >> 11) / 2**53 - 1 for word in drawn)
        forward = forward_of(15 * angle, 1.15**scale, 10 * shear)
        for channel in range(2):
            image = IMAGES[row, channel].double().numpy()
            expected = moved_by_scipy(image, forward, (0.9 * down, 1.2 * right), FILL[channel])
            np.testing.assert_allclose(seen[i, channel], expected, atol=1e-4)


def test_uncovered_pixels_have_their_channels_fill_and_pictures_without_channels_work() -> None:
    ones = torch.ones(40, dtype=torch.int64)
    seen = Views("affine", 2, 4.0, 0, fill=FILL).apply(IMAGES, torch.arange(40), ones)
    assert {float(seen[..., c, 0, 0].median()) for c in (0, 1)} == set(FILL)
    plain = Views("affine", 2, 1.0, 0, fill=0.5)
    flat = plain.apply(IMAGES[:, 0], torch.arange(40), ones)
    assert flat.equal(plain.apply(IMAGES[:, :1], torch.arange(40), ones)[:, 0])


def test_each_part_is_uniform_and_a_larger_strength_moves_pictures_further() -> None:
    count = 4000
    spot = torch.zeros(count, 1, 41, 41)
    spot[:, 0, 20, 20] = 1.0  # the centre stays, but for the shift
    seen = Views("affine", 2, 1.0, 0).apply(spot, torch.arange(count), torch.ones(count, dtype=torch.int64))
    lines = torch.arange(41.0) - 20
    mass = seen.sum((1, 2, 3))
    for axis, others in ((2, 3), (3, 2)):
        place = (seen.sum((1, others)) * lines).sum(1) / mass
        assert stats.kstest((place / 8.2 + 0.5).numpy(), "uniform").statistic < 0.05, axis
    far = Views("affine", 2, 3.0, 0).apply(spot, torch.arange(count), torch.ones(count, dtype=torch.int64))
    assert far[:, 0, 8:33, 8:33].sum() < 0.99 * far.sum()


def test_what_cannot_be_turned_is_refused_with_the_cure() -> None:
    rows = torch.ones(4, dtype=torch.int64)
    with pytest.raises(UsageError, match=r"the most is 6. Write `strength = 1`"):
        Views("affine", 2, 15.0, 0)
    with pytest.raises(UsageError, match=r'"affine" rotates images.*policy = "noise"'):
        AFFINE.apply(torch.rand(4, 7), rows, rows)
    with pytest.raises(UsageError, match="fractions"):
        AFFINE.apply(torch.zeros(4, 1, 3, 3, dtype=torch.int64), rows, rows)
