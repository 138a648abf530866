"""The largest member of a family that a budget allows: counted and measured here, not guessed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError, nearest
from stillhouse.students import zoo
from stillhouse.students.families import FAMILIES, Member
from stillhouse.timing import Timed, clock_of, in_turns
from stillhouse.types import count_parameters

SECONDS = 0.3  # of timing a member
Measure = Callable[[nn.Module, Tensor], float]


class Choice(NamedTuple):
    """A member of a family and what it costs."""

    name: str
    settings: dict[str, Any]  # what ``zoo.make`` takes, the given ones included
    parameters: int
    bytes: int  # of its weights as a safetensors file in float32, the header included
    latency_ms: float  # median of one core for one row


class _Limits(NamedTuple):
    parameters: int | None = None
    bytes: int | None = None
    latency_ms: float | None = None

    def allow(self, *figures: float) -> bool:
        """Whether the first figures, in the order of the limits, are within them."""
        return all(limit is None or figure <= limit for figure, limit in zip(figures, self, strict=False))


def largest_within(
    family: str,
    *,
    shape: tuple[int, ...],
    outputs: int,
    settings: Mapping[str, Any],
    parameters: int | None = None,
    bytes: int | None = None,
    latency_ms: float | None = None,
    measure: Measure | None = None,
) -> Choice:
    """Choose the largest member of a family within all limits that are given.

    Members are tried from the largest down, each for itself: no figure is inferred from another member's. Torch's
    global generator and number of threads are left as they were.

    Args:
        family: A key of ``FAMILIES``.
        shape: Of one input.
        outputs: Width of the output.
        settings: Of every member beside its own (``vocabulary``, ``dropout``); not what the family varies.
        parameters: Learned numbers at most.
        bytes: Of the safetensors file in float32 at most.
        latency_ms: Milliseconds of one core of this machine for one row at most.
        measure: Milliseconds of one row from (net in eval mode, one row); ``single_row_ms`` by default.

    Raises:
        UsageError: unknown family, no limit, a setting that the family varies, or nothing fits: then the message has
            the figures of the smallest member.
    """
    limits = _Limits(parameters, bytes, latency_ms)
    if limits == _Limits():
        raise UsageError("A budget needs a limit: `budget = {parameters = 50_000}`, or `bytes`, or `latency_ms`.")
    if family not in FAMILIES:
        raise UsageError(f"There is no family {family!r} of nets.{nearest(family, FAMILIES)}")
    clock = measure or single_row_ms
    members = [_with(member, settings, family) for member in FAMILIES[family]]
    for member in reversed(members):
        choice = _attempt(member, shape, outputs, limits, clock)
        if choice is not None:
            return choice
    smallest = _attempt(members[0], shape, outputs, _Limits(), clock)
    assert smallest is not None
    raise UsageError(
        f"No member of the family {family!r} is within {_figures(*limits)}: the smallest, {smallest.name} with "
        f"{dict(FAMILIES[family][0].settings)}, has "
        f"{_figures(*smallest[2:])} here. Raise the limit to that, or "
        f"choose another family: {', '.join(sorted(FAMILIES))}."
    )


def single_row_ms(net: nn.Module, row: Tensor) -> float:
    """Return the median milliseconds of one core for a forward of one row, after a warm-up.

    Args:
        net: In eval mode.
        row: (1, ...), one encoded input.
    """
    with torch.inference_mode():
        times = in_turns({"net": Timed(lambda: net(row), clock_of(net))}, seconds=SECONDS)
    return 1000.0 * statistics.median(times["net"])


def _with(member: Member, settings: Mapping[str, Any], family: str) -> Member:
    """Add the given settings to a member's own."""
    if both := [key for key in settings if key in member.settings]:
        raise UsageError(
            f"The budget chooses {', '.join(member.settings)} of the family {family!r}, and the settings give "
            f"{', '.join(both)}. Remove that line, or give `name = {member.name!r}` without a budget."
        )
    return Member(member.name, {**settings, **member.settings})


def _attempt(member: Member, shape: tuple[int, ...], outputs: int, limits: _Limits, measure: Measure) -> Choice | None:
    """Count, then weigh, then time; None where a limit is passed, and what a cheaper figure rules out is not built."""
    name, settings = member.name, dict(member.settings)
    with torch.device("meta"):  # shapes without memory
        parameters = count_parameters(zoo.make(name, shape=shape, outputs=outputs, settings=settings))
    if not limits.allow(parameters):
        return None
    with torch.random.fork_rng(devices=[]):
        net = zoo.make(name, shape=shape, outputs=outputs, settings=settings).eval()
        row = _row(name, shape, settings)
    size = len(safetensors.torch.save(net.state_dict()))
    if not limits.allow(parameters, size):
        return None
    milliseconds = measure(net, row)
    choice = Choice(name, settings, parameters, size, milliseconds)
    return choice if limits.allow(*choice[2:]) else None


def _row(name: str, shape: tuple[int, ...], settings: Mapping[str, Any]) -> Tensor:
    """One input of full size: numbers, or for nets with a vocabulary token ids without padding."""
    known = {**zoo.defaults(name), **settings}
    return torch.randint(1, known["vocabulary"], (1, *shape)) if "vocabulary" in known else torch.randn(1, *shape)


def _figures(parameters: int | None, bytes: int | None, latency_ms: float | None) -> str:
    """The figures that there are, in words."""
    found = [f"{parameters:,} parameters"] if parameters is not None else []
    found += [f"{bytes:,} bytes"] if bytes is not None else []
    found += [f"{latency_ms:.3g} ms a row"] if latency_ms is not None else []
    return ", ".join(found)
