"""A net whose weights are drawn again, all of them: the control of a student that starts with given weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import nn

from stillhouse.errors import UsageError

RESETS = ("reset_parameters", "_reset_parameters")  # the methods of torch's layers that draw their weights
NAMED = 5  # weights that a message names


def drawn_again(net: nn.Module) -> nn.Module:
    """Draw all weights of a net again, in place, each layer by its own method; a part after the parts that it holds.

    Raises:
        UsageError: some weights have no method that draws them; they would keep what they have learned. Names them.
    """
    weights = {name: p for name, p in net.named_parameters() if not nn.parameter.is_lazy(p)}
    with torch.no_grad():
        for parameter in weights.values():
            parameter.fill_(torch.nan)  # so that it shows what no method draws
    why = ""
    for reset in _resets(net):
        try:
            reset()
        except Exception as error:  # some methods compute with the weights, as orthogonal parametrizations do
            why = f" ({type(error).__name__}: {error})"
    kept = [name for name, parameter in weights.items() if not torch.isfinite(parameter).all()]
    if kept:
        more = f" and {len(kept) - NAMED} more" if len(kept) > NAMED else ""
        raise UsageError(
            "[controls] from_scratch needs a student whose weights can all be drawn again, and no method of the "
            f"student draws {', '.join(map(repr, kept[:NAMED]))}{more}{why}. Give the module that holds them a method "
            "`reset_parameters(self)` that draws them, or remove the line."
        )
    return net


def _resets(net: nn.Module) -> Iterator[Callable[[], Any]]:
    for module in reversed(list(net.modules())):
        found = next((getattr(module, name) for name in RESETS if callable(getattr(module, name, None))), None)
        if found is not None:
            yield cast("Callable[[], Any]", found)


def starts_alike(make: Callable[[], nn.Module]) -> bool:
    """Whether a function builds a net with the same weights for each seed: weights that it was given."""
    made = []
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            made.append(make().state_dict())
    one, other = made
    return one.keys() == other.keys() and all(
        nn.parameter.is_lazy(value) or torch.equal(value, other[name]) for name, value in one.items()
    )
