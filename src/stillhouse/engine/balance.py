"""The balance of the loss: a warning where a term is dead or outweighs the rest, and weights by gradient norms.

A weight alone says little, since each loss has its own scale: the cross-entropy is of order 1, a mean squared error of
features may be a thousandth of that. The norm of its gradient says what a term does to the student.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

LABELS = "labels"  # the name of the label loss
MEASURED_STEPS = 20  # first steps over which the gradient norms are averaged; the weights are frozen after them
DEAD, DOMINANT = 0.01, 0.99  # shares of the gradient norm beyond which a term is reported
PATIENCE = 3  # log lines in a row


class Balance(nn.Module):
    """Factors that give each source its share of the gradient, measured on the first steps and then frozen.

    A source is the labels or one method, and its recipe weight w asks for the share w / sum(w). With g the mean norm
    of the source's gradient at weight 1, its weight becomes v = w * f with v * g proportional to w. The sum of the
    norms stays the one of the recipe's weights: f = sum(w * g) / (sum(w) * g). A source without a gradient keeps its
    weight. The factors are buffers, so the checkpoint holds them.

    >>> balance = Balance({"labels": 1.0, "fitnet": 3.0})
    >>> balance.observe({"labels": torch.tensor(2.0), "fitnet": torch.tensor(0.3)})  # norms at the recipe's weights
    >>> [round(2.0 * balance.factor("labels").item(), 3), round(0.3 * balance.factor("fitnet").item(), 3)]
    [0.575, 1.725]
    """

    factors: Tensor
    norms: Tensor
    count: Tensor

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.sources = list(weights)
        self.weights = torch.tensor(list(weights.values()))
        self.register_buffer("factors", torch.ones(len(weights)))
        self.register_buffer("norms", torch.zeros(len(weights)))  # sums over the measured steps, at weight 1
        self.register_buffer("count", torch.zeros(()))

    def factor(self, source: str) -> Tensor:
        """The factor of the source's recipe weight."""
        return self.factors[self.sources.index(source)]

    def observe(self, norms: Mapping[str, Tensor]) -> None:
        """Add one step's gradient norm of each source at its present weight, and set the factors again."""
        weights = self.weights.to(self.factors)
        now = torch.stack([norms.get(s, torch.zeros_like(self.count)).to(self.norms) for s in self.sources])
        self.norms += torch.where(weights > 0, now / (weights * self.factors), 0.0)
        self.count += 1
        mean = self.norms / self.count
        moves = mean > 0
        total, asked = (weights * mean).sum(), (weights * moves).sum()
        self.factors.copy_(torch.where(moves, total / (asked * mean), self.factors))


class ShareWatch:
    """Warns once in a fit when a term has hardly any of the gradient, or nearly all of it, for several log lines.

    ``lines`` is the log so far, so that a resumed fit warns as an uninterrupted one does.
    """

    def __init__(self, weights: Mapping[str, float], lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self.weights = weights
        self._dead: Counter[str] = Counter()
        self._dominant: Counter[str] = Counter()
        self._told = False
        for line in lines:
            self._take(line["shares"])

    def look(self, shares: Mapping[str, float]) -> str | None:
        """Add one log line's shares; the first time that the loss is out of balance, warn and return the warning."""
        message = self._take(shares)
        if message:
            warnings.warn(message, stacklevel=2)
        return message

    def _take(self, shares: Mapping[str, float]) -> str | None:
        if len(shares) < 2 or not any(shares.values()):
            return None
        methods = {name.partition("/")[0] for name in shares} - {LABELS}
        for name, share in shares.items():
            if name == LABELS and share == 0:
                continue  # a batch without a labelled row says nothing about the weight
            self._dead[name] = self._dead[name] + 1 if share < DEAD else 0
            lone = name != LABELS and len(methods) == 1  # beside the labels, one method is meant to lead
            self._dominant[name] = self._dominant[name] + 1 if share > DOMINANT and not lone else 0
        dead = [n for n in shares if self._dead[n] >= PATIENCE]
        dominant = [n for n in shares if self._dominant[n] >= PATIENCE]
        if self._told or not (dead or dominant):
            return None
        self._told = True
        return self._explain(dead, dominant, shares)

    def _explain(self, dead: Sequence[str], dominant: Sequence[str], shares: Mapping[str, float]) -> str:
        told = [f"{name!r} has {100 * shares[name]:.2g} % and hardly trains the student" for name in dead]
        told += [f"{name!r} has {100 * shares[name]:.4g} % and outweighs the rest" for name in dominant]
        verb, name = ("Lower", dominant[0]) if dominant else ("Raise", dead[0])
        return (
            f"The loss is out of balance: of the gradient norm over the last {PATIENCE} log lines, {'; '.join(told)}. "
            f"{verb} {setting(name, self.weights)}, or let the first steps set the weights: "
            '`[training] balance = "gradient"`.'
        )


def setting(term: str, weights: Mapping[str, float]) -> str:
    """The recipe's line that sets the weight of a term.

    >>> setting("fitnet#2/layer1", {"fitnet#2": 0.9})
    '`weight` (now 0.9) of `[[method]] name = "fitnet"` (number 2)'
    """
    source = term.partition("/")[0]
    now = f" (now {weights[source]:g})" if source in weights and math.isfinite(weights[source]) else ""
    if source == LABELS:
        return f"`[training] label_weight`{now}"
    name, _, number = source.partition("#")
    return f'`weight`{now} of `[[method]] name = "{name}"`' + (f" (number {number})" if number else "")
