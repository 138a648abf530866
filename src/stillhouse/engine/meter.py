"""Running means of the loss terms on the device; they come to the host once for each log line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

COUNT = "count"


class Meter:
    """Sums named scalars without waiting for the device: one addition a step, however many terms there are.

    ``state`` restores an earlier meter.
    """

    def __init__(self, state: Mapping[str, Tensor] | None = None) -> None:
        found = dict(state or {})
        self.count = int(found.pop(COUNT, torch.zeros(())))
        self.names = list(found)
        self.sums = torch.stack(list(found.values())) if found else None

    def add(self, names: Sequence[str], values: Tensor) -> None:
        """Add one step's terms, stacked (terms,)."""
        self.count += 1
        if self.sums is None:
            self.names, self.sums = list(names), values.detach().float()
            return
        values = values.detach()
        if len(names) != len(self.names) or list(names) != self.names:
            values = self._in_place(names, values)
        self.sums = self.sums.to(values.device) + values

    def state(self) -> dict[str, Tensor]:
        """The sums by name and the number of their steps, for the checkpoint."""
        sums = {} if self.sums is None else dict(zip(self.names, self.sums.unbind(), strict=True))
        return sums | {COUNT: torch.tensor(float(self.count))}

    def flush(self) -> dict[str, float]:
        """Return the means and start again; the one place where the host waits."""
        means = {} if self.sums is None else dict(zip(self.names, (self.sums / self.count).tolist(), strict=True))
        self.count, self.names, self.sums = 0, [], None
        return means

    def _in_place(self, names: Sequence[str], values: Tensor) -> Tensor:
        """The values in the order of the sums, which grow where a method names a term for the first time."""
        assert self.sums is not None
        new = [name for name in names if name not in self.names]
        self.names += new
        self.sums = torch.cat([self.sums, self.sums.new_zeros(len(new))])
        placed = torch.zeros_like(self.sums)
        placed[[self.names.index(name) for name in names]] = values.to(placed)
        return placed


def shares(norms: Mapping[str, float]) -> dict[str, float]:
    """Each norm as a share of their sum; all zero where nothing moves."""
    total = sum(norms.values())
    return {name: value / total if total > 0 else 0.0 for name, value in norms.items()}
