"""From a recipe to what a run of embedders is made of: texts without labels, a ready embedder, and who learns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse import methods
from stillhouse.data import Prepared, Rows, Source, prepare
from stillhouse.data.reading.files import read_text_inputs
from stillhouse.data.splits.duplicates import across
from stillhouse.errors import UsageError
from stillhouse.methods.base import Method
from stillhouse.pipeline.context import Ingredients
from stillhouse.pipeline.setup import contents, divide, make_methods, make_views, read_source, rows_folder
from stillhouse.pipeline.student.factory import make_students
from stillhouse.pipeline.teacher.build import text_options
from stillhouse.recipe import MethodEntry, Recipe
from stillhouse.students import is_fitted
from stillhouse.taps import EMBEDDING
from stillhouse.tasks.embedding.teacher import hub_teacher, width_of

WHOLE = "."  # the tap path of what the student gives: the vector that ships
DEFAULT = MethodEntry.model_validate({"name": "embedding", "weight": 1.0, "distance": "cosine"})


class Gathered(NamedTuple):
    """What the stages need."""

    have: Ingredients
    teacher: nn.Module
    width: int  # D of the teacher's vectors, and of the students'
    labels: Tensor  # int64 (N,) of the held-out texts, -1 where there is none; nothing but the judgement sees them
    warnings: list[str]


def settled(recipe: Recipe) -> Recipe:
    """The recipe with what a run of embedders fixes: no label trains, no text is set aside for choosing.

    Raises:
        UsageError: it asks for what embedders do not have.
    """
    for what, there in (
        ("[[assistant]]", bool(recipe.assistant)),
        ("[teacher] generations", recipe.teacher.generations > 1),
        ("[teacher] folds", recipe.teacher.folds is not None),
        ("[training] disagreement", recipe.training.disagreement > 0),
        ("[store] codec", recipe.store.codec != "dense"),
        ('[training] keep = "best"', recipe.training.keep == "best"),
    ):
        if there:
            raise UsageError(f"{what} has no meaning for embedders, which have no classes. Take it out of the recipe.")
    if recipe.data.text is None:
        raise UsageError('Embedders are distilled on texts. Name a file of them: `[data] text = "texts.csv"`.')
    entries = recipe.method if "method" in recipe.model_fields_set else [DEFAULT]
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"valid": 0.0}),
            "training": recipe.training.model_copy(update={"label_weight": 0.0}),
            "method": list(entries),
        }
    )


def gather_embedding(recipe: Recipe, *, allow_code: bool = False) -> Gathered:
    """Read the texts, draw what is held out, load the teacher, and find who learns.

    Args:
        recipe: from ``settled``.
        allow_code: whether ``python:`` names may be run.

    Raises:
        UsageError: the recipe names what does not exist or does not fit embedders.
        RejectedError: texts or teacher cannot be used.
    """
    teacher, source = hub_teacher(recipe.teacher), read_all(recipe)
    drawn = divide(source, recipe.data)
    found = prepare(source, drawn, text_options(recipe.data, recipe.teacher), rows_folder(recipe))
    labels = found.test.targets if recipe.data.target is not None else torch.full_like(found.test.targets, -1)
    data = unlabelled(found)
    width = width_of(teacher, data.train.inputs)
    section = recipe.student
    made = make_students(
        section,
        None,
        shape=tuple(data.train.inputs.shape[1:]),
        classes=width,
        vocabulary=getattr(data.encoder, "vocabulary", None),
        allow_code=allow_code,
    )
    if is_fitted(str(made.card.get("name"))):
        raise UsageError(f"[student] name = {section.name!r} is fitted to classes. Take a net of texts.")
    made.probe = data.train.inputs[:64]
    parts = {"data": source.fingerprint(), "task": "embedding"} | contents(recipe)
    have = Ingredients(data, make_views(recipe, data), made, maker(recipe.method), None, parts)
    return Gathered(have, teacher, width, labels, across(source, drawn).sentences())


def read_all(recipe: Recipe) -> Source:
    """The texts; with labels where [data] target names their column, which then also balance what is held out."""
    if recipe.data.target is not None:
        return read_source(recipe.data, on_disk=rows_folder(recipe))
    path = Path(str(recipe.data.text))
    raw = read_text_inputs(path, recipe.data.column, header=recipe.data.header)
    return Source(raw, np.zeros(len(raw), np.int64), ("text",), "text", path.stem, ())


def unlabelled(found: Prepared) -> Prepared:
    """The same rows with every label withheld."""
    parts = {
        name: Rows(rows.inputs, torch.full_like(rows.targets, -1))
        for name, rows in (("train", found.train), ("valid", found.valid), ("test", found.test))
    }
    return replace_rows(found, parts)


def replace_rows(found: Prepared, parts: dict[str, Rows]) -> Prepared:
    """The same data with other rows under some names."""
    split = replace(found.split, labelled=found.split.train[:0])
    return found._replace(split=split, **parts)  # type: ignore[arg-type]


def maker(entries: Sequence[MethodEntry]) -> Callable[[], list[tuple[str, Method, float]]]:
    """Makes the methods, each told to match what the student gives.

    Raises:
        UsageError: a method that matches something else than embeddings.
    """
    placed = [_placed(entry) for entry in entries]
    return lambda: make_methods(placed)


def _placed(entry: MethodEntry) -> MethodEntry:
    kind: Any = methods.get(entry.name)
    accepts = inspect.signature(kind.__init__).parameters
    if set(kind.needs) != {EMBEDDING} or not {"student_layer", "teacher_layer"} <= set(accepts):
        raise UsageError(
            f"[[method]] name = {entry.name!r} matches something else than vectors, and an embedder has no more. "
            'Write `name = "embedding"`, or one of rkd, pkt, similarity.'
        )
    if {"student_layer", "teacher_layer"} & set(entry.settings):
        raise UsageError(
            f"[[method]] {entry.name!r}: what is matched are the vectors that ship. Take out student_layer and "
            "teacher_layer."
        )
    settings = entry.settings | {"student_layer": WHOLE, "teacher_layer": EMBEDDING}
    return MethodEntry.model_validate({"name": entry.name, "weight": entry.weight} | settings)
