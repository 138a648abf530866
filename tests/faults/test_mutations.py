"""Every table of a run folder with a wrong value in it: the file is named, at exit 2, 4 or 5."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.shell import run

COMMANDS = (
    *("report {run}", "evaluate {run}", "check {run} --gate {gate}", "predict {run} {rows}"),
    *("compare {run} {run} --csv", "export {run} --format safetensors"),
)
READ_BY = {
    "run.json": (0, 1, 2, 3, 4, 5),
    "scores.json": (0, 2, 4),
    "costs.json": (0, 1),
    "student/model.json": (3, 5),
}
VALUES: list[Any] = [
    None, [], {}, "", "x", -1, 0, 10**30, 1e308, True, "\0", "\u202e", [[]], {"a": {}}, "x" * 100_000, [None] * 3,
]  # fmt: skip


def deep(depth: int = 5000) -> str:
    return "[" * depth + "]" * depth


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value of a table."""
    yield before
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*before, key))


def mutated(table: Any, draw: random.Random) -> Any:
    """The table with one value replaced, or one key removed."""
    found = json.loads(json.dumps(table))
    path = draw.choice([place for place in places(found) if place])
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    if draw.random() < 0.25 and isinstance(inner, dict):
        del inner[path[-1]]
    else:
        inner[path[-1]] = draw.choice(VALUES)
    return found


def unsealed(folder: Path) -> None:
    """Without its hashes, as a folder of the first version is, so that the readers themselves are tried."""
    (folder / "hashes.json").unlink(missing_ok=True)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"version": 1}))


@pytest.fixture(scope="module")
def room(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run that mutations come into and go out of."""
    folder = tmp_path_factory.mktemp("mutations")
    shutil.copytree(finished.parent, folder, dirs_exist_ok=True)
    unsealed(folder / "run")
    (folder / "gate.toml").write_text("max_accuracy_loss = 0.9\n")
    return folder


def tried(room: Path, name: str, content: str, commands: Iterator[str] | tuple[str, ...]) -> None:
    """Run commands with another content of a file, and put the old one back."""
    file = room / "run" / name
    before = file.read_bytes()
    others = {path: path.read_bytes() for path in (room / "run").glob("*") if path.is_file()}
    file.write_text(content, encoding="utf-8", errors="surrogatepass")
    try:
        for command in commands:
            words = command.format(run=room / "run", gate=room / "gate.toml", rows=room / "rows.csv")
            code, _, err = run(words)
            assert "unexpected" not in err, (words, name, content[:300], err)
            assert code in (0, 2, 3, 4, 5), (words, name, content[:300], err)
            if code in (4, 5):
                assert str(room / "run") in err, (words, err)
    finally:
        for path, old in others.items():
            path.write_bytes(old)
        file.write_bytes(before)


def seeds(count: int) -> settings:
    return settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.fault("F18", "a JSON file of a run with a wrong type, a missing key, or a nesting without end", exit=5)
@pytest.mark.parametrize("name", READ_BY)
def test_a_file_that_is_no_table_is_named(name: str, room: Path) -> None:
    command = COMMANDS[READ_BY[name][0]]
    for content in ("[]", "{}", "", "nul", "\0", deep(), '{"schema": 1, "schema": 2}'):
        tried(room, name, content, (command,))


@pytest.mark.slow
@pytest.mark.parametrize("name", READ_BY)
@seeds(40)
@given(seed=st.integers(0, 2**32))
def test_a_mutated_table_is_never_unexpected(name: str, room: Path, seed: int) -> None:
    draw = random.Random(seed)
    table = json.loads((room / "run" / name).read_text())
    command = COMMANDS[draw.choice(READ_BY[name])]
    tried(room, name, json.dumps(mutated(table, draw)), (command,))


@pytest.mark.slow
@pytest.mark.fault("F18", "a recipe or a gate with a wrong type, a missing key, or a nesting without end", exit=2)
@seeds(60)
@given(seed=st.integers(0, 2**32))
def test_a_mutated_recipe_is_refused_by_name(seed: int, room: Path) -> None:
    import tomllib

    draw = random.Random(seed)
    table = tomllib.loads((room / "run" / "recipe.toml").read_text())
    try:
        text = tomli_w.dumps(mutated(table, draw))
    except (TypeError, ValueError, AttributeError):  # TOML has no null
        return
    (room / "recipe.toml").write_text(text, encoding="utf-8", errors="surrogatepass")
    code, _, err = run(f"distill {room / 'recipe.toml'} --print-recipe")
    assert code in (0, 2), err
    assert "unexpected" not in err
    assert len(err) < 6000


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000, "\0", "a = 1" + "0" * 10_000, "[data]\n" * 3, "\udc80", "a.b = 1\na = 2", "=", "[[data]]"],
)
def test_a_recipe_or_gate_that_is_no_toml_is_refused_by_name(text: str, room: Path) -> None:
    file = room / "odd.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    for command in (f"distill {file}", f"plan {file}", f"check {room / 'run'} --gate {file}"):
        code, _, err = run(command)
        assert code == 2, err
        assert str(file) in err or text == "[[data]]"
