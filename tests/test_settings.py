"""Settings of methods, nets and teachers are checked by one mechanism, from their signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse import methods, students
from stillhouse.errors import UsageError
from stillhouse.settings import check_settings, fits, parameters
from stillhouse.students.zoo import NETS

BUILDERS: dict[str, Callable[..., Any]] = {
    **{name: methods.get(name) for name in methods.names()},
    **NETS,
    **students.FITTED,
}
SETTINGS = [
    (what, key)
    for what, build in BUILDERS.items()
    for key in parameters(build)
    if key not in ("shape", "outputs")
]  # fmt: skip
WRONG: dict[Any, list[Any]] = {
    int: ["4", 3.5, [1], True, {}], float: ["4", [1, 2, 4], True, {}], bool: ["yes", 1, [True]],
    str: [3, ["max"], True],
}  # fmt: skip


def hint(what: str, key: str) -> Any:
    build: Any = BUILDERS[what]
    return get_type_hints(vars(build)["__init__"] if isinstance(build, type) else build)[key]


@pytest.mark.parametrize(("what", "key"), SETTINGS)
def test_every_setting_takes_its_default_and_refuses_another_type(what: str, key: str) -> None:
    build, kind = BUILDERS[what], hint(what, key)
    default = parameters(build)[key].default
    if default is not parameters(build)[key].empty:
        assert fits(default, kind)
    plain = next((one for one in WRONG if kind in (one, one | None)), None)
    others = [7.5] if "Method" in str(kind) else WRONG[plain] if plain else ["one", {"a": 1}, 7.5]
    required: dict[str, Any] = {k: [] for k, p in parameters(build).items() if p.default is p.empty}
    for value in others:
        with pytest.raises(UsageError, match=f"{key} = .* is of the wrong type"):
            check_settings(f"The net {what!r}", build, {key: value, **{k: v for k, v in required.items() if k != key}})


@given(st.sampled_from(SETTINGS), st.text(min_size=1, max_size=12))
def test_a_name_that_is_no_setting_is_refused_and_only_settings_are_proposed(at: tuple[str, str], name: str) -> None:
    build = BUILDERS[at[0]]
    if name in parameters(build):
        return
    with pytest.raises(UsageError, match="has no setting") as told:
        check_settings("It", build, {name: 1})
    message = str(told.value)
    assert "Did you mean" not in message or any(repr(key) in message for key in parameters(build))


@given(st.floats() | st.integers() | st.builds(np.float32, st.floats(width=32)))
def test_every_number_is_a_number(value: Any) -> None:
    assert fits(value, float)
    assert not fits(str(value), float)


@given(st.lists(st.integers(-9, 9)))
def test_a_list_fits_however_python_holds_it(values: list[int]) -> None:
    for made in (values, tuple(values), np.array(values, np.int64)):
        assert fits(made, tuple[int, ...])
    assert not fits(values, int)


def test_a_function_with_open_arguments_takes_any_name_and_checks_the_types_it_states() -> None:
    def build(shape: tuple[int, ...], *, width: int = 3, **more: Any) -> None: ...

    check_settings("It", build, {"shape": [1], "anything": "goes"})
    with pytest.raises(UsageError, match=r"width = 'wide' is of the wrong type; expected: whole number. Write `width"):
        check_settings("It", build, {"shape": [1], "width": "wide"})
    with pytest.raises(UsageError, match="It needs shape: add the line"):
        check_settings("It", build, {})
