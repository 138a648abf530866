"""The optimiser is PyTorch's AdamW, number for number."""

from __future__ import annotations

import torch
from torch import nn

from stillhouse.engine.optim import BETAS, EPSILON, AdamW, make_optimiser


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2), nn.Linear(2, 2))


def theirs(module: nn.Module) -> torch.optim.AdamW:
    parameters = list(module.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1.0, betas=BETAS, eps=EPSILON, fused=True)


def ours(module: nn.Module) -> AdamW:
    return make_optimiser(module, lr=1.0, weight_decay=0.1)


def move(module: nn.Module, optimiser: AdamW | torch.optim.AdamW, steps: range) -> None:
    for step in steps:
        rate = 0.1 / (step + 1)
        if isinstance(optimiser, AdamW):
            optimiser.lr = rate
        else:
            for group in optimiser.param_groups:
                group["lr"] = rate
        optimiser.zero_grad()
        inputs = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(step))
        # The last layer takes part in every other step only, so parameters differ in how often they have moved.
        through = module if step % 2 == 0 else module[:-1]  # type: ignore[index]
        through(inputs).square().sum().backward()
        optimiser.step()


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_it_moves_every_parameter_as_torch_does_bit_for_bit() -> None:
    a, b = net(), net()
    move(a, ours(a), range(9))
    move(b, theirs(b), range(9))
    assert same(a, b)
    assert not same(a, net())


def test_taken_up_from_its_state_it_goes_on_as_if_nothing_had_been() -> None:
    a, b = net(), net()
    first = ours(a)
    move(a, first, range(5))
    b.load_state_dict(a.state_dict())
    state = {name: value.clone() for name, value in first.state().items()}
    move(a, first, range(5, 9))
    second = ours(b)
    second.load(state)
    move(b, second, range(5, 9))
    assert same(a, b)


def test_a_frozen_parameter_is_left_alone() -> None:
    a = net()
    before = [p.detach().clone() for p in a.parameters()]
    a[0].requires_grad_(False)  # type: ignore[index]
    move(a, ours(a), range(3))
    assert torch.equal(next(a.parameters()), before[0])
    assert not torch.equal(list(a.parameters())[2], before[2])
