"""Models of scikit-learn as teachers, with out-of-fold answers for the rows they were fitted on.

A forest is nearly certain of any row it was fitted on; a student that matches such answers learns the labels and their
noise, not what the forest knows. So each of those rows is answered by a forest that did not see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from stillhouse.errors import RejectedError, UsageError, nearest
from stillhouse.task import OutputSpec, Task
from stillhouse.teachers.crossfit import WHOLE, by_fold, fold_of, rows_seen
from stillhouse.teachers.sizes import learned, stored_bytes
from stillhouse.types import Batch, Outputs

NAMES = ("extra_trees", "hist_gradient_boosting", "random_forest")
ONE_OUTPUT = ("hist_gradient_boosting",)  # models that take one target


class SklearnTeacher:
    """Models fitted here by their name: the whole one, and one for each fold.

    Args:
        whole: fitted on all rows the teacher may see; answers every row it was not fitted on.
        folds: fitted each without one fold.
        fold_of: int64 (N,), for each training row the fold that left it out, or -1 where ``whole`` has not seen it.
        task: of the run, which reads what they predict.
        spec: of the outputs.
        identity: says which model this is, for the fingerprint; a fitted estimator is never stored.
    """

    def __init__(
        self, whole: Any, folds: Sequence[Any], fold_of: np.ndarray, task: Task, spec: OutputSpec, identity: str
    ) -> None:
        self.whole, self.folds, self.fold_of = whole, list(folds), fold_of
        self.task, self.spec, self.shape = task, spec, spec.shape
        self.identity = identity

    @property
    def parameters(self) -> int:
        """Number of tree nodes of the whole model; 0 where it has no trees that can be counted."""
        return learned(self.whole)

    @property
    def nbytes(self) -> int | None:
        """Bytes of those nodes; None where they cannot be counted."""
        return stored_bytes(self.whole)

    def outputs(self, batch: Batch) -> Outputs:
        """Values float32 (B, *shape); rows seen in fitting are answered by the fold that left them out."""
        inputs = flat(batch.inputs)
        values = np.empty((len(inputs), *self.shape), dtype=np.float32)
        for fold, places in by_fold(self.fold_of, batch.rows.numpy()):
            model = self.whole if fold == WHOLE else self.folds[fold]
            values[places] = self.task.teachers.predict(model, inputs[places], self.spec)
        return Outputs(torch.from_numpy(values))

    def fingerprint(self) -> str:
        """Hash of the model's kind, settings, seed, library version and of what it was fitted on."""
        return self.identity


def fit_sklearn(
    name: str,
    settings: Mapping[str, Any],
    inputs: Tensor,
    targets: Tensor,
    *,
    task: Task,
    spec: OutputSpec,
    folds: int,
    seed: int,
) -> SklearnTeacher:
    """Fit a named teacher on the rows that have a label, and once more without each fold.

    Args:
        name: one of ``NAMES``; the task says which model of scikit-learn that is.
        settings: keyword arguments of the scikit-learn class.
        inputs: encoded training rows (N, ...), flattened here.
        targets: (N,) or (N, K), without a label for rows whose label the teacher may not see.
        task: of the run.
        spec: of the outputs.
        folds: see ``fold_of``.
        seed: of the estimator and the folds.

    All rows are in memory at once, also those of `[data] on_disk`.

    Raises:
        UsageError: unknown name or setting.
        RejectedError: there are too few labelled rows for a fold to leave one out.
    """
    import sklearn

    x, y = flat(inputs), targets.numpy()
    assigned = fold_of(y, folds, seed, name)
    seen = np.flatnonzero(assigned != WHOLE)
    whole, *models = (
        task.teachers.fit(name, settings, x[rows], y[rows], seed) for rows in (seen, *rows_seen(assigned))
    )
    digest = xxhash.xxh3_128(f"{name}{sorted(settings.items())}{seed}{folds}{sklearn.__version__}".encode())
    digest.update(np.ascontiguousarray(x[seen]).tobytes())
    digest.update(y.tobytes())
    return SklearnTeacher(whole, models, assigned, task, spec, digest.hexdigest())


def make_estimator(makers: Mapping[str, str], name: str, settings: Mapping[str, Any], seed: int) -> Any:
    """An unfitted model of scikit-learn by our name for it.

    Args:
        makers: from our names to classes of ``sklearn.ensemble``.
        name: ours.
        settings: keyword arguments of the class.
        seed: its ``random_state``.

    Raises:
        UsageError: unknown name or setting, or a value that scikit-learn refuses.
    """
    from sklearn import ensemble

    if name not in makers:
        raise UsageError(f"[teacher] name = {name!r} is not a teacher.{nearest(name, makers)}")
    maker = getattr(ensemble, makers[name])
    known = maker().get_params()
    for key in settings:
        if key not in known:
            raise UsageError(f"[teacher] settings: {name} has no setting {key!r}.{nearest(key, known)}")
    parallel = {"n_jobs": -1} if "n_jobs" in known else {}
    return maker(**{"random_state": seed} | parallel | dict(settings))


def flat(inputs: Tensor) -> np.ndarray:
    """Rows as vectors, which is all that trees read."""
    return inputs.reshape(len(inputs), -1).numpy()


class PerOutput:
    """One model for each output, fitted to the rows in which that output is known.

    Args:
        models: fitted, in the order of the outputs.
    """

    def __init__(self, models: Sequence[Any]) -> None:
        self.estimators_ = list(models)


def fit_outputs(
    makers: Mapping[str, str],
    name: str,
    settings: Mapping[str, Any],
    inputs: np.ndarray,
    targets: np.ndarray,
    seed: int,
) -> Any:
    """A model of scikit-learn for targets (N, K): one for all of them, or one for each.

    Args:
        makers: as for ``make_estimator``, as are name, settings and seed.
        name: ours.
        settings: keyword arguments of the class.
        inputs: (N, F).
        targets: (N, K), NaN where one is not known.
        seed: its ``random_state``.

    Returns:
        The fitted model, or a ``PerOutput``: where the model takes one target, or some targets are not known.

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
        return make_estimator(makers, name, settings, seed).fit(inputs, targets)
    columns = range(targets.shape[1])
    return PerOutput(
        [
            make_estimator(makers, name, settings, seed).fit(inputs[known[:, k]], targets[known[:, k], k])
            for k in columns
        ]
    )
