"""The balance of the loss: a warning where a term is dead or drowns the rest, and weights by gradient norms.

A weight says little by itself, since each loss has a scale of its own: the cross-entropy is of order 1, a mean squared
error of features may be a thousandth of that. What a term does to the student is the norm of its gradient.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

LABELS = "labels"  # the name of the term of the labels
MEASURED_STEPS = 20  # first steps over which the gradient norms are averaged; the weights are frozen after them
DEAD, DROWNING = 0.01, 0.99  # shares of the gradient norm beyond which a term is reported
PATIENCE = 3  # log lines in a row


class Balance(nn.Module):
    """Factors that give each source its share of the gradient, measured on the first steps and then frozen.

    A source is the labels or one method, and its recipe weight w asks for the share w / sum(w). With g the mean norm
    of the source's gradient at weight 1, its weight becomes v = w * f with v * g proportional to w, and the sum of the
    norms stays what the recipe's own weights would give: f = sum(w * g) / (sum(w) * g). A source without a gradient
    keeps its weight. The factors are buffers, so the checkpoint carries them.

    Args:
        weights: by source, as in the recipe.

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
        """By what the source's recipe weight is multiplied."""
        return self.factors[self.sources.index(source)]

    def observe(self, norms: Mapping[str, Tensor]) -> None:
        """Add one step's gradient norm of each source, as it is now weighted, and set the factors again."""
        weights = self.weights.to(self.factors)
        now = torch.stack([norms.get(s, torch.zeros_like(self.count)).to(self.norms) for s in self.sources])
        self.norms += torch.where(weights > 0, now / (weights * self.factors), 0.0)
        self.count += 1
        mean = self.norms / self.count
        moves = mean > 0
        total, asked = (weights * mean).sum(), (weights * moves).sum()
        self.factors.copy_(torch.where(moves, total / (asked * mean), self.factors))


class ShareWatch:
    """Warns once a fit when terms have hardly any of the gradient, or nearly all of it, for several log lines.

    Args:
        weights: by source, as in the recipe, for the message.
        lines: of the log so far, so that a resumed fit warns as an uninterrupted one does.
    """

    def __init__(self, weights: Mapping[str, float], lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self.weights = weights
        self._dead: Counter[str] = Counter()
        self._drowning: Counter[str] = Counter()
        self._told = False
        for line in lines:
            self._take(line["shares"])

    def look(self, shares: Mapping[str, float]) -> str | None:
        """Take in one log line's shares; returns what is amiss the first time that something is, and warns of it."""
        message = self._take(shares)
        if message:
            warnings.warn(message, stacklevel=2)
        return message

    def _take(self, shares: Mapping[str, float]) -> str | None:
        if len(shares) < 2 or not any(shares.values()):
            return None
        for name, share in shares.items():
            if name == LABELS and share == 0:
                continue  # a batch without a labelled row says nothing about the weight
            self._dead[name] = self._dead[name] + 1 if share < DEAD else 0
            self._drowning[name] = self._drowning[name] + 1 if share > DROWNING else 0
        dead = [n for n in shares if self._dead[n] >= PATIENCE]
        drowning = [n for n in shares if self._drowning[n] >= PATIENCE]
        if self._told or not (dead or drowning):
            return None
        self._told = True
        return self._explain(dead, drowning, shares)

    def _explain(self, dead: Sequence[str], drowning: Sequence[str], shares: Mapping[str, float]) -> str:
        told = [f"{name!r} has {100 * shares[name]:.2g} % and hardly trains the student" for name in dead]
        told += [f"{name!r} has {100 * shares[name]:.4g} % and drowns the rest" for name in drowning]
        verb, name = ("Lower", drowning[0]) if drowning else ("Raise", dead[0])
        return (
            f"The loss is out of balance: of the gradient norm over the last {PATIENCE} log lines, {'; '.join(told)}. "
            f"{verb} {setting(name, self.weights)}, or let the first steps set the weights: "
            '`[training] balance = "gradient"`.'
        )


def setting(term: str, weights: Mapping[str, float]) -> str:
    """The recipe's line that weighs a term.

    >>> setting("fitnet#2/layer1", {"fitnet#2": 0.9})
    '`weight` (now 0.9) of `[[method]] name = "fitnet"` (number 2)'
    """
    source = term.partition("/")[0]
    now = f" (now {weights[source]:g})" if source in weights and math.isfinite(weights[source]) else ""
    if source == LABELS:
        return f"`[training] label_weight`{now}"
    name, _, number = source.partition("#")
    return f'`weight`{now} of `[[method]] name = "{name}"`' + (f" (number {number})" if number else "")
