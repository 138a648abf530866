"""Promises of the loop that need no second process."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stillhouse.engine.gradients import backward_each, norms
from stillhouse.engine.log import Watch
from stillhouse.engine.meter import Meter
from stillhouse.engine.optim import lr_at, make_optimiser
from stillhouse.engine.step import Step
from stillhouse.errors import StillhouseError, UsageError
from stillhouse.tasks.classification.losses import MONITOR, label_loss, validation
from tests.engine.small import BUDGET, Net, answer, batch, rows, run, small_step


def test_a_rate_that_diverges_says_so_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(StillhouseError, match=r"diverged by step \d+.*Lower it") as caught:
        run(tmp_path, replace(BUDGET, lr=1e18))
    assert caught.value.exit_code == 1


def test_what_the_methods_learn_reaches_the_optimiser_and_not_the_student() -> None:
    step = small_step()
    held = {id(p) for p in make_optimiser(step, lr=1.0, weight_decay=0.0).parameters}
    adapters = list(step.methods.parameters())
    assert adapters
    assert all(id(p) in held for p in step.parameters())
    shipped = step.deployed()
    assert {id(p) for p in adapters}.isdisjoint({id(p) for p in shipped.parameters()})


def test_the_terms_weigh_what_the_recipe_says_and_the_labels_count_only_where_they_are_seen() -> None:
    step, data = small_step().eval(), batch()
    hidden = data._replace(targets=torch.where(torch.arange(12) < 3, data.targets, -1))
    terms = step(hidden, answer(hidden))
    logits = step.student(data.inputs)
    by_hand = -torch.log_softmax(logits, 1)[:3].gather(1, data.targets[:3, None]).mean()
    assert terms["labels"].item() == pytest.approx(0.1 * by_hand.item(), rel=1e-6)
    nobody = data._replace(targets=torch.full((12,), -1))
    assert step(nobody, answer(nobody))["labels"].item() == 0.0


def test_a_batch_without_labels_moves_nothing() -> None:
    logits = torch.randn(5, 3, requires_grad=True)
    label_loss(logits, torch.full((5,), -1)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.abs().sum() == 0


def test_the_controls_are_the_run_without_methods() -> None:
    step, data = Step(Net(), loss=label_loss).eval(), batch()
    by_hand = torch.nn.functional.cross_entropy(step.student(data.inputs), data.targets)
    assert list(step(data)) == ["labels"]
    assert step(data)["labels"].item() == pytest.approx(by_hand.item())


def test_gradient_norms_are_those_of_each_term_alone() -> None:
    step, data = small_step().eval(), batch()
    parameters = list(step.student.parameters())
    found = norms(backward_each(step(data, answer(data)), parameters), [True] * len(parameters))
    assert set(found) == {"labels", "hinton", "fitnet"}
    for name, norm in found.items():
        for p in parameters:
            p.grad = None
        step(data, answer(data))[name].backward()
        by_hand = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm()
        assert norm.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_the_meter_returns_means_and_starts_anew() -> None:
    meter = Meter()
    for value in (1.0, 2.0, 6.0):
        meter.add(["a"], torch.tensor([value]))
    assert meter.flush() == {"a": 3.0}
    assert meter.flush() == {}


def test_a_term_that_comes_and_goes_counts_as_0_where_it_is_not() -> None:
    meter = Meter()
    meter.add(["a"], torch.tensor([1.0]))
    meter.add(["b", "a"], torch.tensor([8.0, 2.0]))
    taken_up = Meter(meter.state())
    taken_up.add(["b"], torch.tensor([1.0]))
    assert taken_up.flush() == {"a": 1.0, "b": 3.0}


def test_the_rate_rises_for_a_tenth_and_falls_to_zero() -> None:
    rates = [lr_at(i, 50, 2.0) for i in range(50)]
    assert max(rates) == rates[4] == 2.0
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert all(a >= b for a, b in pairwise(rates[4:]))


def test_training_leaves_the_student_in_eval_mode_and_better_than_it_was(tmp_path: Path) -> None:
    watch = Watch(rows(), validation, MONITOR)
    before = watch.figures(small_step().student)
    trained = run(tmp_path)
    assert not trained.training
    assert watch.figures(trained)["valid_accuracy"] > before["valid_accuracy"] + 0.2


def test_labels_with_a_weight_and_no_loss_are_refused() -> None:
    with pytest.raises(UsageError, match=r"`loss=`.*`label_weight=0.0`"):
        Step(Net())
    assert Step(Net(), label_weight=0.0)(batch()) == {}


def test_the_engine_learns_from_any_loss_on_any_targets() -> None:
    def squares(outputs: Tensor, targets: Tensor, *, weight: float | Tensor = 1.0, **given: Any) -> Tensor:
        assert given == {"smoothing": 0.0, "count": None, "row_weights": None}
        return weight * (outputs - targets).square().mean()

    step, data = Step(Net(), loss=squares, label_weight=0.5).eval(), batch()
    real = data._replace(targets=data.inputs[:, :3])
    outputs = step.student(real.inputs)
    by_hand = 0.5 * ((outputs - real.targets).detach().numpy() ** 2).mean()
    assert step(real)["labels"].item() == pytest.approx(by_hand, rel=1e-5)


def test_logging_a_step_does_not_change_what_it_learns(tmp_path: Path) -> None:
    seldom = run(tmp_path / "seldom", replace(BUDGET, log_every=60)).state_dict()
    often = run(tmp_path / "often", replace(BUDGET, log_every=1)).state_dict()
    for name, value in often.items():
        torch.testing.assert_close(value, seldom[name], rtol=1e-3, atol=1e-4)
