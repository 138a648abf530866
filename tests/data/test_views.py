"""Views: replayed exactly for any batching, the right distribution, and nothing touched that should not be."""

from random import Random
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stillhouse.data import Views
from stillhouse.data.views.shift import shift
from stillhouse.errors import UsageError
from stillhouse.types import has_label
from tests.data.replay import same_in_any_batch
from tests.data.splitmix_reference import reference, reference_word


def shifted_by_loops(image: np.ndarray, down: int, right: int, fill: float) -> np.ndarray:
    """Move an image (H, W): pixel (y, x) of the result is pixel (y + down, x + right) of the image, or the fill."""
    height, width = image.shape
    moved = np.full_like(image, fill)
    for y in range(height):
        for x in range(width):
            if 0 <= y + down < height and 0 <= x + right < width:
                moved[y, x] = image[y + down, x + right]
    return moved


@given(st.integers(0, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.randoms(use_true_random=False))
def test_shift_moves_every_channel_of_every_image_as_loops_do(
    reach: int, height: int, width: int, channels: int, random: Random
) -> None:
    inputs = torch.arange(3.0 * channels * height * width).view(3, channels, height, width)
    offsets = torch.tensor([[random.randint(0, 2 * reach) for _ in range(3)] for _ in range(2)])
    fill = tuple(-1.0 - c for c in range(channels))
    moved = shift(inputs, offsets, reach, fill)
    for b in range(3):
        down, right = (int(offsets[axis, b]) - reach for axis in range(2))
        for c in range(channels):
            expected = shifted_by_loops(inputs[b, c].numpy(), down, right, fill[c])
            np.testing.assert_array_equal(moved[b, c], expected)


IMAGES = torch.randn(40, 2, 5, 6, generator=torch.Generator().manual_seed(0))
COLUMNS = torch.randn(40, 7, generator=torch.Generator().manual_seed(1))
SHIFT = Views("shift", 8, 2, seed=3, fill=-9.0)
NOISE = Views("noise", 8, 0.5, seed=3, columns=(1, 4, 6))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 7)), min_size=1, max_size=30), st.integers(1, 7))
def test_a_view_is_the_same_in_any_batch(asked: list[tuple[int, int]], batch: int) -> None:
    assert all(
        same_in_any_batch(policy, inputs, asked, batch) for policy, inputs in ((SHIFT, IMAGES), (NOISE, COLUMNS))
    )


@pytest.mark.parametrize(("policy", "inputs"), [(SHIFT, IMAGES), (NOISE, COLUMNS)])
def test_view_zero_is_the_row_as_it_is_and_inputs_are_left_alone(policy: Views, inputs: torch.Tensor) -> None:
    before = inputs.clone()
    rows = torch.arange(40)
    assert policy.apply(inputs, rows, rows * 0).equal(inputs)
    mixed = policy.apply(inputs, rows, rows % 2)
    assert mixed[::2].equal(inputs[::2])
    assert not mixed[1::2].equal(inputs[1::2])
    assert inputs.equal(before)
    assert (mixed.shape, mixed.dtype) == (inputs.shape, inputs.dtype)


def test_rows_views_and_seeds_differ() -> None:
    rows, ones = torch.arange(40), torch.ones(40, dtype=torch.int64)
    first = NOISE.apply(COLUMNS, rows, ones) - COLUMNS
    assert len(set(first[:, 1].tolist())) > 35
    assert not (NOISE.apply(COLUMNS, rows, ones * 2) - COLUMNS).equal(first)
    assert not (Views("noise", 8, 0.5, seed=4, columns=(1, 4, 6)).apply(COLUMNS, rows, ones) - COLUMNS).equal(first)


def test_shifts_are_uniform_over_the_square_of_whole_pixels() -> None:
    count = 20_000
    images = torch.zeros(count, 1, 5, 5)
    images[:, 0, 2, 2] = 1.0
    moved = Views("shift", 2, 2, seed=0).apply(images, torch.arange(count), torch.ones(count, dtype=torch.int64))
    places = moved.flatten(1).argmax(1)
    assert (moved.sum((1, 2, 3)) == 1).all()
    assert stats.chisquare(np.bincount(places, minlength=25)).pvalue > 1e-3


