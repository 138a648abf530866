"""Fitted models and callables handed over from Python as teachers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.task import OutputSpec, Task
from stillhouse.teachers.fitted.boosters import from_booster
from stillhouse.teachers.fitted.columns import by_name, chosen, lacking, matrix_of, with_categories, with_whole_numbers
from stillhouse.teachers.fitted.teacher import BATCH_ROWS, Decode, FittedTeacher, asked
from stillhouse.teachers.identity import identity_of
from stillhouse.teachers.protocol import Read
from stillhouse.teachers.sizes import learned, stored_bytes


def from_object(
    model: Any,
    task: Task,
    spec: OutputSpec,
    *,
    decode: Decode,
    kind: str | None = None,
    identity: str | None = None,
    probe: Any = None,
    nbytes: int | None = None,
    batch_rows: int = BATCH_ROWS,
) -> FittedTeacher:
    """A teacher from a fitted model with ``predict``, a booster of LightGBM or XGBoost, or a function.

    The task says which method of a model is asked and how its answers are read. A model's columns
    (``feature_names_in_``) are looked up in the frame by name. A function gets raw rows (an array, a frame, or an array
    of str) and answers in the form that the task reads, with outputs in the order of ``spec.names``.

    Args:
        model: a fitted estimator or pipeline, a booster, or a function.
        task: of the run.
        spec: of the outputs.
        decode: from encoded inputs to raw rows, for batches that do not carry them.
        kind: what it answers, one of ``task.teachers.kinds``; None: of a function decided by its first answers.
        identity: hash of all that determines the answers; None: that of ``identity_of(model)``.
        probe: raw rows whose answers go into the identity of a function, which may read what no hash sees.
        nbytes: bytes of the file it comes from; None: what ``stored_bytes`` makes of it.
        batch_rows: rows a call at most.

    Raises:
        UsageError: it is a torch module, or nothing that can be asked.
        RejectedError: it is not fitted, or is a model of another task or for other outputs.
    """
    if isinstance(model, nn.Module):
        raise UsageError(
            f"{type(model).__name__} is a torch module, which takes tensors: give it as `ModuleTeacher(module, ...)`, "
            "or as `teacher=` of `distill`."
        )
    if type(model).__name__ == "Booster":
        refuse_kind(type(model).__name__, kind)
        known = identity or identity_of(model)
        return from_booster(model, task, spec, decode=decode, identity=known, batch_rows=batch_rows)
    if isinstance(model, type):
        raise UsageError(f"{model.__name__} is a class, not a fitted model: give an object of it, after `fit`.")
    if callable(model) and not hasattr(model, task.teachers.asks):
        ask: Callable[[Any], Any] = model
        known = identity or identity_of(model, None if probe is None else asked(model, probe))
        read: Read = task.teachers.read(spec, kind)
    elif hasattr(model, "predict") or hasattr(model, task.teachers.asks):
        refuse_unfitted(model)
        answer, read = task.teachers.estimator(model, spec, kind)
        ask, known = Estimator(model, answer), identity or identity_of(model)
    else:
        raise UsageError(
            f"{type(model).__name__} cannot be asked: a teacher is a torch module, a fitted model with "
            f"`{task.teachers.asks}`, or a function from rows to outputs."
        )
    return FittedTeacher(
        ask,
        read,
        spec.shape,
        identity=known,
        decode=decode,
        parameters=learned(model),
        nbytes=stored_bytes(model) if nbytes is None else nbytes,
        batch_rows=batch_rows,
    )


class Estimator:
    """A fitted model, from raw rows to its answers.

    Args:
        model: scikit-learn's protocol: ``feature_names_in_`` or ``n_features_in_``, where it has them.
        answer: from rows as the model takes them to its answers, such as its ``predict``.
    """

    def __init__(self, model: Any, answer: Callable[[Any], Any]) -> None:
        self.model, self.answer = model, answer
        self.names = column_names(model)
        # CatBoost says 0 of a model that was loaded from a file, and numbers its columns.
        self.width = getattr(model, "n_features_in_", 0) or len(getattr(model, "feature_names_", ())) or None
        self.library = type(model).__module__.partition(".")[0]

    def __call__(self, raw: Any) -> Any:
        """The model's answers; a column that it was fitted on and never reads may be missing."""
        rows, missing = self.inputs(raw)
        try:
            return self.answer(rows)
        except Exception as error:
            if missing:
                raise lacking(raw, self.names, missing) from error
            raise

    def inputs(self, raw: Any) -> tuple[Any, list[str]]:
        """Rows as the model was fitted on them, and the names of columns that they lack."""
        if not hasattr(raw, "iloc"):
            if self.names:
                return by_name(raw, self.names), []
            return raw if is_text(raw) else matrix_of(raw, self.width), []
        if not self.names:
            return self.unnamed(raw), []
        frame, missing = chosen(raw, self.names)
        if self.library == "catboost":
            wanted = [self.names[i] for i in self.model.get_cat_feature_indices()]
            known = [place for place, name in enumerate(frame.columns) if name in wanted]
            return with_whole_numbers(frame, known), missing
        return with_categories(frame) if self.library in ("lightgbm", "xgboost") else frame, missing

    def unnamed(self, frame: Any) -> Any:
        """A frame for a model that knows no names of columns."""
        steps = getattr(self.model, "steps", None)
        if frame.shape[1] == 1 and hasattr(steps[0][1] if steps else self.model, "build_analyzer"):
            return frame.iloc[:, 0].to_numpy(object)  # of texts, which it was fitted on
        if self.width is None:
            return frame
        if steps and frame.shape[1] == self.width:
            return frame.set_axis(range(self.width), axis="columns")
        return matrix_of(frame, self.width)


def refuse_kind(name: str, kind: str | None) -> None:
    """Refuse to be told what a model answers whose objective says it."""
    if kind is not None:
        raise UsageError(
            f"[teacher] outputs = {kind!r}: the objective of the {name} says what it answers. Remove the line."
        )


def refuse_unfitted(model: Any) -> None:
    """Refuse a model that was never fitted."""
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
    except (TypeError, AttributeError):  # no estimator of scikit-learn's making: it knows itself
        fitted = True
    if not fitted:
        name = type(model).__name__
        raise RejectedError(
            f"{name} is not fitted yet. Call its `fit` first, or name a teacher to be trained here. If it needs no "
            "fit, give the method that answers: `teacher=model.predict_proba`."
        )


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
