"""The meta-learned maker: its steps make better rows, it leaves the teacher as it is, a stopped training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillhouse.errors import UsageError
from stillhouse.generators.codes import Codes
from stillhouse.generators.fast import FastInvertingStep
from stillhouse.generators.nets import PictureGenerator
from stillhouse.makers import base as makers
from stillhouse.makers.inversion import PRESETS
from tests.makers.stopping import stop_at
from tests.makers.test_inversion import FORM, net, shop


def fast(**settings: Any) -> makers.Trained:
    made = makers.make("fast_inversion", **({"batch_size": 8, "width": 2, "inner": 2} | settings))
    assert isinstance(made, makers.Trained)
    return made


def step(*, inner: int) -> FastInvertingStep:
    torch.manual_seed(0)
    generator = PictureGenerator((1, 8, 8), latent=8, width=4, low=FORM.low, high=FORM.high)
    rates = {"inner": inner, "inner_lr": 5e-3, "code_lr": 1e-2}
    return FastInvertingStep(generator, net(0), PRESETS["dfq"].weights, "kl", net(1), **rates)  # type: ignore[arg-type]


def test_steps_from_the_weights_lower_the_loss_and_leave_the_weights() -> None:
    whole = step(inner=8)
    before = [p.detach().clone() for p in whole.student.parameters()]
    batch = Codes(16, 8, 0).at(0, whole.student)
    losses = []
    for whole.inner in (1, 8):
        losses.append(sum(float(term) for term in whole.adapted(batch.inputs, batch.rows).terms.values()))
    assert losses[1] < losses[0]
    assert all(torch.equal(p, old) for p, old in zip(whole.student.parameters(), before, strict=True))


def test_the_gradient_of_the_weights_is_their_difference_from_the_adapted_ones() -> None:
    whole = step(inner=3)
    batch = Codes(16, 8, 0).at(0, whole.student)
    found = whole(batch)
    assert set(found) == {"meta", *PRESETS["dfq"].weights}
    torch.autograd.backward([found["meta"]])
    adapted = whole.adapted(batch.inputs, batch.rows).generator
    for own, other in zip(whole.student.parameters(), adapted.parameters(), strict=True):
        assert own.grad is not None
        assert torch.allclose(own.grad, own.detach() - other.detach(), atol=1e-7)


def test_a_round_makes_pictures_of_the_run_and_leaves_the_teacher_as_it_is(tmp_path: Path) -> None:
    teacher = net(0)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    made = np.asarray(fast(steps=2).make_round(shop(tmp_path, teacher=teacher), np.arange(9)))
    assert made.shape == (9, 8, 8)
    assert -1e-3 <= made.min() < made.max() <= 16.001
    assert len(np.unique(made.reshape(9, -1), axis=0)) == 9
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in teacher.modules())


def test_a_training_that_is_stopped_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = fast(steps=13).make_round(shop(tmp_path / "whole", scout=net(1)), np.arange(9))
    with pytest.raises(KeyboardInterrupt):
        fast(steps=13).make_round(shop(tmp_path / "part", scout=net(1), advance=stop_at(11)), np.arange(9))
    resumed: list[int] = []
    again = fast(steps=13).make_round(shop(tmp_path / "part", scout=net(1), advance=resumed.append), np.arange(9))
    assert resumed[0] == 10  # from the checkpoint
    assert np.array_equal(np.asarray(again), np.asarray(whole))


def test_what_it_needs_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    fast(steps=1).make_round(shop(tmp_path, teacher=net(0, norm=False), say=said.append), np.arange(2))
    assert said[0].startswith("fast_inversion: the teacher has no BatchNorm layer")
    assert makers.card("fast_inversion").needs == ["classes", "gradient"]
    assert fast(steps=3, inner=2).asked(40) == 2 * (3 * 8 + 40)
    with pytest.raises(UsageError, match="inner is at least 1"):
        fast(inner=0)
