"""The schemas of scores.json that ship, and whether scores keep to them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
from referencing import Registry, Resource


def schema(package: str, name: str = "scores") -> dict[str, Any]:
    """A schema file of a package."""
    found: dict[str, Any] = json.loads(files(package).joinpath(f"{name}.schema.json").read_text(encoding="utf-8"))
    return found


def validator(task: str) -> jsonschema.Draft202012Validator:
    """Of a task's scores: its own schema, which refers to what every task has."""
    shared, own = schema("stillhouse.evaluation"), schema(f"stillhouse.tasks.{task}")
    for one in (shared, own):
        jsonschema.Draft202012Validator.check_schema(one)
    registry: Registry[Any] = Registry().with_resource(shared["$id"], Resource.from_contents(shared))
    return jsonschema.Draft202012Validator(own, registry=registry)


def keep_to_schema(task: str, scores: dict[str, Any]) -> None:
    """Raise unless the scores survive JSON without NaN and keep to the schemas."""
    validator(task).validate(json.loads(json.dumps(scores, allow_nan=False)))
