"""Out-of-fold answers: each training row is answered by a teacher that did not see it.

A teacher is too sure of the rows it was trained on; a student that matches such answers learns the labels and their
noise, not what the teacher knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.identity import identity_of
from stillhouse.types import Batch, Outputs, Teacher, has_label, shape_of

WHOLE = -1  # stands for a fold where no fold left the row out


class CrossFitted:
    """Teachers trained here, each without one fold of the labelled rows.

    Rows that no fold holds (without a label, or of another split) are answered by one more that saw every labelled
    row. No features are passed on: those of different nets have no coordinates in common.

    Args:
        folds: for each fold a teacher that has not seen its rows.
        fold_of: int64 (N,), for each training row the fold that leaves it out, -1 for none; see ``fold_of``.
        whole: answers the other rows; its size is that of the teacher.
        identity: the fingerprint; None: that of all teachers and of which row is whose.
    """

    def __init__(
        self, folds: Sequence[Teacher], fold_of: NDArray[np.int64], whole: Teacher, identity: str | None = None
    ) -> None:
        self.folds, self.fold_of, self.whole, self.identity = list(folds), fold_of, whole, identity
        self.shape, self.parameters = shape_of(whole), whole.parameters
        self.nbytes: int | None = getattr(whole, "nbytes", None)
        self.precision: str = getattr(whole, "precision", "32-true")

    def outputs(self, batch: Batch) -> Outputs:
        """Values float32 (B, *shape); all views of a row are answered by the teacher that did not see it."""
        values = torch.empty(len(batch.rows), *self.shape, device=batch.inputs.device)
        for fold, places in by_fold(self.fold_of, batch.rows.cpu().numpy()):
            teacher = self.whole if fold == WHOLE else self.folds[fold]
            values[torch.from_numpy(places)] = teacher.outputs(take(batch, places)).values.float()
        return Outputs(values)

    def fingerprint(self) -> str:
        """Hash of all that determines the answers."""
        if self.identity is not None:
            return self.identity
        digest = xxhash.xxh3_128(self.fold_of.tobytes())
        for teacher in (self.whole, *self.folds):
            digest.update(teacher.fingerprint().encode())
        return digest.hexdigest()


def renumbered(teacher: Teacher, places: NDArray[np.int64]) -> Teacher:
    """A teacher that is asked by other row numbers: out of fold where it answers so, else as it is.

    Args:
        teacher: any.
        places: int64 (N,), for each new number the position in the rows that it was trained on, -1 for none.
    """
    if not isinstance(teacher, CrossFitted):
        return teacher
    folds = np.where(places >= 0, teacher.fold_of[np.maximum(places, 0)], WHOLE)
    return CrossFitted(teacher.folds, folds, teacher.whole)


@dataclass(frozen=True)
class FittedFolds:
    """A model fitted on all labelled rows, and one for each fold that has not seen its rows."""

    whole: Any  # answers rows that no fold holds
    folds: Sequence[Any]  # for each fold the model that was fitted without it
    fold_of: NDArray[np.int64]  # (N,), for each training row the fold that leaves it out, -1 for none

    def fingerprint(self) -> str:
        """Hash of all models and of which row is whose."""
        return identity_of(self.whole, list(self.folds), self.fold_of)

    def teacher(self, of_model: Callable[[Any], Teacher]) -> Teacher:
        """All of them as one teacher; ``of_model`` makes one of a fitted model."""
        return CrossFitted([of_model(model) for model in self.folds], self.fold_of, of_model(self.whole))


def fit_folds(
    fit: Callable[[NDArray[np.int64]], Any], labels: NDArray[Any], folds: int, seed: int, name: str
) -> FittedFolds:
    """Fit a model on the labelled rows, and once more without each fold; see ``fold_of``.

    ``fit`` fits a new model on the rows whose positions it is given, int64 (n,), and returns it.
    """
    assigned = fold_of(labels, folds, seed, name)
    return FittedFolds(fit(np.flatnonzero(assigned != WHOLE)), [fit(rows) for rows in rows_seen(assigned)], assigned)


def whole_of(teacher: Teacher) -> Teacher:
    """The teacher that answers rows of no fold; of one that is wrapped (``inner``), the one inside."""
    inner: Teacher | None = teacher.whole if isinstance(teacher, CrossFitted) else getattr(teacher, "inner", None)
    return teacher if inner is None else whole_of(inner)


def fold_of(labels: NDArray[Any], folds: int, seed: int, name: str, classes: Sequence[str] = ()) -> NDArray[np.int64]:
    """For each training row the fold that leaves it out: int64 (N,), -1 for rows without a label.

    Folds are stratified by the label where labels are classes (int64), and plain where they are numbers.

    Args:
        labels: int64 (N,), -1 where no label may be seen; or float32 (N, K), NaN where a label may not be seen.
        folds: their number; fewer where the rarest class has fewer rows.
        seed: of the shuffle.
        name: of the teacher, for the message.
        classes: names of the classes, for the message.

    Raises:
        UsageError: fewer than two folds.
        RejectedError: a class, or all of them together, has fewer than two labelled rows.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    seen = np.flatnonzero(has_label(torch.from_numpy(labels)).numpy())
    stratified = labels.dtype.kind == "i"
    found, counts = np.unique(labels[seen], return_counts=True)
    rarest = int(counts.min()) if len(seen) and stratified else len(seen)
    if rarest < 2:
        single = [repr(classes[label]) for label in found[counts < 2][:5].tolist()] if classes and stratified else []
        more = f", but there is one of {', '.join(single)}" if single else ""
        raise RejectedError(
            f"The teacher {name!r} needs at least two labelled rows{' of each class' * stratified} to answer its own "
            f"training rows out of fold{more}. Raise "
            "`[teacher] labels`, or give it more labelled rows."
        )
    if folds < 2:
        raise UsageError(f"[teacher] folds = {folds}, but a row can be left out only where there are two or more.")
    splitter = (StratifiedKFold if stratified else KFold)(min(folds, rarest), shuffle=True, random_state=seed)
    assigned = np.full(len(labels), WHOLE, dtype=np.int64)
    for number, (_, left_out) in enumerate(splitter.split(seen, labels[seen] if stratified else None)):
        assigned[seen[left_out]] = number
    return assigned


