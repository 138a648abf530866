"""Where memory does not suffice for a batch, its halves give the same weights; what relates rows is not halved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stillhouse.data import Rows, StoredBatches, Stream, Views
from stillhouse.engine import Step
from stillhouse.errors import StillhouseError
from stillhouse.methods import make
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.types import Spec
from tests.engine import small
from tests.test_memory import TOO_MUCH

SHORT = replace(small.BUDGET, steps=20)


class Short(torch.autograd.Function):
    """Passes numbers on; needs far too much memory for more than some rows, on the way there or back."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, there: int, back: int) -> torch.Tensor:
        ctx.back = back
        if len(inputs) > there:
            torch.empty(TOO_MUCH, dtype=torch.uint8)
        return inputs.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        if len(grads[0]) > ctx.back:
            torch.empty(TOO_MUCH, dtype=torch.uint8)
        return grads[0], None, None


class Net(nn.Module):
    """Without chance and without statistics of a batch, unless asked for."""

    def __init__(self, there: int, back: int, norm: bool = False) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.ReLU())
        self.head, self.there, self.back = nn.Linear(8, 3), there, back

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = Short.apply(self.head(self.hidden(inputs)), self.there, self.back)  # type: ignore[no-untyped-call]
        return answers


def step_of(there: int = 10**6, back: int = 10**6, norm: bool = False, method: str = "hinton") -> Step:
    torch.manual_seed(1)
    methods = [
        (method, make(method), 0.9),
        ("fitnet", make("fitnet", student_layer="hidden.0", teacher_layer="body"), 0.5),
    ]
    for _, one, _ in methods:
        one.build(Spec(3, {"hidden.0": (8,)}), Spec(3, {"body": (5,)}))
    return Step(Net(there, back, norm), methods, loss=label_loss, label_weight=0.3)


def batches() -> StoredBatches:
    """Rows of which a third has a label, with weights: the parts of a batch do not hold the same share."""
    rows = small.rows()
    targets = torch.where(torch.arange(len(rows.targets)) % 3 == 0, rows.targets, -1)
    weighted = Rows(rows.inputs, targets, torch.linspace(0.2, 1.8, len(targets)))
    return StoredBatches(weighted, Stream(torch.arange(80), batch_size=15, seed=3, views=2), Views("noise", 2, 0.1, 0))


def fitted(folder: Path, step: Step) -> dict[str, torch.Tensor]:
    return small.run(folder, SHORT, step, batches=batches()).state_dict()


@pytest.mark.fault(
    "E16", "memory does not suffice for a batch in training: it is halved, the gradients are added", exit=0
)
@pytest.mark.filterwarnings("ignore:Memory does not suffice")
@pytest.mark.parametrize(("there", "back", "parts"), [(8, 99, 2), (99, 5, 4), (4, 2, 8), (1, 1, 15)])
def test_halves_give_the_weights_of_the_whole(there: int, back: int, parts: int, tmp_path: Path) -> None:
    whole = fitted(tmp_path / "whole", step_of())
    halved = fitted(tmp_path / "halved", step_of(there, back))
    for name, tensor in whole.items():
        torch.testing.assert_close(halved[name], tensor, rtol=2e-4, atol=2e-5)
    lines = [json.loads(line) for line in (tmp_path / "halved" / "metrics.jsonl").read_text().splitlines()]
    said = " ".join(line.get("warning", "") for line in lines)
    assert "Memory does not suffice for 15 rows at once: a batch of 15 is taken in 2 parts." in said
    assert f"a batch of 15 is taken in {2 if parts == 2 else 4 if parts == 4 else 8} parts" in said
    first = json.loads((tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()[0])
    assert lines[0]["loss"] == pytest.approx(first["loss"], rel=1e-4)


@pytest.mark.fault("E16", "memory does not suffice for a batch whose rows are related to each other", exit=1)
@pytest.mark.parametrize(("norm", "method", "why"), [(True, "hinton", "batch normalisation"), (False, "rkd", "rkd")])
def test_a_batch_whose_rows_are_related_is_not_halved(norm: bool, method: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(StillhouseError, match=rf"{why}.*`\[training\] batch_size = 7`") as refused:
        fitted(tmp_path / "run", step_of(8, 99, norm, method))
    assert refused.value.exit_code == 1


def test_other_errors_and_one_row_that_is_too_much_pass_through(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 parts"), pytest.raises(RuntimeError, match="can't allocate memory"):
        fitted(tmp_path / "run", step_of(0))
