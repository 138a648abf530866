"""The reference pages say what the code says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from benchmarks.reference.commands import commands
from benchmarks.reference.pages import FOLDER, pages
from benchmarks.reference.recipe import Key, default_of, example_of, examples, range_of, tables

from stillhouse import methods, recipe, students
from stillhouse.pipeline import Run
from stillhouse.settings import in_words
from tests.documents.blocks import ROOT

NAMED = ("method", "assistant", "teacher.member")
LISTS: dict[str, dict[str, object]] = {
    "made": {"name": "strokes", "count": 96},
    **{path: {"name": "mlp_large"} for path in NAMED},
}
KEYS = [key for _, _, keys in tables() for key in keys]


@pytest.mark.parametrize("name", pages())
def test_no_page_is_stale(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name], "run: python -m benchmarks.reference"


def test_the_readme_links_every_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in FOLDER.glob("*.md"):
        assert f"(docs/reference/{path.name})" in text


def nested(key: Key) -> dict[str, object]:
    """A recipe of the example of one key alone; tables of a list need some keys."""
    inner: Any = {key.name: example_of(key)}
    path = key.path
    while path:
        path, _, part = path.rpartition(".")
        if least := LISTS.get(f"{path}.{part}".strip(".")):
            inner = [{**least, **inner}]
        inner = {part: inner}
    table: dict[str, object] = inner
    return table


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key.path}.{key.name}")
def test_the_example_of_every_key_is_a_recipe_and_not_its_default(key: Key) -> None:
    recipe.parse(nested(key))
    assert example_of(key) != key.field.get_default()


def test_no_example_is_of_a_key_that_is_not_there() -> None:
    known = {f"{key.path}.{key.name}" for key in KEYS}
    told = {f"{path}.{name}" for path, table in walk(examples()) for name in table}
    assert told <= known


def walk(table: dict[str, object], path: str = "") -> list[tuple[str, dict[str, object]]]:
    """The tables of nested examples that hold keys: those known to the recipe."""
    inner = {name: value for name, value in table.items() if isinstance(value, dict)}
    places = {path for path, _, _ in tables()}
    found = [(path, {n: v for n, v in table.items() if f"{path}.{n}" not in places})] if path else []
    for name, value in inner.items():
        place = f"{path}.{name}" if path else name
        if place in places:
            found += walk(value, place)
    return found


def test_types_defaults_and_ranges_are_those_that_the_recipe_keeps_to() -> None:
    fields = {f"{key.path}.{key.name}": key.field for key in KEYS}
    assert in_words(fields["data.labels"].annotation) == 'whole number or `"all"`'
    assert range_of(fields["data.labels"]) == "at least 1"
    assert (range_of(fields["data.test"]), default_of(fields["data.test"])) == ("at least 0 and below 1", "`0.2`")
    assert in_words(fields["student.derive.layers"].annotation) == "whole number or list of whole numbers"
    assert default_of(fields["method.name"]) == "required"


def test_every_net_command_and_method_door_stands_on_its_page() -> None:
    nets = (FOLDER / "nets.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in nets for name in [*students.names(), *students.FITTED])
    listed = (FOLDER / "commands.md").read_text(encoding="utf-8")
    assert [f"### `{typed}`" in listed for typed, _ in commands()].count(False) == 0
    assert "stillhouse embed" not in listed
    assert methods.names()


def test_every_file_of_a_real_run_stands_on_the_page_of_the_run_folder(finished: Run) -> None:
    text = (FOLDER / "run-folder.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([\w.]+)[/`]", text))
    missing = {path.name for path in finished.folder.iterdir()} - told
    assert not missing


def test_every_arm_of_a_real_run_stands_there_too(finished: Run) -> None:
    text = (FOLDER / "run-folder.md").read_text(encoding="utf-8")
    assert all(f"`{arm}`" in text for arm in finished.scores["models"])
