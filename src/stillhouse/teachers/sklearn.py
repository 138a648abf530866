"""scikit-learn classifiers as teachers, with out-of-fold answers for the rows they were fitted on.

A forest is nearly certain of any row it was fitted on; a student taught by such answers learns the labels and their
noise, not what the forest knows. So each of those rows is answered by a forest that did not see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from stillhouse.errors import UsageError, nearest
from stillhouse.teachers.crossfit import WHOLE, fold_of, rows_seen, who_answers
from stillhouse.teachers.sizes import learned, stored_bytes
from stillhouse.types import Batch, Outputs

NAMES = ("extra_trees", "hist_gradient_boosting", "random_forest")
SMALLEST = 1e-6  # a probability of 0 becomes this: its logarithm is finite and fits every codec


class SklearnTeacher:
    """Fitted classifiers with ``predict_proba``: the whole one, and one for each fold.

    Args:
        whole: fitted on all rows the teacher may see; answers every row it was not fitted on.
        folds: fitted each without one fold.
        fold_of: int64 (N,), for each training row the fold that left it out, or -1 where ``whole`` has not seen it.
        classes: number of classes of the data; a model that has met fewer gets probability 0 for the others.
        identity: says which model this is, for the fingerprint; a fitted estimator is never stored.
    """

    def __init__(self, whole: Any, folds: Sequence[Any], fold_of: np.ndarray, classes: int, identity: str) -> None:
        self.whole, self.folds, self.fold_of = whole, list(folds), fold_of
        self.classes = classes
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
        """Log-probabilities float32 (B, C); rows seen in fitting are answered by the fold that left them out."""
        inputs = flat(batch.inputs)
        logs = np.empty((len(inputs), self.classes), dtype=np.float32)
        for fold, places in who_answers(self.fold_of, batch.rows.numpy()):
            model = self.whole if fold == WHOLE else self.folds[fold]
            logs[places] = log_proba(model, inputs[places], self.classes)
        return Outputs(torch.from_numpy(logs))

    def fingerprint(self) -> str:
        """Hash of the model's kind, settings, seed, library version and of what it was fitted on."""
        return self.identity


def fit_sklearn(
    name: str, settings: dict[str, Any], inputs: Tensor, targets: Tensor, *, classes: int, folds: int, seed: int
) -> SklearnTeacher:
    """Fit a named teacher on the rows with ``targets >= 0``, and once more without each fold.

    Args:
        name: one of ``NAMES``.
        settings: keyword arguments of the scikit-learn class.
        inputs: encoded training rows (N, ...), flattened here.
        targets: int64 (N,), -1 for rows the teacher may not see the label of.
        classes: number of classes.
        folds: number of stratified folds; fewer where the rarest class has fewer rows.
        seed: of the estimator and the folds.

    All rows are in memory at once, also those of `[data] on_disk`.

    Raises:
        UsageError: unknown name or setting.
        RejectedError: a class has fewer than two labelled rows, so that no fold could leave one out.
    """
    import sklearn

    x, y = flat(inputs), targets.numpy()
    assigned = fold_of(y, folds, seed, name)
    seen = np.flatnonzero(y >= 0)
    whole = make_estimator(name, settings, seed).fit(x[seen], y[seen])
    models = [make_estimator(name, settings, seed).fit(x[rows], y[rows]) for rows in rows_seen(assigned)]
    digest = xxhash.xxh3_128(f"{name}{sorted(settings.items())}{seed}{folds}{sklearn.__version__}".encode())
    digest.update(np.ascontiguousarray(x[seen]).tobytes())
    digest.update(y.tobytes())
    return SklearnTeacher(whole, models, assigned, classes, digest.hexdigest())


def make_estimator(name: str, settings: dict[str, Any], seed: int) -> Any:
    """An unfitted scikit-learn classifier by our name for it.

    Raises:
        UsageError: unknown name or setting, or a value that scikit-learn refuses.
    """
    from sklearn import ensemble

    makers = {
        "extra_trees": ensemble.ExtraTreesClassifier,
        "random_forest": ensemble.RandomForestClassifier,
        "hist_gradient_boosting": ensemble.HistGradientBoostingClassifier,
    }
    if name not in makers:
        raise UsageError(f"[teacher] name = {name!r} is not a teacher.{nearest(name, makers)}")
    known = makers[name]().get_params()
    for key in settings:
        if key not in known:
            raise UsageError(f"[teacher] settings: {name} has no setting {key!r}.{nearest(key, known)}")
    parallel = {"n_jobs": -1} if "n_jobs" in known else {}
    return makers[name](**{"random_state": seed} | parallel | settings)


def log_proba(model: Any, inputs: np.ndarray, classes: int) -> np.ndarray:
    """Log-probabilities (B, C) in the data's class order."""
    probabilities = np.zeros((len(inputs), classes))
    probabilities[:, model.classes_] = model.predict_proba(inputs)
    return np.log(np.maximum(probabilities, SMALLEST)).astype(np.float32)


def flat(inputs: Tensor) -> np.ndarray:
    """Rows as vectors, which is all that trees read."""
    return inputs.reshape(len(inputs), -1).numpy()
