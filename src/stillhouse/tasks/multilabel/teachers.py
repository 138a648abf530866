"""Teachers of several labels for each row: each label is a separate yes or no, kept as its log-odds.

``Task.teachers`` of the task; ``teachers.protocol.TaskTeachers`` explains each name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.errors import RejectedError
from stillhouse.task import OutputSpec
from stillhouse.tasks.classification.joining import disagreement
from stillhouse.teachers.ensemble import DISAGREEMENT
from stillhouse.teachers.fitted.boosters import refuse_columns, refuse_objective
from stillhouse.teachers.named import places, with_names
from stillhouse.teachers.protocol import Booster, Port, Read
from stillhouse.teachers.sklearn import PerOutput, fit_outputs
from stillhouse.teachers.values import as_outputs, check_shape, name_rows, never_negative, numbers, refuse_sigmoid
from stillhouse.types import Outputs

asks = "predict_proba"
kinds: tuple[str, ...] = ("probabilities", "logits")
onnx_outputs = {"probabilities": "probabilities", "logits": "logits", "scores": "logits"}
catboost = "CatBoostClassifier"
joins: tuple[str, ...] = ("mean", "log_mean")

SMALLEST = 1e-6  # smallest distance of a probability from 0 and 1: its log-odds are finite and fit every codec
OBJECTIVES = {
    "lightgbm": ("binary", "cross_entropy"),
    "xgboost": ("binary:logistic", "reg:logistic", "binary:logitraw"),
    "catboost": ("MultiLogloss", "MultiCrossEntropy", "Logloss", "CrossEntropy"),
}
RAW_SCORES = "binary:logitraw"  # the objective whose predictions are log-odds
ESTIMATORS = {
    "extra_trees": "ExtraTreesClassifier",
    "random_forest": "RandomForestClassifier",
    "hist_gradient_boosting": "HistGradientBoostingClassifier",
}
NEAR = 1e-3  # how far a probability may be outside 0..1, by rounding
SUM_TOLERANCE = 1e-6  # how near to 1 the sums of rows are where classes exclude each other
SET_KIND = 'write `[teacher] outputs = "logits"`'
YES = (1, "1", "true")  # names of the class that means that a row has the label


class LabelReader:
    """Log-odds of answers (B, K) that are probabilities or log-odds: decided once, by the first answers.

    Args:
        spec: (K,).
        kind: "probabilities" or "logits"; None: probabilities where all of the first answers are in 0..1.
        columns: the model's own labels in the order of its columns, where they are the data's; answers that name their
            columns are put into order by these names.
    """

    def __init__(self, spec: OutputSpec, kind: str | None = None, columns: Sequence[Any] = ()) -> None:
        self.spec, self.kind = spec, kind
        self.order = places(spec.names, list(map(str, columns))) if len(columns) == spec.width else None
        self.form: dict[str, Any] = {}  # what was decided, for run.json; empty before the first answer

    def __call__(self, answer: Any, rows: NDArray[np.int64]) -> Outputs:
        """Log-odds float32 (B, K); rows are named in errors."""
        if isinstance(answer, list) and answer and np.ndim(answer[0]) == 2:
            answer = np.stack([of_two(np.asarray(one))[:, -1] for one in answer], axis=1)  # of no and of yes
        named = bool(with_names(answer)[0])
        values = numbers(answer, rows, self.spec)
        values = values if named or self.order is None else values[:, self.order]
        inside = np.asarray(((values >= -NEAR) & (values <= 1 + NEAR)).all(1))
        if len(values) and not self.form:
            decided = "stated" if self.kind else f"by the first {len(values)} answers"
            if self.kind is None:
                self.kind = "probabilities" if values.min() >= 0 and values.max() <= 1 else "logits"
                never_negative(values, SET_KIND)
            columns = (
                "by their names" if named else "in the order of the data" if self.order is None else "by the model"
            )
            self.form = {"kind": self.kind, "decided": decided, "columns": columns}
        if self.kind == "logits":
            return Outputs(as_outputs(values))
        if not inside.all():
            raise outside(name_rows(rows, ~inside), values[~inside])
        return Outputs(as_outputs(log_odds(values)))


def of_two(answer: NDArray[Any]) -> NDArray[Any]:
    """Probabilities (B, 2) of no and yes for one label, as given.

    Raises:
        RejectedError: there is another number of columns, and nothing says which of them is yes.
    """
    if answer.ndim != 2 or answer.shape[1] != 2:
        raise RejectedError(
            f"The teacher gives a list with an array for each label, and one has the shape {answer.shape}: nothing "
            "says which column is the probability of yes. Give the fitted model itself, not a function, or return "
            "one array (rows, labels) of the probabilities of yes."
        )
    return answer


def outside(rows: str, values: NDArray[Any]) -> RejectedError:
    """The error for answers beyond 0..1 of a teacher that answers with probabilities."""
    return RejectedError(
        f"The teacher's answers are not probabilities for {rows}: they are in {values.min():.4g}..{values.max():.4g}, "
        "where its first answers were all in 0..1. Answer with probabilities, or with log-odds, for every row."
    )


def log_odds(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Logarithm of the odds, finite: probabilities are kept ``SMALLEST`` away from 0 and 1."""
    clipped = np.clip(np.asarray(probabilities, np.float64), SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), np.float64)


def check_student(outputs: Tensor, spec: OutputSpec) -> None:
    """Refuse a student's outputs of another shape, and probabilities: training needs its log-odds."""
    check_shape(outputs, spec, "The student")
    refuse_sigmoid(outputs)


