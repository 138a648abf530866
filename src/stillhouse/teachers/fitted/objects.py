"""Fitted models and callables handed over from Python as teachers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.class_order import class_order, scatter
from stillhouse.teachers.fitted.boosters import from_booster
from stillhouse.teachers.fitted.columns import by_name, matrix_of, with_categories, with_whole_numbers
from stillhouse.teachers.fitted.teacher import BATCH_ROWS, Decode, RawTeacher, asked
from stillhouse.teachers.identity import identity_of
from stillhouse.teachers.sizes import learned, stored_bytes


def from_object(
    model: Any,
    classes: Sequence[str],
    *,
    decode: Decode,
    identity: str | None = None,
    probe: Any = None,
    nbytes: int | None = None,
    batch_rows: int = BATCH_ROWS,
) -> RawTeacher:
    """A teacher from anything with ``predict_proba``, a booster of LightGBM or XGBoost, or a function.

    A model's classes (``classes_``) are matched with the data's by name, else by position; its columns
    (``feature_names_in_``) are looked up in the frame by name. A function gets raw rows (an array, a frame, or an
    array of str) and answers probabilities float (B, C) in the order of ``classes``; for two classes also
    (B,), the second's.

    Args:
        model: a fitted estimator or pipeline, a booster, or a function.
        classes: names of the data's classes, in order.
        decode: from encoded inputs to raw rows, for batches that do not carry them.
        identity: hash of all that determines the answers; None: that of ``identity_of(model)``.
        probe: raw rows whose answers go into the identity of a function, which may read what no hash sees.
        nbytes: bytes of the file it comes from; None: what ``stored_bytes`` makes of it.
        batch_rows: rows a call at most.

    Raises:
        UsageError: it is a torch module, or nothing that can be asked.
        RejectedError: it is not fitted, gives no probabilities, or knows other classes.
    """
    if isinstance(model, nn.Module):
        raise UsageError(
            f"{type(model).__name__} is a torch module, which takes tensors: give it as `ModuleTeacher(module, "
            f"classes={len(classes)})`, or as `teacher=` of `distill`."
        )
    if type(model).__name__ == "Booster":
        return from_booster(
            model, classes, decode=decode, identity=identity or identity_of(model), batch_rows=batch_rows
        )
    if isinstance(model, type):
        raise UsageError(f"{model.__name__} is a class, not a fitted model: give an object of it, after `fit`.")
    if callable(model) and not hasattr(model, "predict_proba"):
        ask: Callable[[Any], Any] = model
        known = identity or identity_of(model, None if probe is None else asked(model, probe))
    elif hasattr(model, "predict"):
        ask, known = Estimator(model, classes), identity or identity_of(model)
    else:
        raise UsageError(
            f"{type(model).__name__} cannot be asked: a teacher is a torch module, a fitted model with "
            "`predict_proba`, or a function from rows to probabilities."
        )
    return RawTeacher(
        ask,
        len(classes),
        identity=known,
        decode=decode,
        parameters=learned(model),
        nbytes=stored_bytes(model) if nbytes is None else nbytes,
        batch_rows=batch_rows,
    )


class Estimator:
    """A fitted model with ``predict_proba``, from raw rows to probabilities (B, C) in the data's order.

    Args:
        model: scikit-learn's protocol: ``classes_``, ``feature_names_in_`` or ``n_features_in_``, where it has them.
        classes: names of the data's classes, in order.

    Raises:
        RejectedError: see ``from_object``.
    """

    def __init__(self, model: Any, classes: Sequence[str]) -> None:
        refuse_unfitted(model)
        self.model = model
        self.classes = len(classes)
        self.names = column_names(model)
        self.width = getattr(model, "n_features_in_", None)
        given = getattr(model, "classes_", None)
        self.order = np.arange(len(classes)) if given is None else class_order(list(given), classes)
        self.library = type(model).__module__.partition(".")[0]

    def __call__(self, raw: Any) -> NDArray[np.float64]:
        """Probabilities float64 (B, C)."""
        return scatter(self.model.predict_proba(self.inputs(raw)), self.order, self.classes)

    def inputs(self, raw: Any) -> Any:
        """Rows as the model was fitted on them."""
        if not self.names:
            return raw if is_text(raw) else matrix_of(raw, self.width)
        frame = by_name(raw, self.names)
        if self.library == "catboost":
            return with_whole_numbers(frame, self.model.get_cat_feature_indices())
        return with_categories(frame) if self.library in ("lightgbm", "xgboost") else frame


def refuse_unfitted(model: Any) -> None:
    """Refuse a model that cannot answer with probabilities."""
    name = type(model).__name__
    if not hasattr(model, "predict_proba"):
        raise RejectedError(
            f"{name} has `predict` but no `predict_proba`, and a student learns from the probabilities of all classes. "
            "Fit a classifier that gives them, or wrap this one in `sklearn.calibration.CalibratedClassifierCV`."
        )
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        if hasattr(model, "is_fitted"):  # CatBoost, whose attributes do not tell
            fitted = bool(model.is_fitted())
        else:
            check_is_fitted(model)
            fitted = True
    except NotFittedError:
        fitted = False
    except TypeError:  # no estimator of scikit-learn's making: it knows itself
        fitted = True
    if not fitted:
        raise RejectedError(f"{name} is not fitted yet. Call its `fit` first, or name a teacher to be trained here.")


def column_names(model: Any) -> list[str]:
    """Columns the model was fitted on; empty where it does not know names."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        names = getattr(model, "feature_names_", None) or []
    found = [str(name) for name in names]
    return [] if found == [str(i) for i in range(len(found))] else found  # CatBoost numbers what has no names


def is_text(raw: Any) -> bool:
    """Whether the rows are texts (N,)."""
    return isinstance(raw, np.ndarray) and raw.ndim == 1
