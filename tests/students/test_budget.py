"""The budget: the largest member that fits, by figures that hold outside."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import Tensor, nn

from stillhouse import students
from stillhouse.errors import UsageError
from stillhouse.students.budget import Choice, largest_within, single_row_ms
from stillhouse.students.families import FAMILIES
from stillhouse.types import count_parameters

TEXT = ("bag_hashed", "static_embedding", "gru", "transformer")


def shape_of(family: str) -> tuple[int, ...]:
    return (24,) if family in TEXT else (16,) if family in ("mlp", "soft_tree") else (1, 8, 8)


def choose(family: str, **limits: Any) -> Choice:
    return largest_within(
        family, shape=shape_of(family), outputs=4, settings={}, **{"measure": lambda _net, _row: 1.0, **limits}
    )


def counts(family: str) -> list[int]:
    with torch.device("meta"):
        return [
            count_parameters(students.make(name, shape=shape_of(family), outputs=4, settings=settings))
            for name, settings in FAMILIES[family]
        ]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_families_grow_and_no_step_is_wider_than_fourfold(family: str) -> None:
    sizes = counts(family)
    assert all(small < large <= 4 * small for small, large in pairwise(sizes))


@pytest.mark.parametrize("family", ["cnn", "mlp", "gru"])
@given(data=st.data())
@examples(max_examples=5, deadline=None)
def test_the_largest_net_within_a_number_of_parameters_is_chosen(family: str, data: st.DataObject) -> None:
    sizes = counts(family)
    limit = data.draw(st.integers(sizes[0], 2 * sizes[-1]))
    choice = choose(family, parameters=limit)
    assert choice.parameters == max(size for size in sizes if size <= limit)
    built = students.make(choice.name, shape=shape_of(family), outputs=4, settings=choice.settings)
    assert count_parameters(built) == choice.parameters


def test_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    choice = choose("resnet", bytes=100_000)
    net = students.make(choice.name, shape=(1, 8, 8), outputs=4, settings=choice.settings)
    safetensors.torch.save_file(net.state_dict(), tmp_path / "net.safetensors")
    assert choice.bytes == (tmp_path / "net.safetensors").stat().st_size <= 100_000
    names = [(member.name, dict(member.settings)) for member in FAMILIES["resnet"]]
    name, larger_settings = names[names.index((choice.name, choice.settings)) + 1]
    larger = students.make(name, shape=(1, 8, 8), outputs=4, settings=larger_settings)
    assert len(safetensors.torch.save(larger.state_dict())) > 100_000


def test_the_net_that_is_timed_is_in_eval_mode_and_reads_one_row_of_full_size() -> None:
    seen: list[tuple[bool, tuple[int, ...], bool]] = []

    def measure(net: nn.Module, row: Tensor) -> float:
        seen.append((net.training, tuple(row.shape), bool((row > 0).all())))
        return 10.0 / len(seen)

    choice = choose("transformer", latency_ms=2.5, measure=measure)
    assert seen == [(False, (1, 24), True)] * 4
    assert choice.latency_ms == 2.5
    assert choice.settings == dict(FAMILIES["transformer"][-4].settings)


def test_all_limits_hold_together_and_what_is_too_large_is_never_timed() -> None:
    timed: list[int] = []

    def measure(net: nn.Module, _row: Tensor) -> float:
        timed.append(count_parameters(net))
        return 1.0

    choice = choose("cnn", parameters=20_000, bytes=30_000, latency_ms=5.0, measure=measure)
    assert choice.parameters <= 20_000
    assert choice.bytes <= 30_000
    assert timed == [choice.parameters]


def test_one_row_takes_time_and_leaves_threads_generator_and_net_as_they_were() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    choice = choose("mlp", latency_ms=10_000.0, measure=single_row_ms)
    assert choice.latency_ms > 0.0
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_settings_reach_every_member_and_the_choice() -> None:
    given_settings = {"vocabulary": 30, "dropout": 0.25}
    choice = largest_within("gru", shape=(5,), outputs=2, settings=given_settings, parameters=10_000)
    assert given_settings.items() <= choice.settings.items()
    assert count_parameters(students.make(choice.name, shape=(5,), outputs=2, settings=choice.settings)) <= 10_000


def test_where_nothing_fits_the_smallest_members_figures_are_told() -> None:
    smallest = counts("cnn")[0]
    with pytest.raises(UsageError, match=rf"within 10 parameters.*has {smallest:,} parameters, [\d,]+ bytes, 1 ms"):
        choose("cnn", parameters=10)


@pytest.mark.parametrize(
    ("family", "limits", "words"),
    [("cn", {"parameters": 9}, "Did you mean 'cnn'"), ("cnn", {}, "needs a limit")],
)
def test_a_wrong_budget_is_refused(family: str, limits: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        largest_within(family, shape=(1, 8, 8), outputs=2, settings={}, **limits)  # type: ignore[arg-type]


def test_a_size_that_the_budget_chooses_cannot_be_set() -> None:
    with pytest.raises(UsageError, match="Remove that line"):
        largest_within("cnn", shape=(1, 8, 8), outputs=2, settings={"channels": [4]}, parameters=9_000)
