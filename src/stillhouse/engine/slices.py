"""A training step in slices: parts of the batch, whose gradients are added up in one order, by one process or several.

Every mean is over the whole batch: a slice's mean counts as much as its share of the rows, or of the labels. Random
numbers follow (seed, step, slice), and the gradients of the slices are added pair by pair, so that one, two and four
processes end with the same bits.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.data.splitmix import words
from stillhouse.engine.adding import Moving, Tree, bounds, known, part, ratio, rows_that_count
from stillhouse.engine.gradients import Gradient, backward_each
from stillhouse.engine.group import Group
from stillhouse.engine.optim import AdamW
from stillhouse.engine.signals import StopRequest
from stillhouse.engine.step import Shares, Step, weighted
from stillhouse.types import Batch, Outputs

Answer = Callable[[Batch], Outputs]
Arithmetic = Callable[[], AbstractContextManager[object]]
Call = Callable[[Tensor], Any]
RANDOM = 51  # the purpose of these random numbers
ALL = ""  # the name of the sum of all terms


class Measured(NamedTuple):
    """A step over the whole batch, the same in every process."""

    terms: dict[str, Tensor]  # scalars without a graph
    each: dict[str, Gradient]  # of each term, or of their sum under ``ALL``
    stopped: bool  # whether any process was asked to stop


class Slice(NamedTuple):
    """A slice after its forward pass."""

    outputs: list[Tensor]  # of the student, that related methods read
    terms: dict[str, Tensor]  # of all other methods, and of the labels
    statistics: list[Tensor]  # as it has moved them


class Related(NamedTuple):
    """What the methods that relate rows found in the whole batch; ``by`` a term, or ``ALL``."""

    terms: dict[str, Tensor]
    by_outputs: dict[str, list[Tensor | None]]  # gradients by the student's outputs for the whole batch
    by_parameters: dict[str, Gradient]


NOTHING = Related({}, {}, {})


class Whole:
    """Takes the steps of a fit whole, in one process.

    Args:
        step: on its device.
        optimiser: holds the parameters that are trained.
        arithmetic: makes the context of the forward pass.
    """

    def __init__(self, step: Step, optimiser: AdamW, arithmetic: Arithmetic) -> None:
        self.step, self.optimiser, self.arithmetic = step, optimiser, arithmetic

    def draw(self, index: int) -> None:
        """Start the random numbers of a step: here they go on."""

    def measure(
        self,
        index: int,
        batch: Batch,
        answer: Answer | None,
        factor: Tensor,
        *,
        apart: bool,
        call: Call | None,
        stop: StopRequest,
    ) -> Measured:
        """Take a step but for its last move: find the terms and their gradients.

        Args:
            index: of the step.
            batch: the whole one.
            answer: the teacher.
            factor: scale of the loss, by which the gradients are multiplied.
            apart: whether each term's gradient is asked for.
            call: runs the student in another way (compiled).
            stop: whether this process was asked to stop.
        """
        with self.arithmetic():
            terms = self.step(batch, answer(batch) if answer else None, call)
        self.optimiser.zero_grad()
        if apart:
            each = backward_each(terms, self.optimiser.parameters, factor)
        else:
            learned = [term for term in terms.values() if term.requires_grad]
            torch.autograd.backward(learned, [factor] * len(learned))  # without the sum, which would only add work
            each = {ALL: [p.grad for p in self.optimiser.parameters]}
        return Measured({name: term.detach() for name, term in terms.items()}, each, stopped=False)

    def news(self) -> list[str]:
        """What the log is to say of how steps are taken, since this was last asked: here nothing."""
        return []

    def stopped(self, taken: Measured, stop: StopRequest) -> bool:
        """Whether the fit is to stop after this step."""
        return stop.received is not None


class Sliced(Whole):
    """Takes the steps of a fit in slices.

    Methods that relate rows to each other get the outputs for the whole batch, gathered from all processes. Each
    process finds the same loss and its gradient by these outputs, and sends its own rows' part back through its slices.

    Args:
        step: on its device.
        parameters: that are trained.
        group: the processes that share the slices.
        slices: how many, a multiple of the processes.
        seed: of the random numbers.
        arithmetic: makes the context of the forward pass.
    """

    def __init__(
        self,
        step: Step,
        parameters: Sequence[nn.Parameter],
        group: Group,
        slices: int,
        seed: int,
        arithmetic: Arithmetic,
    ) -> None:
        self.step, self.parameters, self.group = step, list(parameters), group
        self.slices, self.seed, self.arithmetic = slices, seed, arithmetic
        own = slices // group.size
        self.mine = range(group.rank * own, (group.rank + 1) * own)
        self.moving = Moving(step)
        self.weighs: bool | None = None  # whether the teacher gives its rows weights, once that is known
        self.layers = sorted({path for method in step.coupled for path in method.student_layers})

    def draw(self, index: int, number: int | None = None) -> None:
        """Start the random numbers of a slice of a step; None: of what all processes do alike."""
        torch.manual_seed(int(words(self.seed, RANDOM, index, self.slices if number is None else number)[0]))

    def measure(
        self,
        index: int,
        batch: Batch,
        answer: Answer | None,
        factor: Tensor,
        *,
        apart: bool,
        call: Call | None,
        stop: StopRequest,
    ) -> Measured:
        """As ``Whole.measure``; the sums are over all slices of all processes."""
        parts = [part(batch, *ends) for ends in pairwise(bounds(len(batch.rows), self.slices))]
        whole = self.whole(batch, parts, answer)
        related, total, done = NOTHING, Tree(), {}
        if self.step.coupled and whole is not None:
            done = {number: self.forward(index, number, parts, batch, answer, whole, call) for number in self.mine}
            related = self.relate(index, batch, whole, list(done.values()), factor, apart)
        for number in self.mine:
            found = done.pop(number, None) or self.forward(index, number, parts, batch, answer, whole, call)
            names = [*found.terms, *related.terms]
            total.add(self.vector(number, found, related, names if apart else [ALL], factor, stop.received is not None))
        return self.read(self.group.add(total.sum()), names, names if apart else [ALL])

    def whole(self, batch: Batch, parts: Sequence[Batch], answer: Answer | None) -> Outputs | None:
        """The teacher's outputs for the whole batch, where they are needed: to relate rows, or to count weights."""
        if answer is None:
            return None
        if self.weighs is None:
            self.weighs = answer(parts[self.mine[0]]).weights is not None
        return answer(batch) if self.step.coupled or self.weighs else None

    def stopped(self, taken: Measured, stop: StopRequest) -> bool:
        """Whether the fit is to stop after this step; then all processes do."""
        if taken.stopped and stop.received is None:
            stop.received = signal.SIGTERM
        return taken.stopped

    def forward(
        self,
        index: int,
        number: int,
        parts: Sequence[Batch],
        batch: Batch,
        answer: Answer | None,
        whole: Outputs | None,
        call: Call | None,
    ) -> Slice:
        """Run a slice; its terms are its part of the whole batch's."""
        own, everything = parts[number], batch
        teacher = None if answer is None else answer(own)
        self.moving.begin()
        self.draw(index, number)
        with self.arithmetic():
            student = self.step.outputs(own, call)
            some = weighted(own, None if teacher is None else teacher.weights, own.weights)
            everything = weighted(batch, None if whole is None else whole.weights, batch.weights)
            shares = Shares(
                ratio(known(own), known(batch), student.values),
                ratio(rows_that_count(some), rows_that_count(everything), student.values),
            )
            terms = self.step.terms(student, teacher, own, shares, only="uncoupled")
        outputs = [student.values, *(student.features[path] for path in self.layers)] if self.step.coupled else []
        return Slice(outputs, terms, self.moving.take())

    def relate(
        self, index: int, batch: Batch, teacher: Outputs, done: Sequence[Slice], factor: Tensor, apart: bool
    ) -> Related:
        """Run the methods that relate rows, in every process alike, on the outputs of all slices."""
        leaves = [self.gather(own, len(batch.rows)) for own in zip(*(one.outputs for one in done), strict=True)]
        student = Outputs(leaves[0], dict(zip(self.layers, leaves[1:], strict=True)))
        self.draw(index)
        with self.arithmetic():
            terms = self.step.terms(student, teacher, batch, only="coupled")
        asked = {name: [term] for name, term in terms.items()} if apart else {ALL: list(terms.values())}
        by_outputs, by_parameters = {}, {}
        for name, some in asked.items():
            found = gradient(some, [factor] * len(some), [*leaves, *self.parameters], keep=apart)
            by_outputs[name], by_parameters[name] = found[: len(leaves)], found[len(leaves) :]
        return Related({name: term.detach() for name, term in terms.items()}, by_outputs, by_parameters)

    def gather(self, own: Sequence[Tensor], rows: int) -> Tensor:
        """The rows of all slices, as a leaf of a new graph."""
        whole, starts = own[0].new_zeros(rows, *own[0].shape[1:]), bounds(rows, self.slices)
        with torch.no_grad():
            for number, some in zip(self.mine, own, strict=True):
                whole[starts[number] : starts[number + 1]] = some
        return self.group.add(whole).requires_grad_()

    def vector(
        self, number: int, found: Slice, related: Related, asked: Sequence[str], factor: Tensor, stop: bool
    ) -> Tensor:
        """What a slice adds: gradients, terms, statistics, which parameters have a gradient, and whether to stop."""
        each = [self.back(number, found, related, name, factor, keep=len(asked) > 1) for name in asked]
        like, first = self.parameters[0], number == 0
        pieces = [
            (torch.zeros_like(p) if got is None else got).reshape(-1).to(like.dtype)
            for gradients in each
            for p, got in zip(self.parameters, gradients, strict=True)
        ]
        terms = [*(term.detach() for term in found.terms.values()), *(t * float(first) for t in related.terms.values())]
        pieces += [term.reshape(1).to(like) for term in terms]
        pieces += [value.reshape(-1).to(like) / self.slices for value in found.statistics]
        flags = [got is not None for gradients in each for got in gradients]
        pieces.append(torch.tensor([*flags, stop and number == self.mine[0]], dtype=like.dtype, device=like.device))
        return torch.cat(pieces)

    def back(self, number: int, found: Slice, related: Related, name: str, factor: Tensor, keep: bool) -> Gradient:
        """The gradient of a term, or of all, that comes from a slice."""
        roots = [term for key, term in found.terms.items() if name in (key, ALL)]
        sent: list[Tensor | None] = [factor] * len(roots)
        for output, whole in zip(found.outputs, related.by_outputs.get(name, ()), strict=False):
            if whole is not None:
                start = bounds(len(whole), self.slices)[number]
                roots.append(output)
                sent.append(whole[start : start + len(output)])
        own = gradient(roots, sent, self.parameters, keep=keep)
        if number or name not in related.by_parameters:
            return own
        return [
            b if a is None else a if b is None else a + b for a, b in zip(own, related.by_parameters[name], strict=True)
        ]

    def read(self, total: Tensor, names: Sequence[str], asked: Sequence[str]) -> Measured:
        """Take the sum of all slices' vectors apart."""
        sizes = [p.numel() for p in self.parameters] * len(asked)
        statistics = [b.numel() for b in self.moving.averaged]
        pieces = torch.split(total, [*sizes, len(names), *statistics, len(sizes) + 1])
        flags = pieces[-1].tolist()  # the one place where the host waits
        parameters = self.parameters * len(asked)
        found = [
            shaped(piece, p) if flag else None
            for piece, p, flag in zip(pieces[: len(sizes)], parameters, flags[:-1], strict=True)
        ]
        count = len(self.parameters)
        each = {name: found[place * count : (place + 1) * count] for place, name in enumerate(asked)}
        self.moving.end(pieces[len(sizes) + 1 : -1])
        return Measured(dict(zip(names, pieces[len(sizes)].unbind(), strict=True)), each, flags[-1] > 0)


def gradient(roots: Sequence[Tensor], sent: Sequence[Tensor | None], by: Sequence[Tensor], *, keep: bool) -> Gradient:
    """The gradient by some tensors of what is ``sent`` into the roots; None where a tensor has no part in it."""
    pairs = [(root, one) for root, one in zip(roots, sent, strict=True) if root.requires_grad]
    if not pairs:
        return [None] * len(by)
    outputs, weights = zip(*pairs, strict=True)
    return list(torch.autograd.grad(outputs, list(by), weights, retain_graph=keep, allow_unused=True))


def shaped(piece: Tensor, parameter: Tensor) -> Tensor:
    """A gradient in the shape, type and memory layout of its parameter, which the optimiser's kernel relies on."""
    found = piece.view(parameter.shape).to(parameter.dtype)
    return found if parameter.is_contiguous() else torch.empty_like(parameter).copy_(found)
