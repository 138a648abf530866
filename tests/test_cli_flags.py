"""The flags of the shell and a recipe's file say the same thing."""

import os
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from stillhouse import recipe
from tests.shell import process, run


def leaves(model: type[BaseModel], path: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{path}{name}.")
        else:
            yield path + name


def test_every_key_of_the_recipe_is_a_flag_with_its_help() -> None:
    out, _ = process("distill --help", env=os.environ | {"COLUMNS": "240"}).communicate()
    words = out.split()
    assert {f"--{path.replace('_', '-')}" for path in leaves(recipe.Recipe)} <= set(words)
    assert "Peak learning rate of AdamW; one-cycle cosine." in out


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "data.name": st.sampled_from(["digits", "mnist5k"]),
    "data.labels": st.integers(1, 500) | st.just("all"),
    "data.header": st.booleans(),
    "data.drop": st.lists(st.sampled_from(["a", "b c", "-d"]), min_size=1, max_size=3),
    "teacher.labels": st.sampled_from(["same", "all", 7]),
    "teacher.training.lr": st.floats(1e-6, 1.0),
    "training.seeds": st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
    "training.batch_size": st.integers(1, 999),
    "views.policy": st.sampled_from(["none", "shift", "noise"]),
    "controls.all_labels": st.booleans(),
    "student.settings.hidden": st.lists(st.integers(1, 64), min_size=1, max_size=3),
    "student.settings.dropout": st.floats(0.0, 0.9),
    "data.types.age": st.sampled_from(["numeric", "categorical"]),
}


def as_flags(path: str, value: Any) -> list[str]:
    flag = "--" + path.replace("_", "-") if "settings" not in path else "--" + path
    if isinstance(value, bool):
        section, _, name = flag.rpartition(".")
        return [flag if value else f"{section}.no-{name}"]
    if isinstance(value, list) and "settings" not in path:
        return [f"{flag}={item}" for item in value]
    return [f"{flag}={value}"]


def as_table(chosen: dict[str, Any]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for path, value in chosen.items():
        *sections, key = path.split(".")
        at = table
        for section in sections:
            at = at.setdefault(section, {})
        at[key] = value
    return table


@given(st.fixed_dictionaries({}, optional=FIELDS))
@settings(max_examples=25, deadline=None)
@pytest.mark.slow
def test_flags_and_file_say_the_same_thing(tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, Any]) -> None:
    file = tmp_path_factory.getbasetemp() / "recipe.toml"
    file.write_text(tomli_w.dumps(as_table(chosen)))
    flags = [flag for path, value in chosen.items() for flag in as_flags(path, value)]
    by_flags, by_file = run(shlex.join(["distill", "--print-recipe", *flags])), run(f"distill --print-recipe {file}")
    assert by_flags == by_file
    assert by_flags[0] == 0
    assert recipe.parse(tomllib.loads(by_flags[1])) == recipe.parse(as_table(chosen))


def test_a_list_in_one_word_is_the_list_that_a_recipe_would_have() -> None:
    typed = [
        "distill", "--print-recipe", "--data.classes", '["a b", "c"]', "--data.target", '["x", "y"]',
        "--training.seeds", "[3, 4]", "--data.drop", "[odd", "--store.codec", "topk:2",
    ]  # fmt: skip
    code, out, _ = run(shlex.join(typed))
    table = tomllib.loads(out)
    assert code == 0
    assert (table["data"]["classes"], table["data"]["target"]) == (["a b", "c"], ["x", "y"])
    assert (table["training"]["seeds"], table["data"]["drop"]) == ([3, 4], ["[odd"])


@pytest.mark.parametrize("words", ["false", "=false", "False", None])
def test_a_switch_takes_true_and_false_as_other_keys_take_their_values(words: str | None) -> None:
    flag = "--controls.no-all-labels" if words is None else f"--controls.all_labels {words}".replace(" =", "=")
    code, out, err = run(f"distill {flag} --data.classes true false --print-recipe")
    assert (code, err) == (0, "")
    assert tomllib.loads(out)["controls"]["all_labels"] is False
    assert tomllib.loads(out)["data"]["classes"] == ["true", "false"]


def test_flags_win_over_the_file_and_leave_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text('[data]\nname = "digits"\nlabels = 50\n[training]\nsteps = 7\n')
    _, out, _ = run(f"label {file} --data.labels 60 --training.batch-size 8 --print-recipe")
    table = tomllib.loads(out)
    assert (table["data"]["name"], table["data"]["labels"]) == ("digits", 60)
    assert (table["training"]["steps"], table["training"]["batch_size"]) == (7, 8)


def test_method_flags_become_the_methods_in_their_order() -> None:
    fitnet = "--method 'fitnet, weight=2, student_layer=blocks.0, teacher_layer=blocks.1'"
    _, out, _ = run(
        f"distill --print-recipe --method hinton,weight=0.5,temperature=4 {fitnet} --method 'x,layers=[1,2]'"
    )
    assert tomllib.loads(out)["method"] == [
        {"name": "hinton", "weight": 0.5, "temperature": 4},
        {"name": "fitnet", "weight": 2.0, "student_layer": "blocks.0", "teacher_layer": "blocks.1"},
        {"name": "x", "weight": 0.9, "layers": [1, 2]},
    ]
