"""Checks of single settings of a net; each error shows what was given and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence

LAYERS = 1000  # of a net: more take minutes to build, and none of them learns


def whole(name: str, given: int, *, least: int = 1, most: int | None = None) -> int:
    """Return a whole number within its bounds.

    Raises:
        ValueError: not a whole number, or outside the bounds.
    """
    inside = isinstance(given, int) and not isinstance(given, bool) and given >= least
    if not inside or (most is not None and given > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} = {given!r} must be a whole number of {bounds}, such as {name} = {least}")
    return given


def fraction(name: str, given: float) -> float:
    """Return a number in [0, 1).

    Raises:
        ValueError: it is not.
    """
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0.0 <= given < 1.0:
        raise ValueError(f"{name} = {given!r} must be a number in [0, 1), such as {name} = 0.1")
    return float(given)


def one_of(name: str, given: str, allowed: Sequence[str]) -> str:
    """Return a word that is allowed.

    Raises:
        ValueError: it is not; lists those that are.
    """
    if given not in allowed:
        raise ValueError(f"{name} = {given!r} must be one of {', '.join(map(repr, allowed))}")
    return given


def sizes(name: str, given: Sequence[int]) -> list[int]:
    """Return layer sizes as a list.

    Raises:
        ValueError: not a list of at least one whole number, each at least 1.
    """
    numbers = isinstance(given, list | tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in given)
    if not numbers or not given or min(given) < 1:
        raise ValueError(f"{name} = {given!r} must be a list of whole numbers of at least 1, such as {name} = [16, 16]")
    if len(given) > LAYERS:
        raise ValueError(f"{name} has {len(given):,} layers; a net here has {LAYERS:,} at most")
    return list(given)


def not_negative(name: str, given: float) -> float:
    """Return a finite number of at least 0.

    Raises:
        ValueError: it is not.
    """
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < math.inf:
        raise ValueError(f"{name} = {given!r} must be a number of at least 0, such as {name} = 0.1")
    return float(given)


def above_zero(name: str, given: float) -> float:
    """Return a finite number above 0.

    Raises:
        ValueError: it is not.
    """
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
        raise ValueError(f"{name} = {given!r} must be a number above 0, such as {name} = 0.1")
    return float(given)
