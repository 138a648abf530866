"""The trained maker: its step leaves the teacher as it is, its rival is alive, and a stopped training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from stillhouse.data.encoders.tensors import ImageEncoder
from stillhouse.errors import RejectedError, UsageError
from stillhouse.generators.codes import Codes
from stillhouse.generators.inverting import InvertingStep
from stillhouse.generators.nets import PictureGenerator
from stillhouse.makers import base as makers
from stillhouse.makers.inversion import PRESETS
from tests.makers.stopping import stop_at

DIGITS = load_digits().images
ENCODER = ImageEncoder.fit(DIGITS)
FORM = makers.Form("image", ENCODER, ENCODER.fill, tuple(ENCODER.encode(DIGITS).amax((0, 2, 3)).tolist()))


def net(seed: int, *, norm: bool = True) -> nn.Module:
    torch.manual_seed(seed)
    middle: nn.Module = nn.BatchNorm2d(4) if norm else nn.Identity()
    made = nn.Sequential(nn.Conv2d(1, 4, 3), middle, nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    made(torch.randn(64, 1, 8, 8))  # statistics of some rows
    return made.eval().requires_grad_(False)


def inversion(**settings: Any) -> makers.Trained:
    made = makers.make("inversion", **settings)
    assert isinstance(made, makers.Trained)
    return made


def shop(folder: Path, **over: Any) -> makers.Workshop:
    told: dict[str, Any] = {"scout": None, "number": 0, "seed": 3, "identity": "a run", "teacher": net(0)}
    return makers.Workshop(form=FORM, width=10, folder=folder, **{**told, **over})


def test_a_round_makes_pictures_of_the_run_and_leaves_the_teacher_as_it_is(tmp_path: Path) -> None:
    teacher = net(0)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    maker = inversion(steps=8, batch_size=16, width=4)
    made = np.asarray(maker.make_round(shop(tmp_path, teacher=teacher), np.arange(30)))
    assert made.shape == (30, 8, 8)
    assert -1e-3 <= made.min() < made.max() <= 16.001
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not teacher.training
    assert not any(module._forward_pre_hooks for module in teacher.modules())


def test_a_training_that_is_stopped_goes_on_bit_for_bit(tmp_path: Path) -> None:
    maker = inversion(steps=70, batch_size=8, width=2)
    whole = maker.make_round(shop(tmp_path / "whole", scout=net(1)), np.arange(9))
    with pytest.raises(KeyboardInterrupt):
        maker.make_round(shop(tmp_path / "part", scout=net(1), advance=stop_at(60)), np.arange(9))
    resumed: list[int] = []
    again = maker.make_round(shop(tmp_path / "part", scout=net(1), advance=resumed.append), np.arange(9))
    assert resumed[0] == 50  # from the checkpoint
    assert np.array_equal(np.asarray(again), np.asarray(whole))


def terms(scout: nn.Module | None, teacher: nn.Module, preset: str = "dfq") -> dict[str, Tensor]:
    torch.manual_seed(0)
    generator = PictureGenerator((1, 8, 8), latent=8, width=4, low=FORM.low, high=FORM.high)
    chosen = PRESETS[preset]
    step = InvertingStep(generator, teacher, chosen.weights, chosen.how, scout)
    found: dict[str, Tensor] = step(Codes(16, 8, 0).at(0, generator))
    return found


def test_the_rival_moves_with_the_weights_of_the_student() -> None:
    teacher = net(0)
    found = [terms(scout, teacher)["rival"].item() for scout in (net(1), net(2))]
    assert found[0] != found[1]
    assert min(abs(value) for value in found) > 1e-3
    with pytest.raises(RejectedError, match="the teacher itself"):
        terms(teacher, teacher)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_has_the_terms_of_its_paper_and_each_gives_a_gradient(preset: str) -> None:
    found = terms(net(1), net(0), preset)
    assert set(found) == set(PRESETS[preset].weights)
    assert all(term.requires_grad for term in found.values())


def test_without_batchnorm_the_term_is_left_out_with_a_line_and_never_a_silent_zero(tmp_path: Path) -> None:
    said: list[str] = []
    maker = inversion(steps=2, batch_size=8, width=2)
    maker.make_round(shop(tmp_path, teacher=net(0, norm=False), say=said.append), np.arange(4))
    assert "no BatchNorm layer" in said[0]
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    assert "statistics" not in lines
    assert "variation" in lines


def test_a_preset_of_the_rival_alone_has_other_terms_in_its_first_round(tmp_path: Path) -> None:
    said: list[str] = []
    maker = inversion(preset="zskt", steps=2, batch_size=8, width=2)
    maker.make_round(shop(tmp_path, say=said.append), np.arange(4))
    assert "no student to disagree with" in said[0]


def test_a_wrong_preset_is_named() -> None:
    with pytest.raises(UsageError, match=r"preset = 'dafk'.*dafl"):
        makers.make("inversion", preset="dafk")


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14), (5, 7)])
def test_a_generator_makes_pictures_of_any_size_between_two_values(
    shape: tuple[int, ...],
) -> None:
    channels = shape[0] if len(shape) == 3 else 1
    low, high = tuple(-1.0 - i for i in range(channels)), tuple(2.0 + i for i in range(channels))
    made = PictureGenerator(shape, latent=5, width=3, low=low, high=high, classes=4)
    found = made(torch.randn(6, 5), torch.arange(6) % 4).reshape(6, channels, *shape[-2:])
    for channel in range(channels):
        assert found[:, channel].min() >= low[channel]
        assert found[:, channel].max() <= high[channel]
