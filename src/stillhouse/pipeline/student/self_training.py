"""Self-training: the student without a teacher, on labels and in rounds on its own answers to the other rows.

Xie et al., "Self-training with Noisy Student improves ImageNet classification", CVPR 2020, with the views of the run as
noise. Each round continues with the weights of the one before: on the demo's pictures that was better than to begin
again. All rounds together have the steps of one distilled student.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.types import has_label

ROUNDS = 3  # the first on the labels alone


def steps_of_rounds(steps: int) -> list[int]:
    """The steps of each round, which add up to ``steps``; the last has the most rows and gets the rest.

    >>> steps_of_rounds(600), steps_of_rounds(20)
    ([200, 200, 200], [6, 6, 8])
    """
    first = steps // ROUNDS
    return [*[first] * (ROUNDS - 1), steps - first * (ROUNDS - 1)]


def own_labels(net: nn.Module, context: RunContext, targets: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """The targets of a round: labels, and the net's own answers where it is sure; see ``Task.pseudo_labels``.

    Args:
        net: the student after the round before, in eval mode.
        context: of the run.
        targets: the visible labels of all training rows.
    """
    task, valid = context.task, context.data.valid
    watched = None
    if len(valid.targets) and bool(has_label(valid.targets).any()):
        watched = torch.from_numpy(net_outputs(net, valid.inputs, task)), valid.targets
    real = context.real_rows  # nobody without a teacher knows what a made row shows
    answers = torch.from_numpy(net_outputs(net, context.data.train.inputs[:real], task))
    found, facts = task.pseudo_labels(answers, targets[:real], watched)
    return torch.cat([found, targets[real:]]), facts


def rows_with_labels(targets: Tensor) -> Tensor:
    """Positions of the rows of a round, int64."""
    return torch.nonzero(has_label(targets)).flatten()
