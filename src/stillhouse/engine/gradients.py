"""The gradient of each term alone, on the steps that are logged or measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

Gradient = list[Tensor | None]  # one for each parameter; None where the term does not depend on it


def backward_each(
    terms: Mapping[str, Tensor], parameters: Sequence[nn.Parameter], factor: Tensor | None = None
) -> dict[str, Gradient]:
    """The gradient of each term, times ``factor``, by the parameters; their ``grad`` is empty before and after."""
    found, last = {}, next((name for name in reversed(list(terms)) if terms[name].requires_grad), None)
    for name, term in terms.items():
        if term.requires_grad:
            term.backward(factor, retain_graph=name != last)  # type: ignore[no-untyped-call]
        found[name] = [p.grad for p in parameters]
        for p in parameters:
            p.grad = None
    return found


def added(gradients: Iterable[Gradient]) -> Gradient:
    """The gradient of the sum of some terms."""
    kept = ([part for part in parts if part is not None] for parts in zip(*gradients, strict=True))
    return [reduce(add, parts) if parts else None for parts in kept]


def by_source(gradients: Mapping[str, Gradient]) -> dict[str, Gradient]:
    """Add up the gradients of each method's terms: ``name/part`` belongs to ``name``."""
    grouped: dict[str, list[Gradient]] = {}
    for name, gradient in gradients.items():
        grouped.setdefault(name.partition("/")[0], []).append(gradient)
    return {source: added(parts) for source, parts in grouped.items()}


def norms(gradients: Mapping[str, Gradient], counts: Sequence[bool]) -> dict[str, Tensor]:
    """Norm of each gradient over the parameters that count; 0 where there is none, or where it has overflowed."""
    found = {}
    for name, gradient in gradients.items():
        parts = [part for part, counted in zip(gradient, counts, strict=True) if counted and part is not None]
        norm = torch.nn.utils.get_total_norm(parts) if parts else torch.zeros(())
        found[name] = norm.nan_to_num(0.0, 0.0, 0.0)
    return found
