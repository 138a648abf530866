"""The figures of one net by which choices are made: on validation rows, never on test rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.evaluation.teacher_gate import measured
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.student.outputs import net_outputs
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


def figures_of(context: RunContext, net: nn.Module, inputs: Tensor, targets: NDArray[Any]) -> dict[str, float]:
    """These measures of a net, each so that more is better; see ``statistics_of``."""
    found = statistics_of(context, net_outputs(net, inputs, context.task), targets)
    return {name: signed(context, name, float(one.components.mean())) for name, one in found.items()}


def signed(context: RunContext, name: str, value: Any) -> Any:
    """A measure, or its components, so that more is better."""
    return value if context.task.measure(name).higher else -value
