"""LightGBM, XGBoost and CatBoost models, loaded from their own formats, which hold numbers and no code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.fitted.child import ask_child
from stillhouse.teachers.fitted.columns import by_name, matrix_of, with_categories
from stillhouse.teachers.fitted.teacher import BATCH_ROWS, Decode, RawTeacher
from stillhouse.teachers.module import check_classes
from stillhouse.teachers.sizes import stored_bytes

LIGHTGBM_OBJECTIVES = ("binary", "multiclass", "multiclassova", "cross_entropy")
XGBOOST_OBJECTIVES = ("binary:logistic", "multi:softprob", "multi:softmax", "reg:logistic", "binary:logitraw")
CATBOOST_OBJECTIVES = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll")
CHILD = Path(__file__).with_name("boosters_child.py")


def from_booster(
    booster: Any, classes: Sequence[str], *, decode: Decode, identity: str, batch_rows: int = BATCH_ROWS
) -> RawTeacher:
    """A teacher from a ``lightgbm.Booster`` or an ``xgboost.Booster``; neither knows class names, so positions hold.

    Raises:
        RejectedError: it is no classifier, or has another number of classes than the data.
        UsageError: it is a booster of another library.
    """
    library = type(booster).__module__.partition(".")[0]
    if library not in ("lightgbm", "xgboost"):
        raise UsageError(f"A Booster of {library!r} is not known here; known are those of lightgbm and xgboost.")
    ask: LightGBM | XGBoost = LightGBM(booster) if library == "lightgbm" else XGBoost(booster)
    check_classes(ask.classes, len(classes))
    return RawTeacher(
        ask,
        len(classes),
        identity=identity,
        decode=decode,
        parameters=ask.nodes(),
        nbytes=stored_bytes(booster),
        batch_rows=batch_rows,
    )


class LightGBM:
    """A LightGBM booster, from raw rows to probabilities (B, C).

    Raises:
        RejectedError: its objective is not that of a classifier.
    """

    def __init__(self, booster: Any) -> None:
        self.booster = booster
        # In the model's own text the objective stands with its settings: "multiclass num_class:3".
        header = booster.model_to_string(num_iteration=1, importance_type="split").splitlines()
        objective = next((line.partition("=")[2] for line in header if line.startswith("objective=")), "")
        refuse_objective("LightGBM", objective.partition(" ")[0], LIGHTGBM_OBJECTIVES)
        self.classes = max(int(booster.num_model_per_iteration()), 2)
        names = list(booster.feature_name())
        self.names = [] if names == [f"Column_{i}" for i in range(len(names))] else names
        self.width = len(names)

    def __call__(self, raw: Any) -> NDArray[np.float64]:
        """Probabilities float64 (B, C), or (B,) of the second of two classes."""
        known = with_categories(by_name(raw, self.names)) if self.names else matrix_of(raw, self.width)
        answers = np.asarray(self.booster.predict(known), np.float64)
        # One-against-all trees answer each class by itself.
        return answers if answers.ndim == 1 else answers / answers.sum(1, keepdims=True)

    def nodes(self) -> int:
        """Nodes of all trees, leaves among them."""
        return sum(2 * int(tree["num_leaves"]) - 1 for tree in self.booster.dump_model()["tree_info"])


class XGBoost:
    """An XGBoost booster, from raw rows to probabilities (B, C).

    Raises:
        RejectedError: its objective is not that of a classifier.
    """

    def __init__(self, booster: Any) -> None:
        self.booster = booster
        learner = json.loads(booster.save_config())["learner"]
        self.objective = str(learner["objective"]["name"])
        refuse_objective("XGBoost", self.objective, XGBOOST_OBJECTIVES)
        self.classes = max(int(learner["learner_model_param"]["num_class"]), 2)
        self.names = list(booster.feature_names or [])
        self.width = int(booster.num_features())
        best = booster.attr("best_iteration")  # where training was stopped early, later trees are left out
        self.trees = (0, 0) if best is None else (0, int(best) + 1)

    def __call__(self, raw: Any) -> NDArray[np.float64]:
        """Probabilities float64 (B, C), or (B,) of the second of two classes."""
        import xgboost

        if self.names:
            data = xgboost.DMatrix(with_categories(by_name(raw, self.names)), enable_categorical=True)
        else:
            data = xgboost.DMatrix(matrix_of(raw, self.width))
        raw_scores = self.objective in ("multi:softmax", "binary:logitraw")
        answers = np.asarray(
            self.booster.predict(data, output_margin=raw_scores, iteration_range=self.trees), np.float64
        )
        return normalised(answers) if raw_scores else answers

    def nodes(self) -> int:
        """Nodes of all trees, leaves among them."""
        return sum(tree.count("\n") for tree in self.booster.get_dump())


def normalised(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of raw scores: softmax (B, C), logistic (B,)."""
    from scipy.special import expit, softmax

    return np.asarray(expit(scores) if scores.ndim == 1 else softmax(scores, axis=1), np.float64)


def refuse_objective(library: str, objective: str, known: Sequence[str]) -> None:
    """Refuse a booster that was not trained to give probabilities of classes."""
    if objective not in known:
        raise RejectedError(
            f"This {library} model was trained with the objective {objective or 'custom'!r}, which gives no "
            f"probabilities of classes. Train it with one of {', '.join(known)}; or give a function from rows to "
            "probabilities that calls it."
        )


def load_booster(path: Path, classes: Sequence[str], name: str, *, decode: Decode, identity: str) -> RawTeacher:
    """A teacher from the text of LightGBM, or the JSON or UBJSON of XGBoost (``save_model`` writes them).

    Args:
        path: of the file.
        classes: names of the data's classes, in order.
        name: "lightgbm" or "xgboost".
        decode: from encoded inputs to raw rows.
        identity: the teacher's fingerprint.

    Raises:
        RejectedError: the file is damaged, is no classifier, or has another number of classes.
    """
    ask_child(CHILD, path, name)
    if name == "lightgbm":
        booster = library(name).Booster(model_file=str(path))
    else:
        booster = library(name).Booster()
        booster.load_model(str(path))
    return from_booster(booster, classes, decode=decode, identity=identity)


def load_catboost(path: Path) -> Any:
    """A ``CatBoostClassifier`` from CatBoost's own format (``model.save_model("model.cbm")``), class names included.

    Raises:
        RejectedError: the file is damaged, or is no classifier.
    """
    ask_child(CHILD, path, "catboost")
    model = library("catboost").CatBoostClassifier()
    model.load_model(str(path), format="cbm")
    if not len(model.classes_):
        refuse_objective("CatBoost", str(model.get_all_params().get("loss_function", "")), CATBOOST_OBJECTIVES)
    return model


def library(name: str) -> Any:
    """A library of the extra ``trees``.

    Raises:
        UsageError: it is not installed, or something that it needs is not.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"This teacher needs the package {name!r}, which cannot be imported ({error}): "
            "`pip install 'stillhouse[trees]'`."
        ) from error
