"""Teachers of the user's own, with odd parts: they answer as they do alone, and are left as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.fx
from torch import Tensor, nn
from torch.nn.utils import parametrizations, weight_norm

from stillhouse.errors import RejectedError
from stillhouse.taps import Taps
from stillhouse.types import in_eval
from tests.pipeline.test_odd_students import Body, Knowing, X, distilled, used

pytestmark = pytest.mark.slow  # many whole runs


class WritesIn(Knowing):
    def forward(self, rows: Tensor) -> Tensor:
        return super().forward(rows.mul_(0.5))


class Tuples(Knowing):
    def forward(self, rows: Tensor) -> Any:
        return super().forward(rows), rows


class Objects(Knowing):
    def forward(self, rows: Tensor) -> Any:
        return SimpleNamespace(hidden=rows, logits=super().forward(rows))


class Keeps(Knowing):
    def forward(self, rows: Tensor) -> Tensor:
        self.hidden = super().forward(rows)
        return self.hidden


class UnusedLast(Knowing):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(9, 3)


class SilentTrain(Knowing):
    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)


def normed(change: Callable[[nn.Linear], Any]) -> nn.Module:
    net = Knowing()
    change(net.head)
    return net


ODD: dict[str, Callable[[], nn.Module]] = {
    "inputs that are written into": WritesIn,
    "weight normalisation": lambda: used(normed(weight_norm)),
    "weight normalisation in half precision": lambda: used(normed(weight_norm)).bfloat16(),
    "a parametrization": lambda: normed(parametrizations.weight_norm),
    "a tuple": Tuples,
    "an object with logits": Objects,
    "a state that it keeps": lambda: used(Keeps()),
    "a layer defined last and never called": UnusedLast,
    "a train that returns nothing": SilentTrain,
    "a symbolic trace": lambda: torch.fx.symbolic_trace(Knowing()),
    "training mode": lambda: nn.Sequential(Knowing(), nn.Dropout(0.5)).train(),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_teacher_teaches_what_it_answers_and_is_left_as_it_was(what: str, tmp_path: Path) -> None:
    teacher, before = ODD[what](), X.clone()
    training = [part.training for part in teacher.modules()]
    state = {name: value.clone() for name, value in teacher.state_dict().items()}
    run = distilled(tmp_path / "run", Body, teacher=teacher, method={"name": "rkd"})
    assert torch.equal(X, before), "the user's rows are as they were"
    assert all(torch.equal(value, state[name]) for name, value in teacher.state_dict().items())
    assert [part.training for part in teacher.modules()] == training
    assert not any(isinstance(hook, Taps) for part in teacher.modules() for hook in part._forward_hooks.values())
    assert set(run.record.get("left_out", {})) <= {"self_trained"}, "an arm that needs rows without a label"
    answered = in_eval(teacher)(X[100:].to(next(teacher.parameters()).dtype))
    first: Any = answered[0] if isinstance(answered, tuple) else answered
    logits = getattr(first, "logits", first)
    judged = np.load(run.folder / "predictions.npz")["teacher/-"]
    np.testing.assert_allclose(judged, logits.float().log_softmax(-1).detach().numpy(), atol=0.1)


def test_a_program_of_torch_export_teaches_what_it_answers(tmp_path: Path) -> None:
    rows = ({0: torch.export.Dim("rows")},)
    program = torch.export.export(Knowing(), (X[:7],), dynamic_shapes=rows).module()
    run = distilled(tmp_path / "run", Body, teacher=program)
    judged = np.load(run.folder / "predictions.npz")["teacher/-"]
    np.testing.assert_allclose(judged, (4 * X[100:, :3]).log_softmax(-1), atol=1e-3)


def test_a_teacher_without_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"'meta'.*to_empty"):
        distilled(tmp_path / "run", Body, teacher=nn.Linear(4, 3, device="meta"))
    assert not (tmp_path / "run").exists()


class Drifts(Knowing):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, rows: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(rows) + self.calls * rows[:, 1:]


def test_a_teacher_whose_answers_depend_on_what_it_was_asked_before_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="asked about the same rows twice"):
        distilled(tmp_path / "run", Body, teacher=Drifts())
