"""A method that harms on validation rows loses its weight, and the log says so; one that helps is left as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

from stillhouse.data import Rows
from stillhouse.engine import LOG, Step
from stillhouse.methods import make
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.types import Batch, Outputs
from tests.engine.small import BUDGET, Net, answer, run

Answer = Callable[[Batch], Outputs]


def wrong_classes(batch: Batch) -> Outputs:
    """A teacher that takes each class for the next."""
    return Outputs(3.0 * batch.inputs[:, [1, 2, 0]])


def other_rows(batch: Batch) -> Outputs:
    """A teacher whose answers belong to other rows."""
    return Outputs(6.0 * batch.inputs[:, :3].roll(1, 0))


def step_of(balance: Literal["none", "guard"]) -> Step:
    torch.manual_seed(1)
    return Step(Net(), [("hinton", make("hinton"), 0.9)], loss=label_loss, label_weight=0.1, balance=balance)


def train(folder: Path, balance: Literal["none", "guard"], answer: Answer, **changes: Any) -> nn.Module:
    return run(folder, replace(BUDGET, steps=120), step_of(balance), answer=answer, valid=held(), **changes)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def held() -> Rows:
    """Rows that follow the rule of those that are trained on."""
    inputs = torch.randn(400, 6, generator=torch.Generator().manual_seed(8))
    return Rows(inputs, inputs[:, :3].argmax(1))


def right(net: nn.Module) -> float:
    rows = held()
    with torch.no_grad():
        return float((net.eval()(rows.inputs).argmax(1) == rows.targets).float().mean())


@pytest.mark.parametrize(("lie", "gain", "left"), [(wrong_classes, 0.3, 0.001), (other_rows, 0.05, 0.1)])
def test_a_teacher_that_lies_loses_its_weight_and_the_student_is_better_for_it(
    lie: Answer, gain: float, left: float, tmp_path: Path
) -> None:
    without = right(train(tmp_path / "without", "none", lie))
    guarded = right(train(tmp_path / "guarded", "guard", lie))
    assert guarded >= without + gain, (guarded, without)
    lines = lines_of(tmp_path / "guarded")
    weights = [line["weights"]["hinton"] for line in lines if "weights" in line]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] < left
    told = [line["warning"] for line in lines if "warning" in line]
    assert told[0].startswith("guard: 'hinton' harms")
    assert all(line["weights"]["labels"] == pytest.approx(0.1) for line in lines if "weights" in line)


def test_a_teacher_that_knows_the_rule_keeps_its_weight_bit_for_bit(tmp_path: Path) -> None:
    plain = train(tmp_path / "plain", "none", answer).state_dict()
    guarded = train(tmp_path / "guarded", "guard", answer).state_dict()
    assert {name for name, value in plain.items() if not torch.equal(value, guarded[name])} == set()
    assert lines_of(tmp_path / "plain") == lines_of(tmp_path / "guarded")


@pytest.mark.parametrize("stop_at", [13, 27])
def test_a_guarded_fit_that_is_interrupted_ends_with_the_same_student(stop_at: int, tmp_path: Path) -> None:
    done = 0

    def advance(steps: int) -> None:
        nonlocal done
        done += steps
        if done >= stop_at:
            raise InterruptedError

    whole = train(tmp_path / "whole", "guard", wrong_classes).state_dict()
    with pytest.raises(InterruptedError):
        train(tmp_path / "cut", "guard", wrong_classes, advance=advance)
    again = train(tmp_path / "cut", "guard", wrong_classes).state_dict()
    assert {name for name, value in again.items() if not torch.equal(value, whole[name])} == set()
    assert lines_of(tmp_path / "cut") == lines_of(tmp_path / "whole")
