"""Whatever can change an object's answers changes its identity; what cannot, does not."""

from __future__ import annotations

import functools
import importlib
import operator
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn
from torch.nn.utils import parametrizations, parametrize

from stillhouse.teachers.identity import given_identity, identity_of, using

SCALE = 2.0


def scaled(inputs: Tensor) -> Tensor:
    return inputs * SCALE


class Shifted(nn.Module):
    limit = 5.0

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.net, self.shift = nn.Linear(3, 2), shift
        self.register_buffer("mean", torch.zeros(3), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        answer: Tensor = self.net(scaled(inputs - self.shift)).clamp(max=self.limit)
        return answer


def shifted() -> Shifted:
    torch.manual_seed(0)
    return Shifted()


def patched(module: nn.Module) -> None:
    module.forward = types.MethodType(lambda self, inputs: self.net(inputs) + 1, module)


class Half(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


CHANGES: dict[str, Callable[[Shifted], Any]] = {
    "a plain attribute": lambda net: setattr(net, "shift", 3.0),
    "a new attribute": lambda net: setattr(net, "more", 1),
    "one weight": lambda net: net.net.weight.data[0, 0].add_(1e-6),
    "a buffer that is not saved": lambda net: net.mean[0].add_(1.0),  # type: ignore[index]
    "a frozen weight": lambda net: net.net.weight.requires_grad_(False),
    "the type of the weights": lambda net: net.double(),
    "a hook": lambda net: net.register_forward_hook(lambda module, args, output: output * 2),
    "a hook of a part": lambda net: net.net.register_forward_pre_hook(lambda module, args: (args[0] + 1,)),
    "a parametrization": lambda net: parametrize.register_parametrization(net.net, "weight", Half()),
    "weight normalisation": lambda net: parametrizations.weight_norm(net.net),
    "the forward of one object": patched,
    "a part": lambda net: setattr(net, "net", nn.Sequential(net.net, nn.ReLU())),
    "a part's setting": lambda net: setattr(net, "net", nn.Sequential(net.net, nn.LeakyReLU(0.1))),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_a_module_changes_its_identity(what: str) -> None:
    changed = shifted()
    CHANGES[what](changed)
    assert identity_of(shifted()) == identity_of(shifted()) != identity_of(changed)


def test_a_class_counts_by_its_code_its_values_and_what_its_code_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [identity_of(shifted())]
    monkeypatch.setattr(Shifted, "limit", 6.0)
    before.append(identity_of(shifted()))
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 3.0)
    before.append(identity_of(shifted()))
    monkeypatch.setattr(sys.modules[__name__], "scaled", lambda inputs: inputs)
    before.append(identity_of(shifted()))
    monkeypatch.setattr(Shifted, "forward", lambda self, inputs: self.net(inputs))
    before.append(identity_of(shifted()))
    assert len(set(before)) == len(before)
    monkeypatch.undo()
    assert identity_of(shifted()) == before[0]


def test_the_mode_counts_where_the_run_does_not_set_it() -> None:
    waking, asleep = nn.Sequential(nn.Dropout()), nn.Sequential(nn.Dropout()).eval()
    assert given_identity(waking) == given_identity(asleep)
    ask = [lambda rows, net=net: net(rows) for net in (waking, asleep)]
    assert given_identity(ask[0]) != given_identity(ask[1])


def test_hooks_count_however_many_were_ever_registered() -> None:
    def double(module: nn.Module, args: Any, output: Any) -> Any:
        return output * 2

    one, two = shifted(), shifted()
    one.register_forward_hook(double)
    nn.ReLU().register_forward_hook(double)
    two.register_forward_hook(double)
    assert identity_of(one) == identity_of(two)


def test_modules_of_the_users_own_count_by_what_is_called_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_parts").mkdir()
    (tmp_path / "own_parts/__init__.py").write_text("from own_parts import scales\n")
    (tmp_path / "own_helper.py").write_text("import own_parts\ndef ask(rows):\n    return own_parts.scales.by(rows)\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for factor in (2, 3, 2):
        (tmp_path / "own_parts/scales.py").write_text(
            f"def by(rows):\n    return rows * {factor}\ndef other(): {factor}\n"
        )
        for name in ("own_helper", "own_parts", "own_parts.scales"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        sys.dont_write_bytecode = True
        found.append(identity_of(importlib.import_module("own_helper").ask))
    assert found[0] == found[2] != found[1]


def power(exponent: float, rows: Any) -> Any:
    return rows**exponent


class Slots:
    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value


class Named(dict[str, float]):
    factor = 1.0


def traced(factor: float) -> Any:
    class Scale(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs * factor

    return fx.symbolic_trace(Scale())


def scripted(factor: float) -> Any:
    net = nn.Sequential(nn.LeakyReLU(factor))
    return torch.jit.trace(net, torch.ones(2))  # type: ignore[no-untyped-call]


def named(factor: float) -> Any:
    made = Named(a=1.0)
    made.factor = factor
    return made


def made_class(factor: float) -> Any:
    return type("Made", (), {"__call__": lambda self, rows: rows * factor})()


KINDS: dict[str, Callable[[float], Any]] = {
    "partial": lambda value: functools.partial(power, value),
    "keyword of a partial": lambda value: functools.partial(power, exponent=value),
    "cached function": lambda value: functools.lru_cache(lambda rows: rows * value),
    "item": lambda value: operator.itemgetter(value),
    "bound method of a dict": lambda value: {"a": value}.get,
    "slots": Slots,
    "attribute of a dict": named,
    "fx graph": traced,
    "script": scripted,
    "class made here": made_class,
    "complex tensor": lambda value: torch.tensor([1j * value]),
    "sparse tensor": lambda value: torch.tensor([0.0, value]).to_sparse(),
    "random generator": lambda value: np.random.default_rng(int(value)),
    "set": lambda value: {"b", "a", value},
    "long list": lambda value: [*range(1000), value],
}


@pytest.mark.parametrize("kind", KINDS)
def test_objects_of_every_kind_count_by_what_they_hold(kind: str) -> None:
    make = KINDS[kind]
    assert identity_of(make(2.0)) == identity_of(make(2.0)) != identity_of(make(3.0))


def test_the_order_of_the_layers_counts_and_the_order_of_a_dict_does_not() -> None:
    first, second = nn.Linear(2, 2), nn.ReLU()
    assert identity_of(nn.Sequential(first, second)) != identity_of(nn.Sequential(second, first))
    assert identity_of({"a": 1, "b": 2}) == identity_of({"b": 2, "a": 1})


def test_a_long_chain_of_objects_has_an_identity() -> None:
    chain: list[Any] = []
    for _ in range(5000):
        chain = [chain]
    assert identity_of(chain) == identity_of(chain)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4) | st.tuples(inner),
    max_leaves=12,
)


@given(values, values)
@settings(max_examples=60, deadline=None)
def test_values_have_one_identity_exactly_where_they_are_written_alike(one: Any, other: Any) -> None:
    assert (identity_of(one) == identity_of(other)) == (repr(_ordered(one)) == repr(_ordered(other)))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value, key=repr)}
    return type(value)(map(_ordered, value)) if isinstance(value, (list, tuple)) else value


class Counting:
    def __init__(self) -> None:
        self.calls, self.factor = 0, 1.0

    def __call__(self, rows: Any) -> Any:
        self.calls += 1
        return rows * self.factor


def test_what_a_run_changes_in_an_object_is_no_other_object_and_what_the_user_changes_is() -> None:
    teacher = Counting()
    with using(teacher):
        first = given_identity(teacher)
        teacher(1.0)
        assert given_identity(teacher) == first
    assert given_identity(teacher) == first == given_identity(Counting())
    teacher.factor = 2.0
    assert given_identity(teacher) != first


IN_ANOTHER_PROCESS = """
import tests.teachers.test_identity as t
from stillhouse.teachers.identity import identity_of
print(*(identity_of(make(2.0)) for make in t.KINDS.values()), identity_of(t.shifted()))
"""


@pytest.mark.slow
def test_another_process_finds_the_same_identities() -> None:
    done = subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*(identity_of(make(2.0)) for make in KINDS.values()), identity_of(shifted())]
