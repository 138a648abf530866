"""Teachers of classes: modules, functions, fitted models and files give logits in the order of the data's classes.

``Task.teachers`` of the task; ``teachers.protocol.TaskTeachers`` explains each name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.task import OutputSpec
from stillhouse.tasks.classification import joining
from stillhouse.tasks.classification.reading import SMALLEST, ClassReader, are_probabilities, check_classes
from stillhouse.teachers.fitted.boosters import refuse_objective
from stillhouse.teachers.protocol import Booster, Port, Read
from stillhouse.teachers.sklearn import make_estimator
from stillhouse.teachers.values import refuse_sigmoid

asks = "predict_proba"
kinds: tuple[str, ...] = ("probabilities", "log_probabilities", "logits")
onnx_outputs = {
    "probabilities": "probabilities",
    "output_probability": "probabilities",
    "probability": "probabilities",
    "logits": "logits",
    "scores": "logits",
}
catboost = "CatBoostClassifier"
joins = joining.joins
join = joining.join

MAPS = "seq(map("  # of an ONNX file: from class to probability, for each row
OBJECTIVES = {
    "lightgbm": ("binary", "multiclass", "multiclassova", "cross_entropy"),
    "xgboost": ("binary:logistic", "multi:softprob", "multi:softmax", "reg:logistic", "binary:logitraw"),
    "catboost": ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll"),
}
RAW_SCORES = ("multi:softmax", "binary:logitraw")  # objectives whose predictions are labels, or scores themselves
ESTIMATORS = {
    "extra_trees": "ExtraTreesClassifier",
    "random_forest": "RandomForestClassifier",
    "hist_gradient_boosting": "HistGradientBoostingClassifier",
}
LEAST = 1e-30  # replaces a net's probability of 0, where its numbers reach so far down


def read_module(spec: OutputSpec, kind: str | None = None) -> Read:
    """Logits, log-probabilities or probabilities (B, C); for two classes also (B,) or (B, 1), of the second alone."""
    return ClassReader(spec, kind, smallest=LEAST)


def check_student(outputs: Tensor, spec: OutputSpec) -> None:
    """Refuse a student's outputs of another shape, and probabilities: training needs its logits."""
    if outputs.ndim != 2:
        raise RejectedError(
            f"The student answered {tuple(outputs.shape)} for {len(outputs)} rows of {spec.width} classes. It must "
            f"answer one row of logits for each input: ({len(outputs)}, {spec.width})."
        )
    check_classes(outputs.shape[1], spec.width, "The student")
    refuse_sigmoid(outputs)
    # One row of logits, or the same row again and again from dead units, may add up to 1 by chance.
    differ = len(outputs) > 1 and bool((outputs != outputs[:1]).any())
    if differ and are_probabilities(outputs.double().numpy(force=True)):
        raise RejectedError(
            "The student's outputs are probabilities, but training needs logits: all are in 0..1, and each row "
            "adds up to 1. Remove the softmax at its end."
        )


def read(spec: OutputSpec, kind: str | None = None, columns: Sequence[Any] = ()) -> Read:
    """Probabilities, log-probabilities or logits; columns are the model's own classes, which are matched by name."""
    return ClassReader(spec, kind, columns)


def estimator(model: Any, spec: OutputSpec, kind: str | None = None) -> tuple[Callable[[Any], Any], Read]:
    """A model with ``predict_proba``; its ``classes_`` are matched with the data's by name, else by position."""
    if not hasattr(model, "predict_proba"):
        raise RejectedError(
            f"{type(model).__name__} has `predict` but no `predict_proba`, and a student learns from the probabilities "
            "of all classes. Fit a classifier that gives them, or wrap this one in "
            "`sklearn.calibration.CalibratedClassifierCV`."
        )
    known = getattr(model, "classes_", None)
    return model.predict_proba, read(spec, kind or "probabilities", () if known is None else list(known))


def booster(library: str, objective: str, columns: int, spec: OutputSpec) -> Booster:
    """Probabilities; raw scores where the objective predicts none."""
    answers = read(spec, "probabilities")
    if library == "catboost" and columns:
        return Booster(answers)
    refuse_objective(library, objective, OBJECTIVES[library], "probabilities of classes")
    check_classes(max(columns, 2), spec.width)
    if objective in RAW_SCORES:
        return Booster(lambda scores, rows: answers(normalised(scores), rows), margin=True)
    if library == "lightgbm":  # its one-against-all trees answer each class separately
        return Booster(lambda shares, rows: answers(shares if shares.ndim == 1 else of_sum_one(shares), rows))
    return Booster(answers)


def of_sum_one(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows divided by their sum."""
    return np.asarray(shares / shares.sum(1, keepdims=True), np.float64)


def normalised(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of raw scores: softmax (B, C), logistic (B,)."""
    from scipy.special import expit, softmax

    return np.asarray(expit(scores) if scores.ndim == 1 else softmax(scores, axis=1), np.float64)


def fits_port(port: Port, spec: OutputSpec) -> bool:
    """Floats (B, C), or maps from class to probability; for two classes also only the second's."""
    return port.type.startswith(MAPS) or port.holds(spec.width, *[1] * (spec.width == 2))


def fit(
    name: str,
    settings: Mapping[str, Any],
    inputs: NDArray[Any],
    targets: NDArray[Any],
    weights: NDArray[np.float64] | None,
    seed: int,
) -> Any:
    """A classifier of scikit-learn."""
    return make_estimator(ESTIMATORS, name, settings, seed).fit(inputs, targets, weights)


def predict(model: Any, inputs: NDArray[Any], spec: OutputSpec) -> NDArray[np.float32]:
    """Log-probabilities in the order of the data's classes; a class that was not in its data gets ``SMALLEST``."""
    probabilities = np.zeros((len(inputs), spec.width))
    probabilities[:, model.classes_] = model.predict_proba(inputs)
    return np.log(np.maximum(probabilities, SMALLEST)).astype(np.float32)


def hub_net(model: Any, names: Sequence[str], tune: str, seed: int) -> nn.Module:
    """A hub classifier with its own head, its classes matched by name; or an encoder with a new one, to be trained."""
    from stillhouse.teachers.hub.loading import fresh_head, hub_classifier

    if tune != "none":
        return fresh_head(model, len(names), tune, seed)
    if model.kind != "classifier":
        raise UsageError(
            f"The hub model {model.folder} has no classifier. Train one here: "
            '`[teacher] tune = "full"` (or "probe", "lora").'
        )
    return hub_classifier(model, names)
