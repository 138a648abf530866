"""Models of scikit-learn as teachers, with out-of-fold answers for the rows they were fitted on.

A forest is nearly certain of any row it was fitted on, so each of those rows is answered by a forest that did not see
it: see ``crossfit``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import xxhash
from torch import Tensor

from stillhouse.errors import RejectedError, UsageError, nearest
from stillhouse.settings import check_settings, parameters
from stillhouse.task import OutputSpec, Task
from stillhouse.teachers.crossfit import WHOLE, CrossFitted, fold_of, rows_seen
from stillhouse.teachers.sizes import learned, stored_bytes
from stillhouse.types import Batch, Outputs

NAMES = ("extra_trees", "hist_gradient_boosting", "random_forest")
ONE_OUTPUT = ("hist_gradient_boosting",)  # models that take one target


class SklearnTeacher:
    """A model that ``task.teachers.fit`` made, from encoded rows to outputs; a fitted estimator is never stored.

    Args:
        model: fitted.
        task: of the run, which reads what the model predicts.
        spec: of the outputs.
        identity: hash of the model's kind, settings, seed, library version and training rows.
    """

    def __init__(self, model: Any, task: Task, spec: OutputSpec, identity: str) -> None:
        self.model, self.task, self.spec, self.shape = model, task, spec, spec.shape
        self.identity = identity
        self.parameters, self.nbytes = learned(model), stored_bytes(model)

    def outputs(self, batch: Batch) -> Outputs:
        """Values float32 (B, *shape)."""
        return Outputs(torch.from_numpy(self.task.teachers.predict(self.model, flat(batch.inputs), self.spec)))

    def fingerprint(self) -> str:
        """The identity."""
        return self.identity


def fit_sklearn(
    name: str,
    settings: Mapping[str, Any],
    inputs: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    *,
    task: Task,
    spec: OutputSpec,
    folds: int,
    seed: int,
) -> CrossFitted:
    """Fit a named teacher on the rows that have a label, and once more without each fold.

    All rows are in memory at once, also those of `[data] on_disk`.

    Args:
        name: one of ``NAMES``; the task says which model of scikit-learn that is.
        settings: keyword arguments of the scikit-learn class.
        inputs: encoded training rows (N, ...), flattened here.
        targets: (N,) or (N, K), without a label where the teacher may not see it.
        weights: (N,) how much each row counts; None: all alike.
        task: of the run.
        spec: of the outputs.
        folds: see ``fold_of``.
        seed: of the estimator and the folds.

    Raises:
        UsageError: unknown name or setting.
        RejectedError: there are too few labelled rows for a fold to leave one out.
    """
    import sklearn

    x, y = flat(inputs), targets.numpy()
    assigned = fold_of(y, folds, seed, name, spec.names)
    seen = np.flatnonzero(assigned != WHOLE)
    digest = xxhash.xxh3_128(f"{name}{sorted(settings.items())}{seed}{folds}{sklearn.__version__}".encode())
    digest.update(np.ascontiguousarray(x[seen]).tobytes())
    digest.update(y.tobytes())
    w = None if weights is None else weights.double().numpy()
    if w is not None:
        digest.update(w.tobytes())
    identity = digest.hexdigest()

    def fit(rows: np.ndarray) -> SklearnTeacher:
        model = task.teachers.fit(name, settings, x[rows], y[rows], None if w is None else w[rows], seed)
        return SklearnTeacher(model, task, spec, identity)

    whole, *others = (fit(rows) for rows in (seen, *rows_seen(assigned)))
    return CrossFitted(others, assigned, whole, identity)


def make_estimator(makers: Mapping[str, str], name: str, settings: Mapping[str, Any], seed: int) -> Any:
    """An unfitted model of scikit-learn; ``makers`` are classes of ``sklearn.ensemble`` by our names for them.

    Raises:
        UsageError: unknown name, or a setting that is unknown or wrong.
    """
    from sklearn import ensemble

    if name not in makers:
        raise UsageError(f"[teacher] name = {name!r} is not a teacher.{nearest(name, makers)}")
    maker = getattr(ensemble, makers[name])
    check_settings(f"The teacher {name!r}", maker, settings)
    parallel = {"n_jobs": -1} if "n_jobs" in parameters(maker) else {}
    made = maker(**{"random_state": seed} | parallel | dict(settings))
    try:
        made._validate_params()  # the check of types and ranges that ``fit`` begins with
    except ValueError as error:
        raise UsageError(f"[teacher] settings: {error}") from error
    return made


def flat(inputs: Tensor) -> np.ndarray:
    """Rows as vectors, which is all that trees read."""
    return inputs.reshape(len(inputs), -1).numpy()


class PerOutput(NamedTuple):
    """One fitted model for each output, in the order of the outputs."""

    estimators_: list[Any]


def fit_outputs(
    makers: Mapping[str, str],
    name: str,
    settings: Mapping[str, Any],
    inputs: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None,
    seed: int,
) -> Any:
    """A fitted model for targets (N, K), NaN where one is not known; for the arguments see ``make_estimator``.

    It is a ``PerOutput`` where the model takes one target, or some targets are not known.

    Raises:
        RejectedError: an output is known in no row.
    """
    known = ~np.isnan(targets)
    if not known.any(0).all():
        raise RejectedError(
            f"Output {int(np.flatnonzero(~known.any(0))[0]) + 1} of {targets.shape[1]} has no label among the "
            f"{len(targets)} rows that a teacher may be fitted to. Raise `[teacher] labels`, or leave that target out."
        )
    if name not in ONE_OUTPUT and targets.shape[1] > 1 and known.all():
        return make_estimator(makers, name, settings, seed).fit(inputs, targets, weights)

    def fit(output: int) -> Any:
        rows = known[:, output]
        model = make_estimator(makers, name, settings, seed)
        return model.fit(inputs[rows], targets[rows, output], None if weights is None else weights[rows])

    return PerOutput([fit(output) for output in range(targets.shape[1])])
