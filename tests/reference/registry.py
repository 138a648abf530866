"""All references, by method: what the ledger and its tests run.

To register: write ``tests/reference/<room>.py`` (numpy only) and give it a table

    CASES: dict[str, list[Case]] = {
        "hinton": [Case("hinton", hinton, pair)],                # method name: cases, the first with default settings
        "rkd": [Case("rkd_distance", rkd_distance, features), Case("rkd_angle", rkd_angle, features)],
    }

whose keys are method names (``stillhouse methods``). It is found by being in this folder. In the ledger the
first case of a method stands for it; its formula and its known deviations come from the card: the paragraphs
``Formula:`` and ``Deviations:`` in the docstring of that function.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import tests.reference as folder
from stillhouse import methods
from tests.reference.case import Array, Case, central_difference

__all__ = ["Case", "cases", "central_difference", "function_of", "value_and_gradient"]


def cases() -> dict[str, list[Case]]:
    """Every registered case, by method."""
    found: dict[str, list[Case]] = {}
    for module in pkgutil.iter_modules(folder.__path__):
        if module.name not in {"registry", "case"}:
            table = getattr(importlib.import_module(f"{folder.__name__}.{module.name}"), "CASES", {})
            for method, own in table.items():
                found.setdefault(method, []).extend(own)
    return found


def function_of(method: str, case: Case) -> Callable[..., Tensor]:
    """Our function of a case."""
    function: Callable[..., Tensor] = getattr(importlib.import_module(methods.get(method).__module__), case.function)
    return function


def value_and_gradient(
    method: str, case: Case, inputs: tuple[Array, ...], dtype: torch.dtype = torch.float64
) -> tuple[float, Array]:
    """Our value, and our gradient with respect to the student's input."""
    tensors: list[Any] = [torch.tensor(array) for array in inputs]
    tensors = [t.to(dtype) if t.is_floating_point() else t for t in tensors]
    tensors[0].requires_grad_(True)
    value = function_of(method, case)(*tensors, **case.settings)
    value.backward()  # type: ignore[no-untyped-call]
    return value.item(), tensors[0].grad.double().numpy()
