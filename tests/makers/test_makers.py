"""Every maker: a row follows from its number and the seed, and is a row of the run's own kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from stillhouse.data.encoders.tensors import ImageEncoder
from stillhouse.errors import UsageError
from stillhouse.makers import base as makers
from stillhouse.pipeline.made.entries import ends_of

DIGITS = load_digits().images
GREY = np.random.default_rng(0).integers(0, 256, (40, 9, 14), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (40, 12, 11, 3), np.uint8)


def form_of_images(raw: np.ndarray) -> makers.Form:
    encoder = ImageEncoder.fit(raw)
    high = tuple(encoder.encode(raw).amax((0, 2, 3)).tolist())
    return makers.Form("image", encoder, encoder.fill, high, raw)


FORMS = {"digits 8x8": DIGITS, "grey 9x14": GREY, "colour 12x11": COLOUR}
IMAGE_MAKERS = makers.free(makers.Form("image", ImageEncoder.fit(DIGITS)))


def cases() -> list[Any]:
    return [pytest.param(name, raw, id=f"{name}, {kind}") for name in IMAGE_MAKERS for kind, raw in FORMS.items()]


@pytest.mark.parametrize(("name", "raw"), cases())
def test_a_picture_is_one_of_the_run_and_follows_from_its_number_and_the_seed(name: str, raw: np.ndarray) -> None:
    form, maker, ids = form_of_images(raw), makers.make(name), np.arange(700)
    made = np.asarray(maker.make(form, ids, 3))
    assert made.shape == (700, *raw.shape[1:])
    assert made.dtype == raw.dtype
    assert raw.min() - 1e-5 <= made.min() < made.max() <= raw.max() + 1e-5
    some = np.array([699, 3, 257, 256, 0])
    assert np.array_equal(np.asarray(maker.make(form, some, 3)), made[some])
    assert not np.array_equal(np.asarray(maker.make(form, ids, 4)), made)
    assert len(np.unique(made.reshape(700, -1), axis=0)) > 650
    assert len(np.asarray(maker.make(form, ids[:0], 3))) == 0


@pytest.mark.parametrize("name", IMAGE_MAKERS)
def test_ink_is_dark_where_the_borders_of_the_pictures_are_bright(name: str) -> None:
    dark = (DIGITS / 16 * 255).astype(np.uint8)
    made = {}
    for ground, raw in {"dark": dark, "bright": 255 - dark}.items():
        encoder = ImageEncoder.fit(raw)
        low, high = ends_of(encoder.encode(raw), encoder.fill)
        made[ground] = np.asarray(makers.make(name).make(makers.Form("image", encoder, low, high), np.arange(90), 3))
    assert np.abs(made["dark"].astype(int) - (255 - made["bright"].astype(int))).max() <= 1
    assert made["dark"][:, 0].mean() < 70


def test_crops_keep_their_brightness_on_any_ground(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 40), 230, np.uint8)).save(tmp_path / "light.png")
    raw = 255 - (DIGITS / 16 * 255).astype(np.uint8)
    encoder = ImageEncoder.fit(raw)
    form = makers.Form("image", encoder, *ends_of(encoder.encode(raw), encoder.fill))
    made = np.asarray(makers.make("crops", folder=str(tmp_path)).make(form, np.arange(5), 0))
    assert abs(made.astype(int) - 230).max() <= 1


@pytest.mark.parametrize("name", makers.names())
def test_every_maker_has_a_card_with_what_it_needs_and_what_somebody_had_to_know(name: str) -> None:
    card = makers.card(name)
    assert card.prior
    assert card.kinds
    assert set(card.needs) <= set(makers.NEEDS)
    assert f"Prior: {card.prior}" in str(card)


def test_an_unknown_maker_and_an_unknown_setting_are_named() -> None:
    with pytest.raises(UsageError, match=r"'stroke'.*'strokes'"):
        makers.make("stroke")
    with pytest.raises(UsageError, match=r"no setting 'widht'.*width"):
        makers.make("strokes", widht=[0.1, 0.2])
    with pytest.raises(UsageError, match="strokes = 3"):
        makers.make("strokes", strokes=9)
