"""What is wrong with the arguments of ``distill`` is told in one paragraph, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from stillhouse.errors import RejectedError, StillhouseError, UsageError
from stillhouse.pipeline import distill

X = np.random.default_rng(0).normal(size=(60, 5)).astype("float32")
Y = np.arange(60) % 3
PARTS = ((X, Y), None, (X, Y))
QUICK: dict[str, Any] = {"recipe": {"training": {"workers": 1}}, "steps": 2, "batch_size": 16, "seeds": [0]}


def net(inputs: int = 5, classes: int = 3, *rest: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 4), nn.ReLU(), nn.Linear(4, classes), *rest)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"student": net(4)}, RejectedError, r"The student failed on inputs of shape \(60, 5\)"),
        ({"student": net(5, 2)}, RejectedError, "The student answers with 2 classes, but the data have 3"),
        ({"student": net(5, 3, nn.Softmax(-1))}, RejectedError, "The student's outputs are probabilities"),
        ({"student": 3}, UsageError, r"not int.*student=.mlp_tiny."),
        ({"student": "mlp_tinny"}, UsageError, "Did you mean .mlp_tiny."),
        ({"teacher": []}, UsageError, r"teacher = \[\] holds no teacher"),
        ({"data": PARTS[:2]}, UsageError, r"three parts \(train, valid, test\)"),
        ({"data": (X, None, None)}, UsageError, "Only valid may be None"),
        ({"data": "table.csv"}, UsageError, "three parts"),
    ],
    ids=["width", "classes", "softmax", "a number", "a wrong name", "no teacher", "two parts", "no test", "a path"],
)
def test_wrong_arguments_are_told_at_once(
    tmp_path: Path, arguments: dict[str, Any], error: type[StillhouseError], message: str
) -> None:
    given: dict[str, Any] = {"teacher": net(), "student": net(), "data": PARTS} | arguments
    with pytest.raises(error, match=message):
        distill(**given, out=tmp_path / "run", **QUICK)
    assert not list((tmp_path / "run").glob("*/**/*.safetensors"))


def test_a_function_that_raises_is_told_with_the_rows(tmp_path: Path) -> None:
    def broken(rows: Any) -> Any:
        raise KeyError("age")

    with pytest.raises(RejectedError, match=r"The teacher failed on 4 asked rows \(numbers 0, 1, 2, 3\): KeyError"):
        distill(teacher=broken, student=net(), data=PARTS, out=tmp_path / "run", **QUICK)


def test_answers_that_are_not_finite_name_their_rows(tmp_path: Path) -> None:
    class Infinite(nn.Module):
        def forward(self, x: Any) -> Any:
            return (x[:, :3] - 0.1).where(x[:, :1] < X[7, 0] - 1e-6, float("inf"))

    rows = np.flatnonzero(X[:, 0] >= X[7, 0] - 1e-6)
    told = rf"not finite .* for {len(rows)} training rows \(numbers {rows[0]}, "
    with pytest.raises(RejectedError, match=told):
        distill(teacher=Infinite(), student=net(), data=(PARTS[0], PARTS[0], PARTS[0]), out=tmp_path / "run", **QUICK)
