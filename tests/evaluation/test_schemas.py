"""The schemas that ship are strict, and the files of runs keep to them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from torch import nn

from stillhouse.pipeline import Run, distill, evaluate
from stillhouse.recipe import read
from tests.pipeline.knowing import Knowing, make_data
from tests.pipeline.recipes import write_recipe

NAMES = ("explanation", "full")


def schema(name: str) -> dict[str, Any]:
    text = files("stillhouse.evaluation").joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def keeps_to_it(name: str, told: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema(name)).is_valid(told))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Images, two seeds, judged in full."""
    torch.set_num_threads(1)
    done = distill(read(write_recipe(tmp_path_factory.mktemp("run"))))
    evaluate(done.folder, full=True)
    return done


def told_by(run: Run, name: str) -> Any:
    return json.loads((run.folder / f"{name}.json").read_text(), parse_constant=lambda word: pytest.fail(word))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_images_keeps_to_the_schema(run: Run, name: str) -> None:
    jsonschema.Draft202012Validator(schema(name)).validate(told_by(run, name))


def test_a_run_of_the_users_own_nets_with_one_seed_keeps_to_both(tmp_path: Path) -> None:
    x, y = make_data()
    data, teacher, student = ((x[:300], y[:300]), None, (x[300:], y[300:])), Knowing([0, 1, 2]), nn.Linear(4, 3)
    run = distill(
        teacher=teacher, student=student, data=data, out=tmp_path / "run", recipe={"evaluation": {"resamples": 100}},
        steps=20, batch_size=32, seeds=[0],
    )  # fmt: skip
    evaluate(run.folder, full=True, teacher=teacher, student=student, data=data)
    for name in NAMES:
        jsonschema.Draft202012Validator(schema(name)).validate(told_by(run, name))


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


def objects(part: Any) -> Iterator[dict[str, Any]]:
    """Every schema of an object in a schema."""
    if isinstance(part, dict):
        if part.get("type") == "object":
            yield part
        for value in part.values():
            yield from objects(value)
    elif isinstance(part, list):
        for value in part:
            yield from objects(value)


@pytest.mark.parametrize("name", NAMES)
def test_every_object_says_which_keys_it_has_or_what_stands_under_any(name: str) -> None:
    found = list(objects(schema(name)))
    assert found
    for part in found:
        assert part["additionalProperties"] is False or isinstance(part["additionalProperties"], dict)


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each dictionary of a JSON value stands; of a list, the first entry."""
    if isinstance(value, dict):
        yield above
        for key, part in value.items():
            yield from paths(part, (*above, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*above, 0))


@pytest.mark.parametrize("name", NAMES)
def test_a_key_too_many_is_refused_wherever_it_stands(run: Run, name: str) -> None:
    told = told_by(run, name)
    for path in paths(told):
        spoilt = copy.deepcopy(told)
        place = spoilt
        for key in path:
            place = place[key]
        place["surplus"] = "nowhere in the schema"
        assert not keeps_to_it(name, spoilt), path


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_figure_is_refused(run: Run, name: str) -> None:
    told = told_by(run, name)
    for key in told:
        assert not keeps_to_it(name, {k: v for k, v in told.items() if k != key})


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("explanation", ("surrogate", "fidelity", "value"), 1.5),
        ("explanation", ("surrogate", "rules"), None),
        ("explanation", ("taught", "rows", 0, "row"), -1),
        ("explanation", ("taught", "held_out"), "train"),
        ("explanation", ("class_similarity", "off_diagonal", "teacher"), "0.1"),
        ("full", ("robustness", 0, "severity"), 6),
        ("full", ("robustness", 0, "accuracy", "teacher", "high"), None),
        ("full", ("outsiders", 0, "auroc", "teacher", "value"), 1.01),
        ("full", ("confidence",), 95),
        ("full", ("schema",), 2),
    ],
)
def test_a_wrong_figure_is_refused(run: Run, name: str, path: tuple[Any, ...], value: Any) -> None:
    told = told_by(run, name)
    assert keeps_to_it(name, told)
    place = told
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not keeps_to_it(name, told)
