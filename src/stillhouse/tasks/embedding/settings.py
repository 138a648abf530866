"""Fixed settings of a run of embedders: no labels in training, no validation texts, and methods that match vectors."""

from __future__ import annotations

import inspect
from typing import Any

from stillhouse import methods
from stillhouse.errors import UsageError
from stillhouse.recipe import MethodEntry, Recipe
from stillhouse.taps import EMBEDDING

WHOLE = "."  # the tap path of a net's whole output: the vector that ships


def settle(recipe: Recipe) -> Recipe:
    """The recipe with ``[data] valid`` and ``[training] label_weight`` at 0.

    Raises:
        UsageError: it asks for something that embedders do not have.
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
            raise UsageError(f"{what} has no meaning for embedders, which have no classes. Remove it from the recipe.")
    if recipe.data.text is None:
        raise UsageError('Embedders are distilled on texts. Name a file of texts: `[data] text = "texts.csv"`.')
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"valid": 0.0}),
            "training": recipe.training.model_copy(update={"label_weight": 0.0}),
        }
    )


def place_method(entry: MethodEntry) -> MethodEntry:
    """The entry, set to match the vectors that ship.

    Raises:
        UsageError: the method matches something other than embeddings, or the entry names layers.
    """
    kind: Any = methods.get(entry.name)
    accepts = inspect.signature(kind.__init__).parameters
    if set(kind.needs) != {EMBEDDING} or not {"student_layer", "teacher_layer"} <= set(accepts):
        raise UsageError(
            f"[[method]] name = {entry.name!r} does not match vectors, and an embedder has only vectors. "
            'Write `name = "embedding"`, or one of rkd, pkt, similarity.'
        )
    if {"student_layer", "teacher_layer"} & set(entry.settings):
        raise UsageError(
            f"[[method]] {entry.name!r}: an embedder matches the vectors that ship. Remove student_layer and "
            "teacher_layer."
        )
    settings = entry.settings | {"student_layer": WHOLE, "teacher_layer": EMBEDDING}
    return MethodEntry.model_validate({"name": entry.name, "weight": entry.weight} | settings)
