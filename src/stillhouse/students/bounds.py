"""Checks of single settings of a net; each error shows what was given and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence


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


def settings_whole(settings: object, **least: int) -> None:
    """Check that attributes are whole numbers of at least the numbers given.

    Raises:
        ValueError: one is not.
    """
    for name, low in least.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"{name} = {value!r} must be a whole number of at least {low}")


def settings_at_least(settings: object, **least: float) -> None:
    """Check that attributes are finite numbers of at least the numbers given.

    Raises:
        ValueError: one is not.
    """
    for name, low in least.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < math.inf:
            raise ValueError(f"{name} = {value!r} must be a number of at least {low:g}")
