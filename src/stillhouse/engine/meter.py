"""Running means of the loss terms on the device; they come to the host once a log line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

COUNT = "count"


class Meter:
    """Sums named scalars without waiting for the device."""

    def __init__(self, state: Mapping[str, Tensor] | None = None) -> None:
        self.sums: dict[str, Tensor] = dict(state or {})

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add one step's terms."""
        for name, value in terms.items():
            value = value.detach()
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        one = torch.ones(())
        self.sums[COUNT] = self.sums[COUNT] + one if COUNT in self.sums else one

    def flush(self) -> dict[str, float]:
        """Return the means and start anew; the one place where the host waits."""
        count = self.sums.pop(COUNT, torch.ones(()))
        names = list(self.sums)
        means = torch.stack([self.sums[n].float() / count.to(self.sums[n].device) for n in names]) if names else None
        self.sums = {}
        return dict(zip(names, means.tolist(), strict=True)) if means is not None else {}


def gradient_norms(terms: Mapping[str, Tensor], parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
    """Norm of each term's gradient over the student's parameters; keeps the graph for the step that follows."""
    norms = {}
    for name, term in terms.items():
        if not term.requires_grad:
            norms[name] = torch.zeros((), device=term.device)
            continue
        grads = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        found = [g for g in grads if g is not None]
        norms[name] = torch.nn.utils.get_total_norm(found) if found else torch.zeros((), device=term.device)
    return norms


def shares(norms: Mapping[str, float]) -> dict[str, float]:
    """Each norm as a share of their sum; all zero where nothing moves."""
    total = sum(norms.values())
    return {name: value / total if total > 0 else 0.0 for name, value in norms.items()}
