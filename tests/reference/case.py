"""One check of a method's function against an independent reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


class Case(NamedTuple):
    """A function of a method's module beside its reference.

    Both are called as ``f(*inputs, **settings)``: ours with tensors, the reference with float64 (or int64) arrays. The
    gradient is checked with respect to the first input, the student's, by central differences of the reference.
    """

    function: str  # name inside the module of the method
    reference: Callable[..., Any]  # numpy, float64, written from the paper's formula; never imports stillhouse
    inputs: Callable[[np.random.Generator], tuple[Array, ...]]  # the student's first
    settings: Mapping[str, Any] = NO_SETTINGS
    constants: Callable[..., Mapping[str, Any]] | None = None  # of the inputs: what has no gradient, for the reference


def central_difference(case: Case, inputs: tuple[Array, ...], step: float = 1e-4) -> Array:
    """Gradient of a reference with respect to its first input, of fourth order in the step."""
    first = np.asarray(inputs[0], np.float64)
    settings = {**case.settings, **(case.constants(*inputs, **case.settings) if case.constants else {})}
    gradient = np.zeros_like(first)
    for index in np.ndindex(first.shape):
        values = []
        for shift in (-2, -1, 1, 2):
            moved = first.copy()
            moved[index] += shift * step
            values.append(float(case.reference(moved, *inputs[1:], **settings)))
        gradient[index] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    return gradient
