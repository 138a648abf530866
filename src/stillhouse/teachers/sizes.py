"""How large a fitted model is: its learned numbers and its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

Number = TypeVar("Number", int, float)


def learned(model: Any) -> int:
    """Learned numbers of a model: nodes of its trees, coefficients; of a pipeline, those of its steps; 0: unknown."""
    if hasattr(model, "steps"):
        return sum(learned(step) for _, step in model.steps)
    if hasattr(model, "get_tree_leaf_counts"):
        return int(sum(2 * leaves - 1 for leaves in model.get_tree_leaf_counts()))
    if hasattr(model, "tree_"):
        return int(model.tree_.node_count)
    if len(inner := estimators(model)):
        return sum(learned(each) for each in inner)
    nodes = sum(len(tree.nodes) for tree in boosted(model))
    return int(nodes + sum(np.size(each) for each in coefficients(model)))


def stored_bytes(model: Any) -> int | None:
    """Bytes of a model: a booster as its library saves it, else nodes of trees and coefficients.

    None: unknown, also of one step of a pipeline.
    """
    if hasattr(model, "steps"):
        return total(stored_bytes(step) for _, step in model.steps)
    booster = booster_of(model)
    for name in ("model_to_string", "save_raw"):  # of LightGBM and of XGBoost
        save: Callable[[], str | bytearray] | None = getattr(booster, name, None)
        if save is not None:
            return len(save())
    if hasattr(model, "tree_"):
        state = model.tree_.__getstate__()
        return int(state["nodes"].nbytes + state["values"].nbytes)
    if len(inner := estimators(model)):
        return total(stored_bytes(each) for each in inner)
    arrays = [*(tree.nodes for tree in boosted(model)), *coefficients(model)]
    return int(sum(np.asarray(each).nbytes for each in arrays)) or None


def total(parts: Iterable[Number | None]) -> Number | None:
    """The sum, where all parts are known."""
    given = list(parts)
    known = [part for part in given if part is not None]
    return sum(known) if len(known) == len(given) else None


def booster_of(model: Any) -> Any:
    """The booster inside a model of LightGBM or XGBoost; every other model itself."""
    if hasattr(model, "get_booster"):
        return model.get_booster()
    return getattr(model, "booster_", model)


def estimators(model: Any) -> Any:
    """Models that a forest, or another ensemble of scikit-learn, is made of."""
    found = getattr(model, "estimators_", None)
    return np.ravel(np.asarray([] if found is None else found, dtype=object))


def boosted(model: Any) -> list[Any]:
    """Trees of a histogram gradient boosting."""
    return [tree for stage in getattr(model, "_predictors", []) for tree in stage]


def coefficients(model: Any) -> list[Any]:
    """Weights of a linear model or a perceptron of scikit-learn."""
    names = [name for name in ("coef_", "intercept_") if isinstance(getattr(model, name, None), np.ndarray)]
    return [*getattr(model, "coefs_", []), *getattr(model, "intercepts_", []), *(getattr(model, n) for n in names)]
