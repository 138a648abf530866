"""How the contract tester builds each method: the settings it needs and the shapes of the layers it reads.

A method that works from logits, or from vectors at the layers it names by default, needs no entry.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse import methods
from stillhouse.methods.base import Method
from stillhouse.types import Batch, Outputs, Spec

ROWS, INPUTS, CLASSES = 32, 6, 5
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Example:
    """Settings, and the shape that every layer the method reads has on either side."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    student: Shape = (6,)
    teacher: Shape = (8,)
    features: tuple[str, ...] = ()  # that the teacher gives beside its layers, in the shape of its outputs


MAPS: dict[str, Any] = {"student": (4, 6, 6), "teacher": (6, 6, 6)}
TOKENS: dict[str, Any] = {"student": (7, 8), "teacher": (7, 12)}
EXAMPLES: dict[str, Example] = {
    "attention": Example({"student_layers": ["a", "b"], "teacher_layers": ["c", "d"]}, **MAPS),
    "cwd": Example({"student_layers": ["a"], "teacher_layers": ["c"]}, **MAPS),
    "reviewkd": Example({"student_layers": ["a", "b"], "teacher_layers": ["c", "d"]}, **MAPS),
    "vid": Example({"student_layers": ["a"], "teacher_layers": ["c"]}, **MAPS),
    "adversarial_features": Example({"student_layer": "a", "teacher_layer": "c"}, **MAPS),
    "fitnet": Example({"student_layer": "a", "teacher_layer": "c"}, **MAPS),
    "distilbert": Example({"student_layer": "a", "teacher_layer": "c"}, **TOKENS),
    "tinybert": Example({"student_layers": ["a"], "teacher_layers": ["c"]}, **TOKENS),
    "gaussian": Example(features=("spread",)),
    "minilm": Example({"student_layer": "a", "teacher_layer": "c"}, **TOKENS),
}


@functools.cache
def method_class(name: str) -> type[Method]:
    """Class of a method; looking through all installed packages once is enough for the tests."""
    return methods.get(name)


class Net(nn.Module):
    """A net with logits and any layers: each is a linear function of the inputs."""

    def __init__(self, layers: Mapping[str, Shape], classes: int = CLASSES) -> None:
        super().__init__()
        self.shapes = dict(layers)
        self.logits = nn.Linear(INPUTS, classes)
        self.layers = nn.ModuleDict({k: nn.Linear(INPUTS, torch.Size(s).numel()) for k, s in layers.items()})

    def forward(self, inputs: Tensor) -> Outputs:
        features = {k: layer(inputs).unflatten(-1, self.shapes[k]) for k, layer in self.layers.items()}
        return Outputs(self.logits(inputs), features)

    def spec(self, width: int, rows: int) -> Spec:
        return Spec(self.logits.out_features, self.shapes, rows, nn.Linear(width, self.logits.out_features), "logits")


class Setup(NamedTuple):
    """A method built between two nets, in float64, past its warm-up."""

    method: Method
    student: Net
    teacher: Net

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            taught = self.teacher(batch.inputs)
        found: dict[str, Tensor] = self.method(self.student(batch.inputs), taught, batch)
        return found

    def loss(self, batch: Batch) -> Tensor:
        return torch.stack(list(self.terms(batch).values())).sum()


def setup(
    name: str, classes: int = CLASSES, dtype: torch.dtype = torch.float64, rows: int = ROWS, **extra: Any
) -> Setup:
    """Build a method by name for some training rows, always with the same weights."""
    torch.manual_seed(0)
    example = EXAMPLES.get(name, Example())
    method = method_class(name)(**{**required(name), **example.settings, **extra})
    student = Net(dict.fromkeys(method.student_layers, example.student), classes)
    given = dict.fromkeys(method.teacher_layers, example.teacher) | dict.fromkeys(example.features, (classes,))
    teacher = Net(given, classes)
    method.build(student.spec(example.student[-1], rows), teacher.spec(example.teacher[-1], rows))
    method.progress = 1.0
    for net in (student, teacher, method):
        net.to(dtype)
    return Setup(method, student, teacher.requires_grad_(False))


def required(name: str) -> dict[str, Any]:
    """Layer names for required settings, so that a new file needs no entry above."""
    empty = inspect.Parameter.empty
    needed = [key for key, default in methods.settings(method_class(name)).items() if default is empty]
    return {key: [key] if key.endswith("s") else key for key in needed}


def batch(
    size: int = 8, classes: int = CLASSES, dtype: torch.dtype = torch.float64, mask: Tensor | None = None
) -> Batch:
    """Draw a batch, always the same; every third row has no label."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(size, INPUTS, generator=generator, dtype=torch.float64).to(dtype)
    targets = torch.randint(classes, (size,), generator=generator)
    targets[::3] = -1
    return Batch(inputs, targets, torch.arange(size), torch.zeros(size, dtype=torch.int64), mask)


def part(whole: Batch, rows: slice) -> Batch:
    """Cut rows out of a batch."""
    mask = None if whole.mask is None else whole.mask[rows]
    return Batch(whole.inputs[rows], whole.targets[rows], whole.rows[rows], whole.views[rows], mask)


def one_batch(size: int, mask: torch.Tensor | None = None) -> Batch:
    """A batch of nothing but its size."""
    index = torch.arange(size)
    return Batch(torch.zeros(size, 1), torch.zeros_like(index), index, torch.zeros_like(index), mask)


def rotation(width: int, seed: int) -> Tensor:
    """A random rotation, float64 (width, width)."""
    generator = torch.Generator().manual_seed(seed)
    matrix: Tensor = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))[0]
    return matrix
