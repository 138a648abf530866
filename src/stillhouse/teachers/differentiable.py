"""A teacher that can be differentiated: its net, frozen, with outputs in the form in which they are stored."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stillhouse.teachers.crossfit import whole_of
from stillhouse.teachers.module import ModuleTeacher, copied
from stillhouse.types import Batch, Teacher, in_eval, logits_of

NEAR = 1e-3  # of the normalized outputs: the reader of a teacher may round
FORMS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda outputs: outputs,
    lambda outputs: outputs.clamp(min=1e-30).log(),
)


class Frozen(nn.Module):
    """A net without learned parameters, and what turns its answer into outputs."""

    def __init__(self, net: nn.Module, form: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.form = net, form

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (B, *shape), with a gradient to the inputs."""
        return self.form(logits_of(self.net(inputs)))


def differentiable(teacher: Teacher, inputs: Tensor) -> nn.Module | None:
    """A frozen copy of a teacher's net in eval mode; None: it is no net, or its answers are turned by more than a log.

    Args:
        teacher: any; its own weights, buffers and mode stay as they are.
        inputs: (B, ...) a few rows, on which the copy must answer as the teacher does.
    """
    whole = whole_of(teacher)
    if not isinstance(whole, ModuleTeacher) or not inputs.is_floating_point():
        return None
    net = in_eval(copied(whole.module)).cpu().requires_grad_(False)
    rows = torch.full((len(inputs),), -1)
    wanted = whole.task.normalize(whole.outputs(Batch(inputs, rows, rows, torch.zeros_like(rows))).values)
    for form in FORMS:
        found = Frozen(net, form)
        with torch.no_grad():
            answers = found(inputs)
        if answers.shape == wanted.shape and torch.allclose(whole.task.normalize(answers), wanted, atol=NEAR):
            return found
    return None
