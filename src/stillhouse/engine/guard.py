"""A guard against methods that harm: validation rows show where a method's gradient goes against the labels.

After Du et al., "Adapting Auxiliary Losses Using Gradient Similarity", arXiv:1812.02224: an auxiliary loss helps where
its gradient and that of the main loss point into one half-space. Here the main loss is the label loss on validation
rows, so a teacher that lies is found by rows that it did not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from stillhouse.data import Rows
from stillhouse.engine.gradients import Gradient
from stillhouse.types import evaluating, logits_of

ROWS = 1024  # validation rows that are looked at
AGAINST = -0.05  # cosine below which a gradient goes against the labels
PATIENCE = 2  # looks in a row before a weight is lowered
LOWER = 0.25  # a weight that is lowered becomes this part of itself


class Guard(nn.Module):
    """Factors of the methods' weights: 1, and lower for each further look at which a method harms.

    A look is at each line of the log. The factors are buffers, so the checkpoint holds them.

    >>> guard = Guard(["hinton"])
    >>> up, down = {"hinton": [torch.tensor([1.0])]}, [torch.tensor([-1.0])]
    >>> [len(guard.look(up, down)) for _ in range(3)], guard.factor("hinton").item()
    ([0, 1, 1], 0.0625)
    """

    factors: Tensor
    looks: Tensor

    def __init__(self, methods: Sequence[str]) -> None:
        super().__init__()
        self.methods = list(methods)
        self.register_buffer("factors", torch.ones(len(self.methods)))
        self.register_buffer("looks", torch.zeros(len(self.methods)))  # in a row, at which the method harmed

    def factor(self, source: str) -> Tensor | float:
        """The factor of a method's weight; 1 for the labels."""
        return self.factors[self.methods.index(source)] if source in self.methods else 1.0

    def look(self, gradients: Mapping[str, Gradient], held_out: Gradient) -> list[str]:
        """Lower the weights of methods that harm, and return a sentence for each.

        Args:
            gradients: of each source, by the parameters.
            held_out: of the label loss on validation rows, by the same parameters.
        """
        told = []
        for place, name in enumerate(self.methods):
            angle = cosine(gradients.get(name, []), held_out)
            if not angle < AGAINST:
                self.looks[place] = 0
                continue
            self.looks[place] += 1
            if self.looks[place] >= PATIENCE:
                self.factors[place] *= LOWER
                told.append(
                    f"guard: {name!r} harms: on the validation rows its gradient goes against that of the labels "
                    f"(cosine {angle:.2f}). Its weight is now {100 * float(self.factors[place]):.3g} % of what it was."
                )
        return told

    @property
    def lowered(self) -> bool:
        """Whether a weight was lowered."""
        return bool((self.factors < 1).any())


def cosine(one: Gradient, other: Gradient) -> float:
    """Cosine of the angle between two gradients; 0 where one of them is empty or not finite."""
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a is not None and b is not None]
    if not pairs:
        return 0.0
    product = sum(float((a * b).sum()) for a, b in pairs)
    sizes = [sum(float(part.square().sum()) for part in side) for side in zip(*pairs, strict=True)]
    found = product / max((sizes[0] * sizes[1]) ** 0.5, 1e-30)
    return found if found == found else 0.0


def held_out_gradient(
    student: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], rows: Rows, parameters: Sequence[nn.Parameter]
) -> Gradient:
    """The gradient of the label loss on validation rows, in eval mode; ``grad`` of the parameters is left alone."""
    device = parameters[0].device
    with evaluating(student):
        outputs = logits_of(student(rows.inputs[:ROWS].to(device)))
        value = loss(outputs, rows.targets[:ROWS].to(device))
        return list(torch.autograd.grad(value, list(parameters), allow_unused=True))
