"""A fit of any method, in one process or several, and what several processes found."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from stillhouse.data import Rows, StoredBatches, Stream, Views
from stillhouse.engine import ALONE, Budget, Group, Step, fit
from stillhouse.pipeline.run.together import run_together
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.types import Batch, Outputs
from tests.methods.examples import CLASSES, EXAMPLES, INPUTS, Example, Setup, setup

Found = TypeVar("Found")
CPU = torch.device("cpu")
COUNT = 512
BUDGET = Budget(steps=20, batch_size=128, lr=1e-2, checkpoint_every=20, log_every=7, device="cpu")


class Tapped(nn.Module):
    """A net whose layers lie at the paths that a method reads; the input of ``head`` is its embedding."""

    def __init__(self, built: Setup, example: Example, dropout: float, norm: bool) -> None:
        super().__init__()
        size = torch.Size(example.student)
        for path in built.method.student_layers:
            if path != "embedding":
                stem, _, name = path.partition(":")
                layer = nn.Sequential(nn.Linear(INPUTS, size.numel()), nn.Unflatten(1, size))
                self.layer(stem, layer) if not name else self.block(stem).add_module(name, layer)
        width = size[0] if len(size) == 1 else INPUTS
        self.hidden = nn.Linear(INPUTS, width)
        self.norm = nn.BatchNorm1d(width) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, CLASSES)

    def layer(self, stem: str, layer: nn.Module) -> None:
        self.add_module(stem, layer)

    def block(self, stem: str) -> nn.Module:
        if stem not in dict(self.named_children()):
            self.add_module(stem, Block())
        return self.get_submodule(stem)

    def forward(self, inputs: Tensor) -> Tensor:
        for name, child in self.named_children():
            if name not in ("hidden", "norm", "dropout", "head"):
                child(inputs)
        found: Tensor = self.head(self.dropout(self.norm(self.hidden(inputs)).tanh()))
        return found


class Block(nn.Module):
    """Projections beside each other, as in attention."""

    def forward(self, inputs: Tensor) -> None:
        for child in self.children():
            child(inputs)


class Case(NamedTuple):
    """A step that is ready, and its teacher."""

    step: Step
    answer: Callable[[Batch], Outputs]


def case(name: str, dtype: torch.dtype = torch.float64, dropout: float = 0.0, norm: bool = False) -> Case:
    """A student with a method and its teacher, always with the same weights.

    In double precision by default: where a gradient is 0 but for rounding, AdamW makes a step of its sign.
    """
    built = setup(name, dtype=dtype, rows=COUNT)
    torch.manual_seed(3)
    net = Tapped(built, EXAMPLES.get(name, Example()), dropout, norm).to(dtype)
    step = Step(net, [(name, built.method, 0.9)], loss=label_loss, label_weight=0.5)

    def answer(batch: Batch) -> Outputs:
        with torch.no_grad():
            found: Outputs = built.teacher(batch.inputs)
        return found

    return Case(step, answer)


def rows(dtype: torch.dtype = torch.float32) -> Rows:
    """Rows of which nine in ten have no label."""
    drawn = torch.Generator().manual_seed(5)
    inputs = torch.randn(COUNT, INPUTS, generator=drawn, dtype=torch.float64).to(dtype)
    targets = torch.randint(CLASSES, (COUNT,), generator=drawn)
    targets[torch.rand(COUNT, generator=drawn) < 0.9] = -1
    return Rows(inputs, targets)


def batches(dtype: torch.dtype = torch.float32) -> StoredBatches:
    """128 rows a step, in an order of their own; ``rows`` as crd's memory counts them are fewer."""
    return StoredBatches(rows(dtype), Stream(torch.arange(COUNT), batch_size=128, seed=3), Views("none", 1, 0.0, 0))


def trained(
    one: Case, folder: Path, group: Group = ALONE, slices: int | None = None, steps: int = 20, stop: int | None = None
) -> dict[str, Tensor]:
    """Fit a case; its weights and buffers."""
    budget = replace(BUDGET, steps=steps, slices=slices)
    source = batches(next(one.step.parameters()).dtype)
    source = source if stop is None else Stopping(source, stop, group)
    fit(one.step, source, budget, folder=folder, identity="several", answer=one.answer, group=group, seed=4)
    return {key: value.detach().clone() for key, value in one.step.state_dict().items()}


class Stopping(StoredBatches):
    """Batches of which one comes with a signal to the first process."""

    def __init__(self, source: StoredBatches, stop: int, group: Group) -> None:
        super().__init__(rows(source.inputs.dtype), source.stream, source.views)
        self.last, self.group = stop, group

    def at(self, step: int, net: nn.Module) -> Batch:
        if step == self.last and self.group.leads:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().at(step, net)


def together(size: int, work: Callable[[Group], Found]) -> Found:
    """What the first of several processes found."""
    return run_together(size, work, CPU, timeout=60.0)


def differ(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The largest difference between two states."""
    assert one.keys() == other.keys()
    return max(float((one[key].double() - other[key].double()).abs().max()) for key in one if one[key].numel())