def rows_seen(assigned: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """For each fold the rows that its teacher may see: the labelled ones of all other folds, sorted."""
    seen = np.flatnonzero(assigned != WHOLE)
    return [seen[assigned[seen] != number] for number in range(int(assigned.max()) + 1)]


def by_fold(assigned: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The folds that answer a batch's rows, each with their places in the batch; -1: rows that no fold left out.

    Args:
        assigned: int64 (N,), from ``fold_of``.
        rows: int64 (B,), positions in the training rows; -1 for rows of other splits, which nothing was fitted on.

    >>> [(fold, places.tolist()) for fold, places in by_fold(np.array([1, 0, -1]), np.array([0, -1, 2, 0]))]
    [(-1, [1, 2]), (1, [0, 3])]
    """
    folds = np.where(rows >= 0, assigned[np.maximum(rows, 0)], WHOLE)
    for fold in np.unique(folds):
        yield int(fold), np.flatnonzero(folds == fold)


def take(batch: Batch, places: NDArray[np.int64]) -> Batch:
    """Some rows of a batch, with all that belongs to them."""
    chosen = torch.from_numpy(places).to(batch.inputs.device)
    raw = batch.raw
    if hasattr(raw, "iloc"):
        raw = raw.iloc[places]
    elif raw is not None:
        raw = raw[places] if isinstance(raw, np.ndarray) else [raw[place] for place in places]
    return Batch(
        batch.inputs[chosen],
        batch.targets[chosen],
        batch.rows[chosen],
        batch.views[chosen],
        None if batch.mask is None else batch.mask[chosen],
        raw,
    )
