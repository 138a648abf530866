"""Teachers of real values: anything with ``predict`` gives values in the user's units, perhaps with their spread.

``Task.teachers`` of the task; ``teachers.protocol.TaskTeachers`` explains each name. A spread is the standard deviation
of each value, in the same units: the feature ``spread``, float32 (B, K). A spread comes from models whose ``predict``
takes ``return_std``, from functions that return a pair (values, spread), from CatBoost's RMSEWithUncertainty, and from
several teachers together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.errors import RejectedError
from stillhouse.task import OutputSpec
from stillhouse.teachers.ensemble import DISAGREEMENT, SPREAD
from stillhouse.teachers.fitted.boosters import refuse_columns, refuse_objective
from stillhouse.teachers.protocol import Booster, Port, Read
from stillhouse.teachers.sklearn import PerOutput, fit_outputs
from stillhouse.teachers.values import as_outputs, check_shape, name_rows, numbers
from stillhouse.types import Outputs

asks = "predict"
kinds: tuple[str, ...] = ()
onnx_outputs = {"prediction": None, "predictions": None, "variable": None, "values": None, "output": None}
catboost = "CatBoostRegressor"
joins: tuple[str, ...] = ("mean",)

MEAN_AND_VARIANCE = "RMSEWithUncertainty"  # CatBoost's objective whose predictions are these two columns
OBJECTIVES = {
    "lightgbm": (
        *("regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie"),
        "cross_entropy",
    ),
    "xgboost": (
        *("reg:squarederror", "reg:squaredlogerror", "reg:absoluteerror", "reg:pseudohubererror"),
        *("reg:quantileerror", "reg:gamma", "reg:tweedie", "reg:logistic", "reg:linear", "count:poisson"),
    ),
    "catboost": (
        *("RMSE", "MAE", "MAPE", "Quantile", "LogLinQuantile", "Poisson", "Lq", "Huber", "Expectile", "Tweedie"),
        *("LogCosh", "MultiRMSE", "MultiRMSEWithMissingValues", MEAN_AND_VARIANCE),
    ),
}
ESTIMATORS = {
    "extra_trees": "ExtraTreesRegressor",
    "random_forest": "RandomForestRegressor",
    "hist_gradient_boosting": "HistGradientBoostingRegressor",
}


def check_student(outputs: Tensor, spec: OutputSpec) -> None:
    """Refuse a student's outputs of another shape."""
    check_shape(outputs, spec, "The student")


def read(spec: OutputSpec, kind: str | None = None, columns: Sequence[Any] = ()) -> Read:
    """Values (B, K), of one target also (B,); or a pair of them, of which the second is their spread."""

    def outputs(answer: Any, rows: NDArray[np.int64]) -> Outputs:
        if not isinstance(answer, tuple) or len(answer) != 2:
            return Outputs(as_outputs(numbers(answer, rows, spec)))
        values, spread = (numbers(part, rows, spec) for part in answer)
        bad = np.asarray((spread < 0).any(1))
        if bad.any():
            raise RejectedError(
                f"The teacher's spread is negative for {name_rows(rows, bad)}; it is a standard deviation, in the "
                "units of the target. Fix the teacher, or let it return the values alone."
            )
        return Outputs(as_outputs(values), {SPREAD: as_outputs(spread)})

    return outputs


read_module = read


def estimator(model: Any, spec: OutputSpec, kind: str | None = None) -> tuple[Callable[[Any], Any], Read]:
    """A regressor; where its ``predict`` takes ``return_std``, the spread too."""
    classes = getattr(model, "classes_", None)
    if not hasattr(model, "predict") or (classes is not None and len(classes)):
        raise RejectedError(
            f"{type(model).__name__} predicts classes, and these targets are numbers. Give a regressor, or write "
            '`[task] name = "classification"`.'
        )
    if loss_of(model) == MEAN_AND_VARIANCE:
        return lambda rows: with_root(model.predict(rows)), read(spec)
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    if "return_std" in inspect.signature(last.predict).parameters:
        return lambda rows: model.predict(rows, return_std=True), read(spec)
    return model.predict, read(spec)


def loss_of(model: Any) -> str:
    """The objective of a model of CatBoost; empty for others."""
    parameters = getattr(model, "get_all_params", None)
    return "" if parameters is None else str(parameters().get("loss_function", ""))


def with_root(answer: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and standard deviation of columns (B, 2) of mean and variance."""
    return answer[:, 0], np.sqrt(answer[:, 1])


def booster(library: str, objective: str, columns: int, spec: OutputSpec) -> Booster:
    """Predictions, as the objective's own link gives them; of catboost only the objective is looked at."""
    refuse_objective(library, objective, OBJECTIVES[library], "real values")
    if library != "catboost":
        refuse_columns(columns, spec.width, "targets")
    return Booster(read(spec))


def fits_port(port: Port, spec: OutputSpec) -> bool:
    """Floats (B, K); of one target also (B,)."""
    return port.holds(spec.width)


def fit(
    name: str,
    settings: Mapping[str, Any],
    inputs: NDArray[Any],
    targets: NDArray[Any],
    weights: NDArray[np.float64] | None,
    seed: int,
) -> Any:
    """A regressor of scikit-learn; boosting takes one target, so there is a model for each."""
    return fit_outputs(ESTIMATORS, name, settings, inputs, targets, weights, seed)


def predict(model: Any, inputs: NDArray[Any], spec: OutputSpec) -> NDArray[np.float32]:
    """Values (B, K)."""
    if isinstance(model, PerOutput):
        return np.stack([one.predict(inputs) for one in model.estimators_], axis=1).astype(np.float32)
    return np.asarray(model.predict(inputs), np.float32).reshape(len(inputs), spec.width)


def join(members: Sequence[Outputs], weights: Tensor, how: str, targets: Tensor) -> Outputs:
    """The mean of the members, with its spread and ``disagreement``.

    The spread (B, K) is that of the mixture of the members: the square root of the mean of their variances, which are 0
    where a member gives none, plus the variance of their values. The disagreement (B, 1) is the standard deviation
    between the members, the root of its mean square over the targets.
    """
    values = torch.stack([one.values.double() for one in members])
    shares = weights.reshape(-1, 1, 1)
    mean = (shares * values).sum(0)
    between = (shares * (values - mean) ** 2).sum(0)
    none = torch.zeros_like(mean)
    own = torch.stack([one.features[SPREAD].double() if SPREAD in one.features else none for one in members])
    spread = ((shares * own**2).sum(0) + between).sqrt()
    apart = between.mean(1, keepdim=True).sqrt()
    return Outputs(mean.float(), {DISAGREEMENT: apart.float(), SPREAD: spread.float()})


def hub_net(model: Any, names: Sequence[str], tune: str, seed: int) -> nn.Module:
    """A hub model whose own head has one output for each target; or an encoder with a new head."""
    from stillhouse.teachers.hub.loading import fresh_head, own_head

    if tune != "none":
        return fresh_head(model, len(names), tune, seed)
    return own_head(model, torch.arange(len(names)), ("regression", None))
