"""The largest member of a family that a budget allows: counted and measured here, not guessed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Tried:
    """A member of the family and what it costs; None: not measured, because another limit had ruled it out."""

    name: str
    settings: dict[str, Any]
    parameters: int
    bytes: int | None
    latency_ms: float | None
    fits: bool


@dataclass(frozen=True)
class Choice:
    """The member that fits.

    Attributes:
        name: Of the net.
        settings: Of the net, the given ones included: what ``zoo.make`` takes.
        parameters: Learned numbers.
        bytes: Of its weights as a safetensors file in float32, the header included.
        latency_ms: Median milliseconds of one core for one row.
        tried: The members looked at, from the largest down to the chosen one.
    """

    name: str
    settings: dict[str, Any]
    parameters: int
    bytes: int
    latency_ms: float
    tried: list[Tried]


class _Limits(NamedTuple):
    parameters: int | None = None
    bytes: int | None = None
    latency_ms: float | None = None

    def allows(self, parameters: int = 0, bytes: int = 0, latency_ms: float = 0.0) -> bool:
        pairs = zip((parameters, bytes, latency_ms), self, strict=True)
        return all(limit is None or figure <= limit for figure, limit in pairs)

    def __str__(self) -> str:
        return _figures(*self)


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
    tried: list[Tried] = []
    for member in reversed(members):
        tried.append(_attempt(member, shape, outputs, limits, clock))
        if (choice := _chosen(tried)) is not None:
            return choice
    smallest = _attempt(members[0], shape, outputs, _Limits(), clock)
    raise UsageError(
        f"No member of the family {family!r} is within {limits}: the smallest, {smallest.name} with "
        f"{dict(FAMILIES[family][0].settings)}, has "
        f"{_figures(smallest.parameters, smallest.bytes, smallest.latency_ms)} here. Raise the limit to that, or "
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


def _attempt(member: Member, shape: tuple[int, ...], outputs: int, limits: _Limits, measure: Measure) -> Tried:
    """Count, then weigh, then time; what a cheaper figure rules out is not built."""
    name, settings = member.name, dict(member.settings)
    with torch.device("meta"):  # shapes without memory
        parameters = count_parameters(zoo.make(name, shape=shape, outputs=outputs, settings=settings))
    if not limits.allows(parameters):
        return Tried(name, settings, parameters, None, None, fits=False)
    with torch.random.fork_rng(devices=[]):
        net = zoo.make(name, shape=shape, outputs=outputs, settings=settings).eval()
        row = _row(name, shape, settings)
    size = len(safetensors.torch.save(net.state_dict()))
    if not limits.allows(parameters, size):
        return Tried(name, settings, parameters, size, None, fits=False)
    milliseconds = measure(net, row)
    return Tried(name, settings, parameters, size, milliseconds, limits.allows(parameters, size, milliseconds))


def _row(name: str, shape: tuple[int, ...], settings: Mapping[str, Any]) -> Tensor:
    """One input of full size: numbers, or for nets with a vocabulary token ids without padding."""
    known = {**zoo.defaults(name), **settings}
    return torch.randint(1, known["vocabulary"], (1, *shape)) if "vocabulary" in known else torch.randn(1, *shape)


def _chosen(tried: list[Tried]) -> Choice | None:
    last = tried[-1]
    if not last.fits or last.bytes is None or last.latency_ms is None:
        return None
    return Choice(last.name, last.settings, last.parameters, last.bytes, last.latency_ms, tried)


def _figures(parameters: int | None, bytes: int | None, latency_ms: float | None) -> str:
    """The figures that there are, in words."""
    found = [f"{parameters:,} parameters"] if parameters is not None else []
    found += [f"{bytes:,} bytes"] if bytes is not None else []
    found += [f"{latency_ms:.3g} ms a row"] if latency_ms is not None else []
    return ", ".join(found)
