"""The conditional GAN: both nets learn, each from its own loss alone, and a stopped training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from stillhouse.data.encoders.tensors import ImageEncoder
from stillhouse.errors import UsageError
from stillhouse.functional import adversarial
from stillhouse.generators.adversarial import AdversarialStep
from stillhouse.generators.codes import Codes
from stillhouse.generators.nets import PictureDiscriminator, PictureGenerator
from stillhouse.makers import base as makers
from tests.makers.stopping import stop_at

DIGITS, LABELS = load_digits(return_X_y=True)
ENCODER = ImageEncoder.fit(DIGITS.reshape(-1, 8, 8))
REAL = ENCODER.encode(DIGITS[:40].reshape(-1, 8, 8))
ANSWERS = torch.nn.functional.one_hot(torch.from_numpy(LABELS[:40]), 10).float().log().clamp(min=-9)
FORM = makers.Form("image", ENCODER, ENCODER.fill, (float(REAL.max()),), DIGITS[:40].reshape(-1, 8, 8))


def shop(folder: Path, **over: Any) -> makers.Workshop:
    told: dict[str, Any] = {"teacher": None, "scout": None, "number": 0, "seed": 3, "identity": "a run"}
    return makers.Workshop(form=FORM, width=10, folder=folder, real=REAL, answers=ANSWERS, **{**told, **over})


def gan(**settings: Any) -> makers.Trained:
    made = makers.make("conditional_gan", batch_size=16, width=4, **settings)
    assert isinstance(made, makers.Trained)
    return made


def step(*, r1: float = 0.0) -> AdversarialStep:
    torch.manual_seed(0)
    generator = PictureGenerator((1, 8, 8), latent=8, width=4, low=FORM.low, high=FORM.high, classes=10)
    judge = PictureDiscriminator((1, 8, 8), width=4, classes=10, spectral=not r1)
    wanted = {"seed": 0, "strength": 1.0, "fill": FORM.low, "penalty": r1}
    return AdversarialStep(generator, judge, REAL, ANSWERS.argmax(1), **wanted)  # type: ignore[arg-type]


def test_the_hinge_and_the_fooling_loss_are_those_of_the_papers() -> None:
    draw = np.random.default_rng(0)
    real, made = draw.normal(size=20), draw.normal(size=20)
    wanted = np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + made).mean()
    assert adversarial.hinge(torch.from_numpy(real), torch.from_numpy(made)).item() == pytest.approx(wanted, rel=1e-12)
    assert adversarial.fooling(torch.from_numpy(made)).item() == pytest.approx(-made.mean(), rel=1e-12)


@pytest.mark.parametrize(("term", "moves"), [("discriminator", "discriminator"), ("generator", "student")])
def test_each_loss_moves_its_own_net_alone(term: str, moves: str) -> None:
    whole = step()
    torch.autograd.backward([whole(Codes(16, 8, 0, 10).at(0, whole.student))[term]])
    for part in ("discriminator", "student"):
        found = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in getattr(whole, part).parameters()]
        assert any(found) == (part == moves)
    assert all(p.requires_grad for p in whole.discriminator.parameters())


def test_the_r1_penalty_is_half_the_mean_squared_slope_by_central_differences_and_moves_the_discriminator_alone() -> (
    None
):
    whole = step(r1=3.0).double()
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    whole.discriminator.register_forward_pre_hook(lambda net, given: seen.append((given[0].detach(), given[1])))
    batch = Codes(4, 8, 0, 10).at(0, whole.student)
    term = whole(batch._replace(inputs=batch.inputs.double()))["slope"]
    assert len(seen) == 3
    rows, classes = seen[0]  # the real ones are judged first
    squares = 0.0
    with torch.no_grad():
        for pixel in range(64):
            moved = torch.zeros(64, dtype=torch.float64)
            moved[pixel] = 1e-6
            ends = [whole.discriminator(rows + sign * moved.view(1, 8, 8), classes) for sign in (1, -1)]
            squares += float((((ends[0] - ends[1]) / 2e-6) ** 2).mean())
    assert term.item() == pytest.approx(3.0 / 2 * squares, rel=1e-6)
    torch.autograd.backward([term])
    assert all(p.grad is None for p in whole.student.parameters())
    assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in whole.discriminator.parameters())


def test_a_training_with_the_r1_penalty_makes_pictures_and_another_name_is_refused(tmp_path: Path) -> None:
    made = np.asarray(gan(steps=3, regularizer="r1").make_round(shop(tmp_path), np.arange(6)))
    assert np.isfinite(made).all()
    assert "slope" in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="Write one of spectral, r1"):
        gan(regularizer="r2")


def test_rows_are_pictures_of_the_classes_that_real_rows_have(tmp_path: Path) -> None:
    made = np.asarray(gan(steps=20).make_round(shop(tmp_path), np.arange(30)))
    assert made.shape == (30, 8, 8)
    assert np.isfinite(made).all()
    assert len(np.unique(made.reshape(30, -1), axis=0)) == 30
    assert set(step().wanted(torch.arange(10)).tolist()) <= set(LABELS[:40].tolist())


def test_a_training_that_is_stopped_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = gan(steps=55).make_round(shop(tmp_path / "whole"), np.arange(9))
    with pytest.raises(KeyboardInterrupt):
        gan(steps=55).make_round(shop(tmp_path / "part", advance=stop_at(52)), np.arange(9))
    again = gan(steps=55).make_round(shop(tmp_path / "part"), np.arange(9))
    assert np.array_equal(np.asarray(again), np.asarray(whole))


def test_the_gradient_is_needed_only_for_the_teachers_loss() -> None:
    assert gan().needs == {"rows", "classes"}
    assert gan(teacher=0.5).needs == {"rows", "classes", "gradient"}
    assert "conditional_gan" not in makers.free(FORM)
