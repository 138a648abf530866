"""The base of methods: the paper as data, and one forward that returns named scalars."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.types import Batch, Outputs, Spec

# What outputs are: log-probabilities of classes, log-odds of independent labels, real values
KINDS = frozenset({"logits", "log_odds", "values"})


class Paper(NamedTuple):
    """A citation as data; the report, the docs and ``stillhouse methods`` print it."""

    authors: str
    title: str
    venue: str
    year: int
    arxiv: str = ""


class Method(nn.Module):
    """What is matched between student and teacher.

    A subclass adds hyper-parameters (keyword arguments of ``__init__``, which are also the recipe's keys) and learned
    state; the mathematics is a pure function beside it. The engine adds up the weighted terms of several methods.
    """

    paper: ClassVar[Paper]
    family: ClassVar[str]  # "logit", "divergence", "feature", "relation", "contrast", "transformer", "embedding"
    needs: frozenset[str]  # of ``KINDS``, "features", "embedding" and "targets"
    batch_coupled: bool = False  # True where a row's loss depends on the other rows of its batch
    sparse: bool = False  # True where it also takes a teacher that gives only some classes (``Outputs.sparse``)
    perfect_is_zero: bool = True  # False where the smallest value is an entropy or has learned variance
    student_layers: tuple[str, ...] = ()  # tap paths this instance reads from the student
    teacher_layers: tuple[str, ...] = ()  # and from the teacher; the store keeps them beside the logits
    progress: float = 0.0  # share of the training done; the engine sets it before each step, for warm-ups

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create what depends on shapes (adapters, memories). Called once, before the optimiser is made."""

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return named scalar terms, each a mean over the valid samples of the batch."""
        raise NotImplementedError

    def deploy(self, student: nn.Module) -> nn.Module:
        """Return what ships: the student alone, except where a method's own parts belong to it (SimKD)."""
        return student


def labels_or_teacher(batch: Batch, teacher: Outputs) -> Tensor:
    """Targets for methods that treat one class apart: the label where there is one, else the teacher's top class."""
    return torch.where(batch.labelled, batch.targets, teacher.logits.argmax(-1))