def read(spec: OutputSpec, kind: str | None = None, columns: Sequence[Any] = ()) -> Read:
    """Probabilities or log-odds (B, K), or for each label an array (B, 2); names of labels are matched."""
    return LabelReader(spec, kind, columns)


read_module = read


def estimator(model: Any, spec: OutputSpec, kind: str | None = None) -> tuple[Callable[[Any], Any], Read]:
    """A classifier of several labels, or of one: its probability of yes."""
    if not hasattr(model, "predict_proba"):
        raise RejectedError(
            f"{type(model).__name__} has `predict` but no `predict_proba`, and a student learns from the probability "
            "of each label. Fit a classifier that gives them."
        )
    return lambda rows: of_yes(model, model.predict_proba(rows), spec), read(spec, kind or "probabilities")


def of_yes(model: Any, answer: Any, spec: OutputSpec) -> NDArray[np.float64]:
    """Probabilities (B, K) of yes.

    Args:
        model: names its columns by ``classes_``.
        answer: of its ``predict_proba``: an array (B, 2) for each label; (B, K) of yes; or, of one label, (B, 2).
        spec: (K,).

    Raises:
        RejectedError: it predicts one of several classes for each row.
    """
    classes = getattr(model, "classes_", None)
    if isinstance(answer, list):
        if classes is None:
            return np.stack([of_two(np.asarray(part))[:, 1] for part in answer], axis=1).astype(np.float64)
        known = classes
        return np.stack([column_of_yes(part, names) for part, names in zip(answer, known, strict=True)], axis=1)
    values = np.asarray(answer, np.float64)
    if values.ndim == 2 and spec.width == 1 and values.shape[1] <= 2:
        return column_of_yes(values, range(values.shape[1]) if classes is None else classes)[:, None]
    if values.ndim == 2 and spec.width > 1 and bool((np.abs(values.sum(1) - 1) < SUM_TOLERANCE).all()):
        raise RejectedError(
            f"{type(model).__name__} predicts one of {values.shape[1]} classes for each row: its probabilities add up "
            "to 1 in each row. Give a model of several labels, such as `sklearn.multioutput.MultiOutputClassifier`."
        )
    return values


def column_of_yes(answer: Any, names: Any) -> NDArray[np.float64]:
    """The column of yes among the classes of one label; 0 for a model whose data had only no."""
    values = np.asarray(answer, np.float64)
    places = [place for place, name in enumerate(names) if plain(name) in YES]
    return values[:, places[0]] if places else np.zeros(len(values))


def plain(name: Any) -> Any:
    """The name of a class in the form for comparison: 1, 1.0, True and "true" mean yes."""
    value = name.item() if isinstance(name, np.generic) else name
    return value.lower() if isinstance(value, str) else value


def booster(library: str, objective: str, columns: int, spec: OutputSpec) -> Booster:
    """Probabilities of each label, or log-odds; of catboost only the objective is looked at."""
    refuse_objective(library, objective, OBJECTIVES[library], "probabilities of labels")
    if library != "catboost":
        refuse_columns(columns, spec.width, "labels")
    return Booster(read(spec, "logits" if objective == RAW_SCORES else "probabilities"), objective == RAW_SCORES)


def fits_port(port: Port, spec: OutputSpec) -> bool:
    """Floats (B, K); of one label also (B,)."""
    return port.holds(spec.width)


def fit(
    name: str,
    settings: Mapping[str, Any],
    inputs: NDArray[Any],
    targets: NDArray[Any],
    weights: NDArray[np.float64] | None,
    seed: int,
) -> Any:
    """A classifier of scikit-learn; boosting takes one label, so there is a model for each."""
    return fit_outputs(ESTIMATORS, name, settings, inputs, targets, weights, seed)


def predict(model: Any, inputs: NDArray[Any], spec: OutputSpec) -> NDArray[np.float32]:
    """Log-odds (B, K)."""
    if isinstance(model, PerOutput):
        parts = [column_of_yes(one.predict_proba(inputs), one.classes_) for one in model.estimators_]
        return log_odds(np.stack(parts, axis=1)).astype(np.float32)
    return log_odds(of_yes(model, model.predict_proba(inputs), spec)).astype(np.float32)


def join(members: Sequence[Outputs], weights: Tensor, how: str, targets: Tensor) -> Outputs:
    """Log-odds of the mean of the members' probabilities, or the mean of their log-odds; and ``disagreement``.

    The disagreement (B, 1) is the mutual information of answer and teacher in nats, the mean over the labels.
    """
    odds = torch.stack([one.values.double() for one in members])
    shares = weights.reshape(-1, 1, 1)
    yes, no = nn.functional.logsigmoid(odds), nn.functional.logsigmoid(-odds)
    if how == "log_mean":
        joined = (shares * odds).sum(0)
    else:
        joined = (yes + shares.log()).logsumexp(0) - (no + shares.log()).logsumexp(0)
    apart = disagreement(torch.stack([yes, no], -1).flatten(1, 2), weights).reshape(odds.shape[1:])
    return Outputs(joined.float(), {DISAGREEMENT: apart.mean(1, keepdim=True).float()})


def hub_net(model: Any, names: Sequence[str], tune: str, seed: int) -> nn.Module:
    """A hub classifier of these labels with its own head; or an encoder with a new one, to be trained."""
    from stillhouse.teachers.hub.loading import fresh_head, label_order, own_head

    if tune != "none":
        return fresh_head(model, len(names), tune, seed)
    return own_head(model, label_order(model.labels or (), names), ("multi_label_classification",))
