"""What each number of layers is worth: score and speed of a teacher cut to it, measured here."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.students.derive import derive
from stillhouse.students.importance import ask
from stillhouse.students.stacks import Choice, find_stack
from stillhouse.types import count_parameters

CHUNK = 64  # rows asked at once, for the scores
TIMINGS = 15  # passes of one row, of which the median counts
WARM = 3  # passes before, in which memory is allocated


class LayerRow(NamedTuple):
    """A teacher cut to some layers."""

    layers: int
    parameters: int
    ms: float  # milliseconds for one row alone, median
    agreement: float  # share of the rows with the teacher's own decision
    accuracy: float | None  # share of the labelled rows with the right decision; None without labels


def layer_table(
    teacher: nn.Module,
    inputs: Tensor,
    targets: Tensor | None = None,
    counts: Sequence[int] | None = None,
    *,
    choose: Choice = "alternate",
    probe: Tensor | None = None,
    train: Callable[[nn.Module], object] | None = None,
) -> list[LayerRow]:
    """Score and speed for each number of layers kept.

    Args:
        teacher: from encoded inputs to logits; it is not changed.
        inputs: encoded rows (B, ...), held out from the training of the teacher.
        targets: int64 (B,), -1 where there is no label; None: agreement with the teacher alone.
        counts: numbers of layers; None: all there are, most first.
        choose: which layers stay.
        probe: rows for ``choose="importance"``.
        train: trains a cut net in place before it is scored. Without it the figures say how good a start the weights
            are, not what the student comes to: a net that has just lost layers answers far worse than it can.

    Raises:
        UsageError: the teacher has no stack of layers, or not so many.
    """
    counts = list(range(find_stack(teacher).blocks, 0, -1)) if counts is None else counts
    answers = _decisions(copy.deepcopy(teacher), inputs)
    rows = []
    for count in counts:
        net = derive(teacher, layers=count, choose=choose, probe=probe).module
        if train is not None:
            train(net)
        made = _decisions(net, inputs)
        rows.append(
            LayerRow(count, count_parameters(net), _ms(net, inputs[:1]), _share(made, answers), _right(made, targets))
        )
    return rows


def format_layer_table(rows: Sequence[LayerRow]) -> str:
    """Markdown of a layer table.

    >>> print(format_layer_table([LayerRow(2, 12345, 0.5, 0.9, None)]))
    | layers | parameters | ms a row | agreement | accuracy |
    |-------:|-----------:|---------:|----------:|---------:|
    |      2 |     12,345 |    0.500 |     0.900 |        - |
    """
    heads = ("layers", "parameters", "ms a row", "agreement", "accuracy")
    cells = [
        (
            str(r.layers),
            f"{r.parameters:,}",
            f"{r.ms:.3f}",
            f"{r.agreement:.3f}",
            "-" if r.accuracy is None else f"{r.accuracy:.3f}",
        )
        for r in rows
    ]
    widths = [max(len(row[i]) for row in (heads, *cells)) for i in range(len(heads))]
    lines = ["| " + " | ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in (heads, *cells)]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|", *lines[1:]])


@torch.no_grad()
def _decisions(net: nn.Module, inputs: Tensor) -> Tensor:
    """Classes of the rows; a net that gives vectors decides for its largest component."""
    net.eval()
    return torch.cat([ask(net, chunk).values.argmax(-1) for chunk in torch.split(inputs, CHUNK)])


@torch.no_grad()
def _ms(net: nn.Module, row: Tensor) -> float:
    seconds = []
    for _ in range(WARM + TIMINGS):
        start = time.perf_counter()
        ask(net, row)
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds[WARM:])


def _share(made: Tensor, expected: Tensor) -> float:
    return float((made == expected).double().mean())


def _right(made: Tensor, targets: Tensor | None) -> float | None:
    known = None if targets is None else targets >= 0
    return None if targets is None or known is None or not known.any() else _share(made[known], targets[known])