def test_noise_is_normal_with_the_asked_deviation_and_only_in_its_columns() -> None:
    rows = torch.arange(20_000)
    plain = torch.zeros(20_000, 7)
    noisy = NOISE.apply(plain, rows, torch.ones_like(rows))
    assert (noisy[:, [0, 2, 3, 5]] == 0).all()
    for column in (1, 4, 6):
        assert stats.kstest(noisy[:, column].numpy(), stats.norm(0, 0.5).cdf).pvalue > 1e-3
    correlation = np.corrcoef(noisy[:, [1, 4, 6]].T)
    assert np.abs(correlation - np.eye(3)).max() < 0.03


def test_views_keep_their_published_definition_so_that_stores_stay_valid() -> None:
    rows, views = torch.tensor([0, 7, 39]), torch.tensor([1, 7, 3])
    keys = [(reference_word(3, 11, r, v), reference_word(3, 12, r, v)) for r, v in [(0, 1), (7, 7), (39, 3)]]
    moved, noisy = SHIFT.apply(IMAGES[rows], rows, views), NOISE.apply(COLUMNS[rows], rows, views)
    for i, (place, noise) in enumerate(keys):
        down, right = ((half * 5 >> 32) - 2 for half in (place & 0xFFFF_FFFF, place >> 32))
        expected = shifted_by_loops(IMAGES[rows[i], 0].numpy(), down, right, -9.0)
        np.testing.assert_array_equal(moved[i, 0], expected)
        word = reference(noise, 1)[0]
        draws = [NormalDist(0, 0.5).inv_cdf(((word >> 16 * j & 0xFFFF) + 0.5) / 65536) for j in range(3)]
        np.testing.assert_allclose(noisy[i, [1, 4, 6]] - COLUMNS[rows[i], [1, 4, 6]], draws, atol=1e-6)


def test_noise_without_columns_falls_on_every_entry_of_an_image() -> None:
    ones = torch.ones(40, dtype=torch.int64)
    noisy = Views("noise", 2, 0.1, seed=0).apply(IMAGES, torch.arange(40), ones)
    assert (noisy != IMAGES).all()
    assert abs(float((noisy - IMAGES).std()) - 0.1) < 0.01


@pytest.mark.parametrize("policy", [Views("none", 8, 2.0, 0), Views("shift", 1, 2.0, 0)])
def test_no_views_change_nothing(policy: Views) -> None:
    rows = torch.arange(40)
    assert policy.apply(IMAGES, rows, rows % 3).equal(IMAGES)
    assert policy.describe() == "none"


def test_an_empty_batch_stays_empty() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert SHIFT.apply(IMAGES[:0], none, none).shape == (0, 2, 5, 6)


def test_the_description_tells_all_settings_apart() -> None:
    different = [
        Views("shift", 8, 2, 0),
        Views("shift", 4, 2, 0),
        Views("shift", 8, 3, 0),
        Views("shift", 8, 2, 1),
        Views("shift", 8, 2, 0, fill=(1.0,)),
        Views("noise", 8, 2, 0),
        Views("noise", 8, 2, 0, columns=(1,)),
        Views("none", 1, 0, 0),
    ]
    assert len({views.describe() for views in different}) == len(different)
    assert Views("shift", 8, 2, 0).describe() == Views("shift", 8, 2.0, 0).describe()


def test_what_cannot_be_done_is_refused() -> None:
    rows = torch.ones(40, dtype=torch.int64)
    with pytest.raises(UsageError, match="Did you mean 'shift'"):
        Views("shfit", 2, 1, 0)
    with pytest.raises(UsageError, match="count must be at least 1"):
        Views("shift", 0, 1, 0)
    with pytest.raises(UsageError, match="strength"):
        Views("noise", 2, float("nan"), 0)
    with pytest.raises(UsageError, match=r'policy = "noise"` or "none"'):
        SHIFT.apply(COLUMNS, rows, rows)
    with pytest.raises(UsageError, match="fractions"):
        NOISE.apply(COLUMNS.long(), rows, rows)


@pytest.mark.parametrize(
    "targets", [torch.tensor([2, 0, 1]), torch.tensor([[2.5], [-1.0], [0.0]]), torch.tensor([[1.0, 0.0]] * 3)]
)
def test_a_view_without_its_rows_label_has_none_whatever_the_targets_are(targets: torch.Tensor) -> None:
    """-1 would be a label like any other among real values."""
    views = Views("mixup", 2, 0.5, seed=0, pool=torch.rand(3, 4))
    found = views.targets(targets, torch.tensor([0, 1, 1]))
    assert found.shape == targets.shape
    assert has_label(found).tolist() == [True, False, False]
    assert found[0].equal(targets[0])
