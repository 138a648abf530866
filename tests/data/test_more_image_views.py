"""flip, crop, color, cutmix and randaugment: the same in any batch, the row itself as view 0, and what each changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stillhouse.data import Views
from stillhouse.data.views.base import get
from stillhouse.errors import UsageError
from tests.data.replay import same_in_any_batch

DRAW = torch.Generator().manual_seed(0)
IMAGES = {
    "grey": torch.randn(12, 1, 8, 9, generator=DRAW),
    "colour": torch.randn(12, 3, 7, 6, generator=DRAW),
    "plain": torch.randn(12, 9, 9, generator=DRAW),
}
NAMES = ["flip", "crop", "color", "cutmix", "randaugment"]


def views_of(name: str, images: torch.Tensor, **over: float) -> Views:
    strength = over.get("strength", get(name).strength(images.shape[1:]))
    return Views(name, 6, strength, 3, fill=-1.0, pool=images)


def seen(name: str, images: torch.Tensor, **over: float) -> torch.Tensor:
    rows = torch.arange(len(images)).repeat_interleave(6)
    numbers = torch.arange(6).repeat(len(images))
    found = views_of(name, images, **over).apply(images[rows], rows, numbers)
    return found.reshape(len(images), 6, *images.shape[1:])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", IMAGES)
def test_a_view_is_the_same_in_any_batch_and_the_first_is_the_row_itself(name: str, kind: str) -> None:
    images = IMAGES[kind]
    found = seen(name, images)
    assert torch.equal(found[:, 0], images)
    assert (found[:, 1:] != images[:, None]).any()
    assert found.isfinite().all()
    asked = [(row, number) for row in (3, 0, 11) for number in (0, 5, 2)]
    for batch in (1, 2, 4):
        assert same_in_any_batch(views_of(name, images), images, asked, batch)


def test_flip_mirrors_about_half_of_the_views() -> None:
    images = IMAGES["colour"]
    found = seen("flip", images)[:, 1:]
    mirrored = (found == images[:, None].flip(-1)).flatten(2).all(2)
    assert (mirrored | (found == images[:, None]).flatten(2).all(2)).all()
    assert 0.2 < mirrored.float().mean() < 0.8
    both = seen("flip", images, strength=2.0)[:, 1:]
    assert (both == images[:, None].flip(-2)).flatten(2).all(2).any()


def test_a_crop_of_a_slope_is_a_flatter_slope_inside_its_range() -> None:
    slope = torch.linspace(0, 1, 9).expand(4, 1, 9, 9).clone()
    inner = seen("crop", slope)[:, 1:, 0, 2:-2, 2:-2]
    steps = inner.diff(dim=-1)
    assert (steps > 0).all()
    assert (steps <= 1 / 8 + 1e-6).all()
    assert (steps >= 0.7 / 8 - 1e-6).all()
    assert inner.diff(dim=-2).abs().max() < 1e-6


def test_color_turns_pixels_by_one_line_a_channel() -> None:
    images = IMAGES["colour"]
    found = seen("color", images)[:, 1:]
    for row in range(3):
        for channel in range(3):
            x, y = images[row, channel].flatten().numpy(), found[row, 0, channel].flatten().numpy()
            factor, shift = np.polyfit(x, y, 1)
            assert np.allclose(y, factor * x + shift, atol=1e-5)
            assert 0.7 <= factor <= 1.3
            assert abs(shift) <= 0.45 + 1e-6


def test_cutmix_takes_each_pixel_from_the_row_or_one_other_and_the_part_is_a_square() -> None:
    images = IMAGES["grey"]
    found = seen("cutmix", images)[:, 1:].reshape(60, 8, 9)
    own = images[:, None].expand(12, 5, 1, 8, 9).reshape(60, 8, 9)
    for made, row in zip(found, own, strict=True):
        changed = made != row
        if changed.any():
            other = next(image[0] for image in images if torch.equal(image[0][changed], made[changed]))
            assert torch.equal(torch.where(changed, other, row), made)
            down, across = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
            assert down[-1] - down[0] == across[-1] - across[0]
    assert get("cutmix").keeps_label is False


def test_randaugment_makes_many_kinds_of_changes() -> None:
    images = torch.zeros(40, 1, 9, 9)
    images[:, :, 2:6, 3:5] = 1.0
    found = seen("randaugment", images)[:, 1:].reshape(200, -1)
    assert len(torch.unique((found * 1000).round(), dim=0)) > 150


@pytest.mark.parametrize(
    ("name", "strength", "cure"), [("crop", 1.0, "0.3"), ("cutmix", 0.1, "0.75"), ("randaugment", 9.0, "1")]
)
def test_a_strength_that_makes_no_picture_is_refused_with_one_that_does(name: str, strength: float, cure: str) -> None:
    with pytest.raises(UsageError, match=f"strength = {cure}"):
        Views(name, 4, strength, 0, pool=IMAGES["grey"])
    assert Views(name, 4, float(cure), 0, pool=IMAGES["grey"]).count == 4


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_refused(name: str) -> None:
    table = torch.randn(5, 4)
    with pytest.raises(UsageError, match="images"):
        views_of(name, IMAGES["grey"]).apply(table, torch.arange(5), torch.ones(5, dtype=torch.int64))
