"""A fit small enough for many tests, and a process that can be killed in the middle of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stillhouse.data import Rows, StoredBatches, Stream, Views
from stillhouse.engine import Budget, Step, fit
from stillhouse.methods import make
from stillhouse.tasks.classification.losses import MONITOR, label_loss, validation
from stillhouse.types import Batch, Outputs, Spec

BUDGET = Budget(steps=60, batch_size=16, lr=1e-2, checkpoint_every=10, log_every=5)


class Net(nn.Module):
    """Dropout, so that the random state matters; batch normalisation, so that buffers do."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(8, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(inputs))  # type: ignore[no-any-return]


def rows(count: int = 100) -> Rows:
    made = torch.Generator().manual_seed(5)
    inputs = torch.randn(count, 6, generator=made)
    return Rows(inputs, (inputs[:, :3].argmax(1)))


def batch(count: int = 12) -> Batch:
    data = rows()
    return Batch(data.inputs[:count], data.targets[:count], torch.arange(count), torch.zeros(count, dtype=torch.int64))


def answer(batch: Batch) -> Outputs:
    """A teacher that knows the rule, and has a hidden layer of another width."""
    return Outputs(3.0 * batch.inputs[:, :3], {"body": torch.tanh(batch.inputs[:, :5])})


def small_step() -> Step:
    torch.manual_seed(1)
    net = Net()
    methods = [
        ("hinton", make("hinton"), 0.9),
        ("fitnet", make("fitnet", student_layer="hidden.0", teacher_layer="body"), 0.5),
    ]
    for _, method, _ in methods:
        method.build(Spec(3, {"hidden.0": (8,)}), Spec(3, {"body": (5,)}))
    return Step(net, methods, loss=label_loss, label_weight=0.1)


def valid() -> Rows:
    data = rows()
    return Rows(data.inputs[80:], data.targets[80:])


def batches() -> StoredBatches:
    return StoredBatches(rows(), Stream(torch.arange(80), batch_size=16, seed=3, views=2), Views("noise", 2, 0.1, 0))


def run(folder: Path, budget: Budget = BUDGET, step: Step | None = None, **changes: Any) -> nn.Module:
    """The same fit every time, but for what is changed."""
    torch.set_num_threads(1)
    given: dict[str, Any] = {"answer": answer, "valid": valid(), "validation": validation, "monitor": MONITOR}
    source = changes.pop("batches", None) or batches()
    return fit(step or small_step(), source, budget, folder=folder, identity="small", **given | changes)


if __name__ == "__main__":
    import time

    from stillhouse.engine.checkpoint import write_weights

    out = Path(sys.argv[1])
    # Slow enough to be hit by a signal between two steps; the arithmetic is untouched.
    pause = float(sys.argv[2])
    original = Views.apply

    def slowly(self: Views, *given: torch.Tensor) -> torch.Tensor:
        time.sleep(pause)
        return original(self, *given)

    Views.apply = slowly  # type: ignore[method-assign,assignment]
    print("ready", flush=True)
    write_weights(out / "final.safetensors", run(out).state_dict())
