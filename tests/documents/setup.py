"""What the examples of the documents take as given: a teacher, a student, and data of which few rows have a label."""

from __future__ import annotations

import torch
from torch import nn

LABELLED = 40

torch.manual_seed(0)
_x = torch.randn(900, 6)
_y = (_x[:, 0] * _x[:, 1] + _x[:, 2] > 0).long()
big = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 2))
small = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 2))
_optimiser = torch.optim.Adam(big.parameters(), lr=0.01)
for _ in range(300):
    _optimiser.zero_grad()
    nn.functional.cross_entropy(big(_x[:600]), _y[:600]).backward()  # type: ignore[no-untyped-call]
    _optimiser.step()
train = (_x[:600], torch.where(torch.arange(600) < LABELLED, _y[:600].float(), torch.nan))
valid = (_x[600:700], _y[600:700])
test = (_x[700:], _y[700:])
