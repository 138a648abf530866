"""Checks of the sizes that a recipe gives."""

from __future__ import annotations

from collections.abc import Sequence


def sizes(name: str, given: Sequence[int]) -> list[int]:
    """Return layer sizes as a list.

    Raises:
        ValueError: not a list of at least one whole number, each at least 1.
    """
    whole = isinstance(given, list | tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in given)
    if not whole or not given or min(given) < 1:
        raise ValueError(f"{name} = {given!r} must be a list of whole numbers of at least 1, such as {name} = [16, 16]")
    return list(given)
