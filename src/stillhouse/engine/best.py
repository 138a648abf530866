"""The best weights of a fit so far, by the validation rows alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from stillhouse.engine.checkpoint import tensor_state
from stillhouse.errors import UsageError

LOWEST, SINCE, WEIGHTS = "lowest", "since", "weights/"


class Best:
    """Keeps a copy of the step's state where the monitored figure was lowest; the earliest of equals.

    Raises:
        UsageError: there is no validation row (``rows``) to choose by.
    """

    def __init__(self, module: nn.Module, rows: int) -> None:
        if not rows:
            raise UsageError(
                '`[training] keep = "best"` chooses by validation rows, and this run has none. '
                'Set `[data] valid = 0.1`, or `keep = "last"`.'
            )
        self.module = module
        self.lowest = math.inf
        self.since = 0  # looks since the lowest
        self.weights: dict[str, Tensor] = {}

    def look(self, figure: float) -> bool:
        """Keep the present state if its monitored figure is the lowest so far; return whether it is."""
        self.since += 1
        if not figure < self.lowest:
            return False
        self.lowest, self.since = figure, 0
        self.weights = {name: value.detach().clone() for name, value in tensor_state(self.module).items()}
        return True

    def restore(self) -> None:
        """Put the best weights back into the module."""
        if self.weights:
            self.module.load_state_dict(self.weights)

    def state(self) -> dict[str, Tensor]:
        """State for a checkpoint, so that a resumed fit chooses as an uninterrupted one does."""
        counted = {LOWEST: torch.tensor(self.lowest, dtype=torch.float64), SINCE: torch.tensor(self.since)}
        return counted | {WEIGHTS + k: v for k, v in self.weights.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state of a checkpoint; an empty one changes nothing."""
        if state:
            self.lowest, self.since = state[LOWEST].item(), int(state.get(SINCE, torch.tensor(0)))
            self.weights = {k.removeprefix(WEIGHTS): v for k, v in state.items() if k.startswith(WEIGHTS)}
