"""Costs are counted right, and measuring leaves the nets as they were."""

from __future__ import annotations

import os
from collections.abc import Iterator
from multiprocessing import get_context

import pytest
import torch
from torch import nn

from stillhouse.evaluation import measure_cost, measure_costs


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 64, 10)
    )


def test_parameters_bytes_and_operations_are_those_of_the_shapes() -> None:
    found = measure_cost(net(), torch.randn(2, 1, 8, 8), budget_seconds=0.0)
    parameters = 4 * 9 + 2 * 4 + 256 * 10 + 10
    assert found["parameters"] == parameters
    assert found["bytes"] == 4 * (parameters + 2 * 4) + 8  # running mean and variance, and an int64 counter
    assert found["flops"] == 2 * (64 * 4 * 9 + 256 * 10)


def test_half_precision_takes_half_the_bytes() -> None:
    module, half = nn.Linear(7, 3), nn.Linear(7, 3).to(torch.bfloat16)
    whole = measure_cost(module, torch.randn(1, 7), budget_seconds=0.0)
    assert (
        measure_cost(half, torch.randn(1, 7, dtype=torch.bfloat16), budget_seconds=0.0)["bytes"] == whole["bytes"] / 2
    )


def test_nets_are_left_in_the_modes_they_were_in_and_unchanged() -> None:
    module = net().train()
    module[1].eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    measure_costs({"a": module, "b": net().eval()}, torch.randn(3, 1, 8, 8), budget_seconds=0.0)
    assert [m.training for m in module] == [True, False, True, True]
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_the_modes_come_back_when_a_net_fails() -> None:
    module = net().train()
    with pytest.raises(RuntimeError):
        measure_cost(module, torch.randn(1, 5, 8, 8))
    assert module.training


def test_every_net_has_times_of_both_batches() -> None:
    found = measure_costs(
        {"teacher": net(), "student": nn.Sequential(nn.Flatten(), nn.Linear(64, 10))}, torch.randn(1, 1, 8, 8)
    )
    assert set(found) == {"teacher", "student"}
    for figures in found.values():
        assert 0 < figures["ms_1"] <= figures["ms_1_p95"]
        assert 0 < figures["ms_64"] <= figures["ms_64_p95"]
        assert figures["rows_per_second"] == pytest.approx(64_000 / figures["ms_64"])


class Cover(nn.Module):
    """No tensors of its own: what computes is behind it."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.flatten(1)


def test_the_clock_is_that_of_the_core_unless_the_work_may_lie_elsewhere() -> None:
    found = measure_costs({"net": nn.Linear(3, 2), "cover": Cover()}, torch.randn(1, 3), budget_seconds=0.0)
    assert {name: figures["clock"] for name, figures in found.items()} == {"net": "core", "cover": "wall"}


def spin() -> None:
    while True:
        pass


@pytest.fixture
def busy_machine() -> Iterator[None]:
    """Four processes for each core that do nothing but compute."""
    crowd = [get_context("fork").Process(target=spin, daemon=True) for _ in range(4 * (os.cpu_count() or 1))]
    for each in crowd:
        each.start()
    yield
    for each in crowd:
        each.kill()
        each.join()


def test_what_else_the_machine_does_hardly_changes_the_figure(request: pytest.FixtureRequest) -> None:
    module, example = nn.Sequential(nn.Linear(512, 2048), nn.ReLU(), nn.Linear(2048, 512)), torch.randn(64, 512)
    idle = measure_cost(module, example)
    request.getfixturevalue("busy_machine")
    busy = measure_cost(module, example)
    assert idle["ms_64"] / 2 < busy["ms_64"] < 2 * idle["ms_64"]


def test_measuring_leaves_the_number_of_threads() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        measure_cost(nn.Linear(3, 2), torch.randn(1, 3), budget_seconds=0.0)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
