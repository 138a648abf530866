"""The base of methods: the paper as data, and one forward that returns named scalars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.functional.listed import listed_divergence
from stillhouse.functional.reduction import counted
from stillhouse.functional.selection import SELECTIONS, token_weights
from stillhouse.types import Batch, Outputs, Spec

# What outputs are: log-probabilities of classes, log-odds of independent labels, real values
KINDS = frozenset({"logits", "log_odds", "values"})


# Said once for the functions of all methods; a card names only what differs from it.
CONVENTIONS = """\
In all methods:
    Student first, then teacher, in one shape unless stated. Logits are (..., C), where -inf means probability 0, and
    targets int64 (...) in [0, C), of any value where the mask leaves a row out. Features are (N, D), tokens (N, L, D)
    or maps (N, C, H, W). Losses that relate the samples of a batch to each other take (N, ...) of any two widths and
    flatten the axes behind the samples.
    temperature, above 0, softens both sides. mask is bool and has the leading shape: which samples count, or (N, L)
    which tokens. reduction is "mean" over those that count, "sum", or "none": one value for each.
    The result is a scalar: nats for probabilities (times T^2, where the formula says so), squared units for features.
    It is 0 where no sample counts (or only one, where samples are related). The teacher gets no gradient.
    UsageError: the shapes, the mask or a parameter do not fit."""


class Paper(NamedTuple):
    """A citation as data; the report, the docs and ``stillhouse methods`` print it."""

    authors: str
    title: str
    venue: str
    year: int
    arxiv: str = ""

    def __str__(self) -> str:
        return f'{self.authors}, "{self.title}", {self.venue}, {self.year}{f" ({self.arxiv})" if self.arxiv else ""}'


LK = Paper(
    "Samarin, Krutikov, Shevtsov, Skvortsov, Fisin, Golubev",
    "LK Losses: Direct Acceptance Rate Optimization for Speculative Decoding",
    "arXiv",
    2026,
    arxiv="2602.23881",
)


class Method(nn.Module):
    """What is matched between student and teacher.

    A subclass adds hyper-parameters (keyword arguments of ``__init__``, which are also the recipe's keys) and learned
    state; the mathematics is a pure function beside it. The engine adds up the weighted terms of several methods.
    """

    paper: ClassVar[Paper]
    family: ClassVar[str]  # "logit", "divergence", "feature", "relation", "contrast", "transformer", "embedding"
    needs: frozenset[str]  # of ``KINDS``, "features", "embedding" and "targets"
    batch_coupled: bool = False  # True where a row's loss depends on the other rows of its batch
    sparse: bool = False  # True where it also takes a teacher that gives its largest classes and their tail
    sampled: bool = False  # True where it also takes a teacher that gives a sample of the classes
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

    def pairs(self, student: Outputs, teacher: Outputs) -> Iterator[tuple[Tensor, Tensor]]:
        """The features of both sides at the layers, pair by pair."""
        for mine, theirs in zip(self.student_layers, self.teacher_layers, strict=True):
            yield student.features[mine], teacher.features[theirs]

    def share_of(self, warmup: float) -> float:
        """How far a warm-up over this share of the training has come, 0 to 1."""
        return min(self.progress / warmup, 1.0) if warmup > 0 else 1.0


class Divergence(Method):
    """A method that is one function of :mod:`stillhouse.functional.divergences`, with that function's settings.

    ``select`` and ``share`` say which tokens of a row it learns from; see
    :func:`stillhouse.functional.selection.token_weights`.
    """

    family = "divergence"
    needs = frozenset({"logits"})
    sparse = True
    divergence: ClassVar[Callable[..., Tensor]]

    def __init__(self, select: str = "all", share: float = 0.5, **settings: float) -> None:
        super().__init__()
        if select not in SELECTIONS or not 0 < share <= 1:
            raise UsageError(
                f"select = {select!r}, share = {share:g}: choose one of {', '.join(SELECTIONS)}, and a share of the "
                "tokens above 0 and at most 1."
            )
        self.select, self.share = select, share
        self.settings = tuple(settings)
        vars(self).update(settings)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the divergence under its own name, also from a teacher that gives only some classes."""
        settings: dict[str, Any] = {name: getattr(self, name) for name in self.settings} | {"mask": batch.mask}
        if self.select != "all":
            top = first_choice(teacher)
            weights = token_weights(student.logits.detach(), top, self.select, self.share, batch.mask)
            settings |= {"mask": weights, "reduction": "sum"}
        if teacher.sparse is None:
            loss = self.divergence(student.logits, teacher.logits, **settings)
        else:
            loss = listed_divergence(self.divergence, student.logits, *teacher.sparse, **settings)
        if self.select != "all":
            loss = loss / (top.numel() if batch.mask is None else counted(batch.mask).sum().clamp(min=1))
        return {self.divergence.__name__: loss}


def first_choice(teacher: Outputs) -> Tensor:
    """The class that the teacher finds most probable, int64, also of one that gives only some classes."""
    if teacher.sparse is None:
        return teacher.logits.argmax(-1)
    best = teacher.sparse.log_probs.argmax(-1, keepdim=True)
    return teacher.sparse.indices.gather(-1, best).squeeze(-1)


def labels_or_teacher(batch: Batch, teacher: Outputs) -> Tensor:
    """Targets for methods that treat one class apart: the label where there is one, else the teacher's top class."""
    return torch.where(batch.labelled, batch.targets, teacher.logits.argmax(-1))
