"""The figures of one net by which choices are made: on validation rows, never on test rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stillhouse.evaluation.teacher_gate import measured
from stillhouse.pipeline.run.context import RunContext
from stillhouse.task import Statistic


def statistics_of(context: RunContext, outputs: NDArray[np.float32], targets: NDArray[Any]) -> dict[str, Statistic]:
    """The measure of the headline where the rows define it, then those of the gate.

    Args:
        context: of the run.
        outputs: normalized, of some rows.
        targets: of these rows, in the user's units.
    """
    task, names, asked = context.task, context.spec.names, context.recipe.evaluation.measure
    found = measured(task, task.record(torch.from_numpy(outputs)), targets, names, asked)
    return {name: found[name] for name in (asked, *task.gate_measures) if name and found[name].rows}


def figures_of(context: RunContext, outputs: NDArray[np.float32], targets: NDArray[Any]) -> list[float]:
    """The measure of the headline, then those of the gate; each so that more is better.

    Minus infinity where the measure is no number, as the rank correlation of answers that are all the same: candidates
    are compared by the same measures. Rounded, so that of equals the next measure decides.
    """
    found = statistics_of(context, outputs, targets)
    figures = []
    for name in filter(None, (context.recipe.evaluation.measure, *context.task.gate_measures)):
        value = signed(context, name, float(found[name].components.mean())) if name in found else -np.inf
        figures.append(round(value, 9) if np.isfinite(value) else -np.inf)
    return figures


def signed(context: RunContext, name: str, value: Any) -> Any:
    """A measure, or its components, so that more is better."""
    return value if context.task.measure(name).higher else -value
