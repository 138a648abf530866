"""The whole recipe: read from TOML, checked, written back, and hashed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import tomli_w
import xxhash
from pydantic import BaseModel, Field, ValidationError

from stillhouse.errors import UsageError, nearest
from stillhouse.plain_text import is_secret_name, secret_place
from stillhouse.recipe.base import Section
from stillhouse.recipe.made import MadeEntry
from stillhouse.recipe.sections import (
    Assistant,
    Controls,
    Data,
    Evaluation,
    MethodEntry,
    Output,
    Store,
    StudentSection,
    TaskSection,
    TeacherSection,
    Views,
)
from stillhouse.recipe.training import BATCH, OnPolicy, StudentTraining, Training
from stillhouse.toml_tables import MADE_PATHS, PATHS, anchor, read_table

# What a key that is not given counts as in a digest: its default when it had one, so that older runs are resumed.
NOT_GIVEN = {'"batch_size"': BATCH, '"count"': 1, '"strength"': 2.0}
PROCESSES = ("devices", "nodes", "timeout")  # they change no weight where the slices stay the same
_VARIABLE = re.compile(
    r"(?!.{20,}$)[A-Za-z_][A-Za-z0-9_]*|[A-Z_][A-Z0-9_]*"
)  # a long name in small letters may be a key
CEILINGS = {"max_calls", "max_cost", "concurrency", "api_key_env", "allow_http"}


class Recipe(Section):
    """A whole run."""

    task: TaskSection = TaskSection()
    data: Data = Data()
    made: list[MadeEntry] = Field([], description="Rows that are made, where there are no data or hardly any.")
    views: Views = Views()
    teacher: TeacherSection = TeacherSection()
    assistant: list[Assistant] = Field([], description="A chain of sizes, largest first (teacher assistants).")
    student: StudentSection = StudentSection()
    method: list[MethodEntry] = Field([], description="What is matched; default: the task's own.")
    training: StudentTraining = StudentTraining()
    on_policy: OnPolicy = OnPolicy()
    store: Store = Store()
    controls: Controls = Controls()
    evaluation: Evaluation = Evaluation()
    output: Output = Output()

    def trainings(self) -> dict[str, Training]:
        """The budgets of all nets that are trained, by the name of their table."""
        found: dict[str, Training] = {"training": self.training, "teacher.training": self.teacher.training}
        found |= {f"teacher.member.{i}.training": one.training for i, one in enumerate(self.teacher.member)}
        own = {f"assistant.{i}.training": one.training for i, one in enumerate(self.assistant)}
        return found | {name: training for name, training in own.items() if training is not None}

    def toml(self) -> str:
        """The recipe as TOML with every default written out; reading it gives an equal recipe."""
        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))

    def absolute(self) -> Recipe:
        """The same recipe with absolute paths; relative ones start at the working directory."""
        table = _without_none(self.model_dump(mode="json"))
        anchor(table, Path.cwd())
        return Recipe.model_validate(table)

    def digest(self) -> str:
        """Hash of all settings that change a run; paths do not count, the contents of files are hashed beside it."""
        places = {section: set(keys) for section, keys in PATHS.items() if "." not in section}
        aside: dict[str, Any] = {"output": True, "store": {"dir", "cache", "part_bytes"}} | places
        aside["training"] = {"workers", *PROCESSES} | ({"slices"} if self.training.parts is None else set())
        if self.training.order == "rows":  # keys that were not there before: older runs are resumed
            aside["training"].add("order")
        # A ceiling may be raised when a stopped run is resumed: earlier answers stay the same.
        aside["evaluation"] = {"max_duplicates"}
        aside["data"] = {*places["data"], "on_disk"}
        if self.data.rows is None:
            aside["data"].add("rows")
        if self.data.corpus is None and self.data.chat is None:
            aside["data"] |= {"context", "packing", "loss_on"}
            aside["training"].add("text_weight")
        if self.on_policy.steps is None:
            aside["on_policy"] = True
        elif self.on_policy.writer == "student":  # keys that were not there before
            aside["on_policy"] = {"writer", "labels"}
        if self.student.derive.vocabulary is None:
            aside["student"] = dict.fromkeys(places["student"], True) | {"derive": {"vocabulary"}}
        aside["made"] = {"__all__": {*MADE_PATHS}} if self.made else True
        if self.views.keeps_label is None:
            aside["views"] = {*places["views"], "keeps_label"}
        if self.task == TaskSection():
            aside["task"] = True  # so that runs from before there were tasks are resumed
        of_tokens = ("dtype",) if self.teacher.dtype == "float32" else ()
        aside["teacher"] = dict.fromkeys((*places["teacher"], "accept_drift", *of_tokens), True) | {
            "endpoint": {*CEILINGS, *PATHS["teacher.endpoint"]}
        }
        text = self.model_dump_json(exclude=aside)
        text = text.replace('"slices":null', f'"slices":{self.training.parts}')
        for key, before in NOT_GIVEN.items():
            text = text.replace(f"{key}:null", f"{key}:{before}")
        return xxhash.xxh3_64_hexdigest(text.encode())


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value


def parse(table: dict[str, Any], where: str = "the recipe") -> Recipe:
    """Check a table of settings; an error names the first wrong key or value, its place, and the nearest known key."""
    refuse_secrets(table, where)
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise UsageError(_explain(error, where)) from None


def refuse_secrets(table: Mapping[str, Any], where: str) -> None:
    """Refuse settings that hold a key or a password: the recipe is written into the run folder and the report.

    Raises:
        UsageError: names the place, never the secret.
    """
    cure = "Remove it, and put the key into the environment variable that [teacher.endpoint] api_key_env names."
    if (found := secret_place(table)) is not None:
        raise UsageError(f"{where}: {found[0]} holds {found[1]}, which would be written into the run. {cure}")
    endpoint = table["teacher"].get("endpoint") if isinstance(table.get("teacher"), Mapping) else None
    if not isinstance(endpoint, Mapping):
        return
    extra = endpoint.get("extra")
    names = [name for name in extra if is_secret_name(str(name)) and extra[name]] if isinstance(extra, Mapping) else []
    if names:
        raise UsageError(f"{where}: teacher.endpoint.extra.{names[0]} would be written into the run. {cure}")
    variable = endpoint.get("api_key_env")
    if isinstance(variable, str) and variable and not _VARIABLE.fullmatch(variable):
        raise UsageError(
            f"{where}: teacher.endpoint.api_key_env must be the name of an environment variable, not the key itself "
            '(which is not shown here). Write `api_key_env = "OPENAI_API_KEY"` and `export OPENAI_API_KEY=...`.'
        )


def read(path: Path) -> Recipe:
    """Read and check a recipe file; relative paths start at the recipe's folder."""
    return parse(read_table(path), str(path))


def _explain(error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    path = [str(p) for p in first["loc"]]
    place = ".".join(path)
    if first["type"] == "extra_forbidden":
        table = "".join(f"{key}." for key in path[:-1])
        return f"{where}: unknown key {place!r}.{nearest(path[-1], _keys(path[:-1]), table)} Rename or remove it."
    more = f" ({len(error.errors()) - 1} further problems follow this one.)" if len(error.errors()) > 1 else ""
    given = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    says = first["msg"].removeprefix("Value error, ")  # pydantic's own word before what a check here says
    end = "" if says.endswith((".", "?")) else "."
    return f"{where}: {place or 'recipe'}{given}: {says}{end}{more} Fix that line and run again."


def _keys(path: list[str]) -> list[str]:
    """Known keys of the table at a path of the recipe."""
    model: type[BaseModel] = Recipe
    for key in path:
        if key.isdecimal():  # the number of a table in a list
            continue
        annotation = model.model_fields[key].annotation if key in model.model_fields else None
        tables = [one for one in (annotation, *get_args(annotation)) if inspect.isclass(one)]
        model = next((one for one in tables if issubclass(one, BaseModel)), MethodEntry)
        if model in (MethodEntry, MadeEntry):  # takes any key
            return []
    return list(model.model_fields)
