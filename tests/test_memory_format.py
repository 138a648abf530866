"""Channels-last order is taken where the net can run in it, and leaves no trace where it cannot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stillhouse.memory_format import channels_last


class Viewing(nn.Module):
    """Takes its maps apart by their strides, as much published code does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4 * 6 * 6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.conv(inputs).relu()
        return self.head(maps.view(maps.size(0), -1))  # type: ignore[no-any-return]


class Flattening(Viewing):
    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.conv(inputs).relu().flatten(1))  # type: ignore[no-any-return]


IMAGES = torch.randn(5, 2, 8, 8)


def last(weight: Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last)


def test_a_net_that_can_is_brought_into_channels_last_order_and_answers_alike() -> None:
    net = Flattening()
    before = net(IMAGES)
    assert channels_last(net, IMAGES)
    assert last(net.conv.weight)
    torch.testing.assert_close(net(IMAGES), before)


def test_a_net_that_cannot_is_left_as_it_was() -> None:
    net = Viewing()
    before = net(IMAGES)
    assert not channels_last(net, IMAGES)
    assert net.conv.weight.is_contiguous()
    assert torch.equal(net(IMAGES), before)


@pytest.mark.parametrize("kind", [Viewing, Flattening])
def test_trying_leaves_modes_statistics_and_random_state_alone(kind: type[Viewing]) -> None:
    net = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5), kind().eval())
    state = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    channels_last(net, IMAGES)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert [m.training for m in net] == [True, True, False]


def test_tables_and_nets_without_convolutions_are_passed_over() -> None:
    assert not channels_last(nn.Linear(3, 2), torch.randn(4, 3))
    assert not channels_last(nn.Flatten(), IMAGES)
