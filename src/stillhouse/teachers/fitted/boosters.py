"""LightGBM, XGBoost and CatBoost models, loaded from their own formats, which hold numbers and no code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import RejectedError, UsageError
from stillhouse.extras import library
from stillhouse.task import OutputSpec, Task
from stillhouse.teachers.fitted.child import ask_child
from stillhouse.teachers.fitted.columns import by_name, matrix_of, with_categories
from stillhouse.teachers.fitted.teacher import BATCH_ROWS, Decode, FittedTeacher
from stillhouse.teachers.sizes import stored_bytes

CHILD = Path(__file__).with_name("boosters_child.py")
TITLES = {"lightgbm": "LightGBM", "xgboost": "XGBoost", "catboost": "CatBoost"}


def from_booster(
    booster: Any, task: Task, spec: OutputSpec, *, decode: Decode, identity: str, batch_rows: int = BATCH_ROWS
) -> FittedTeacher:
    """A teacher from a ``lightgbm.Booster`` or an ``xgboost.Booster``; neither knows names of outputs: order counts.

    Raises:
        RejectedError: its objective is not of this task, or it has another number of outputs than the data.
        UsageError: it is a booster of another library.
    """
    library = type(booster).__module__.partition(".")[0]
    if library not in ("lightgbm", "xgboost"):
        raise UsageError(f"A Booster of {library!r} is not known here; known are those of lightgbm and xgboost.")
    ask: LightGBM | XGBoost = LightGBM(booster) if library == "lightgbm" else XGBoost(booster)
    form = task.teachers.booster(library, ask.objective, ask.columns, spec)
    ask.margin = form.margin
    return FittedTeacher(
        ask,
        form.read,
        spec.shape,
        identity=identity,
        decode=decode,
        parameters=ask.nodes(),
        nbytes=stored_bytes(booster),
        batch_rows=batch_rows,
    )


class LightGBM:
    """A LightGBM booster, from raw rows to its predictions (B,) or (B, columns)."""

    def __init__(self, booster: Any) -> None:
        self.booster, self.margin = booster, False
        # In the model's own text the objective stands with its settings: "multiclass num_class:3".
        header = booster.model_to_string(num_iteration=1, importance_type="split").splitlines()
        objective = next((line.partition("=")[2] for line in header if line.startswith("objective=")), "")
        self.objective = objective.partition(" ")[0]
        self.columns = int(booster.num_model_per_iteration())
        names = list(booster.feature_name())
        self.names = [] if names == [f"Column_{i}" for i in range(len(names))] else names
        self.width = len(names)

    def __call__(self, raw: Any) -> NDArray[np.float64]:
        """Predictions float64."""
        known = with_categories(by_name(raw, self.names)) if self.names else matrix_of(raw, self.width)
        return np.asarray(self.booster.predict(known, raw_score=self.margin), np.float64)

    def nodes(self) -> int:
        """Nodes of all trees, leaves included."""
        return sum(2 * int(tree["num_leaves"]) - 1 for tree in self.booster.dump_model()["tree_info"])


class XGBoost:
    """An XGBoost booster, from raw rows to its predictions (B,) or (B, columns)."""

    def __init__(self, booster: Any) -> None:
        self.booster, self.margin = booster, False
        learner = json.loads(booster.save_config())["learner"]
        self.objective = str(learner["objective"]["name"])
        sizes = learner["learner_model_param"]
        self.columns = max(int(sizes["num_class"]), int(sizes.get("num_target", 1)), 1)
        self.names = list(booster.feature_names or [])
        self.width = int(booster.num_features())
        best = booster.attr("best_iteration")  # where training was stopped early, later trees are left out
        self.trees = (0, 0) if best is None else (0, int(best) + 1)

    def __call__(self, raw: Any) -> NDArray[np.float64]:
        """Predictions float64."""
        import xgboost

        if self.names:
            data = xgboost.DMatrix(with_categories(by_name(raw, self.names)), enable_categorical=True)
        else:
            data = xgboost.DMatrix(matrix_of(raw, self.width))
        answers = self.booster.predict(data, output_margin=self.margin, iteration_range=self.trees)
        return np.asarray(answers, np.float64)

    def nodes(self) -> int:
        """Nodes of all trees, leaves included."""
        return sum(tree.count("\n") for tree in self.booster.get_dump())


def refuse_objective(library: str, objective: str, known: Sequence[str], gives: str) -> None:
    """Refuse a booster whose objective (empty: the user's own) does not give what the task needs.

    Args:
        library: lightgbm, xgboost or catboost.
        objective: of the booster.
        known: the objectives that fit.
        gives: what they give: "probabilities of classes".
    """
    if objective not in known:
        raise RejectedError(
            f"This {TITLES[library]} model was trained with the objective {objective or 'custom'!r}, which gives no "
            f"{gives}. Train it with one of {', '.join(known)}; or give a function from rows to {gives} that calls it."
        )


def refuse_columns(columns: int, width: int, outputs: str) -> None:
    """Refuse a booster with another number of ``outputs``, such as "targets", than the data."""
    if columns != width:
        raise RejectedError(
            f"The teacher predicts {columns} {outputs}, but the data have {width}. Give the one that was made for "
            f"these {outputs}, or name its {outputs} as `[data] target`."
        )


def load_booster(
    path: Path, task: Task, spec: OutputSpec, name: str, *, decode: Decode, identity: str
) -> FittedTeacher:
    """A teacher from what ``save_model`` writes: the text of "lightgbm", or the JSON or UBJSON of "xgboost".

    Raises:
        RejectedError: the file is damaged, its objective is not of this task, or it has another number of outputs.
    """
    ask_child(CHILD, path, name)
    if name == "lightgbm":
        booster = library(name, "This teacher").Booster(model_file=str(path))
    else:
        booster = library(name, "This teacher").Booster()
        booster.load_model(str(path))
    return from_booster(booster, task, spec, decode=decode, identity=identity)


def load_catboost(path: Path, task: Task, spec: OutputSpec) -> Any:
    """A model from CatBoost's own format (``model.save_model("model.cbm")``), class names included.

    Raises:
        RejectedError: the file is damaged, or its objective is not of this task.
    """
    ask_child(CHILD, path, "catboost")
    model = getattr(library("catboost", "This teacher"), task.teachers.catboost)()
    model.load_model(str(path), format="cbm")
    objective = str(model.get_all_params().get("loss_function", "")).partition(":")[0]
    task.teachers.booster("catboost", objective, len(model.classes_), spec)
    return model
