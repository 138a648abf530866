"""Out-of-fold answers: each training row is answered by a teacher that did not see it.

A net is surer of the rows it was trained on than it has reason to be; a student taught by such answers learns the
labels and their noise, not what the teacher knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.ensemble import EnsembleTeacher
from stillhouse.types import Batch, Outputs, Teacher

WHOLE = -1  # stands for a fold where no fold left the row out


class CrossFitted:
    """Teachers trained here, each without one fold of the labelled rows.

    Rows that no fold holds (without a label, or of another split) are answered by one more that saw every labelled
    row, or by all of them together. No features are passed on: those of different nets have no coordinates in common.

    Args:
        folds: for each fold a teacher that has not seen its rows.
        fold_of: int64 (N,), for each training row the fold that leaves it out, -1 for none; see ``fold_of``.
        whole: answers the other rows; None: the mean of the folds' probabilities does.
    """

    def __init__(self, folds: Sequence[Teacher], fold_of: NDArray[np.int64], whole: Teacher | None = None) -> None:
        self.folds, self.fold_of = list(folds), fold_of
        self.whole: Teacher = EnsembleTeacher(self.folds) if whole is None else whole
        self.precision: str = getattr(self.whole, "precision", "32-true")

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.whole.classes

    @property
    def parameters(self) -> int:
        """Learned numbers of whoever answers a new row."""
        return self.whole.parameters

    @property
    def nbytes(self) -> int | None:
        """Bytes of whoever answers a new row; None: unknown."""
        size: int | None = getattr(self.whole, "nbytes", None)
        return size

    def outputs(self, batch: Batch) -> Outputs:
        """Logits float32 (B, C); all views of a row are answered by the teacher that did not see it."""
        logits = torch.empty(len(batch.rows), self.classes, device=batch.inputs.device)
        for fold, places in who_answers(self.fold_of, batch.rows.cpu().numpy()):
            teacher = self.whole if fold == WHOLE else self.folds[fold]
            logits[torch.from_numpy(places)] = teacher.outputs(take(batch, places)).logits.float()
        return Outputs(logits)

    def fingerprint(self) -> str:
        """Hash of all teachers and of which row is whose."""
        digest = xxhash.xxh3_128(self.fold_of.tobytes())
        for teacher in (self.whole, *self.folds):
            digest.update(teacher.fingerprint().encode())
        return digest.hexdigest()


def whole_of(teacher: Teacher) -> Teacher:
    """Who answers rows that no fold holds."""
    return teacher.whole if isinstance(teacher, CrossFitted) else teacher


def cross_fit(
    make: Callable[[Tensor], Teacher],
    labels: Tensor,
    folds: int,
    seed: int,
    *,
    others: Literal["mean", "whole"] = "mean",
) -> CrossFitted:
    """Train teachers, each without one fold.

    Args:
        make: trains a teacher on the rows it is given, int64 positions in the training rows, sorted.
        labels: int64 (N,) of the training rows, -1 where no label may be seen.
        folds: number of stratified folds; fewer where the rarest class has fewer rows.
        seed: of the folds.
        others: who answers rows of no fold: "mean", the mean of the folds' probabilities; "whole", one more teacher.

    Raises:
        UsageError: ``others`` is neither; fewer than two folds.
        RejectedError: a class has fewer than two labelled rows, so that no fold could leave one out.
    """
    if others not in ("mean", "whole"):
        raise UsageError(f"Rows of no fold are answered by 'mean' or 'whole', not {others!r}.")
    assigned = fold_of(labels.numpy(), folds, seed, "trained here")
    made = [make(torch.from_numpy(rows)) for rows in rows_seen(assigned)]
    whole = make(torch.from_numpy(np.flatnonzero(assigned != WHOLE))) if others == "whole" else None
    return CrossFitted(made, assigned, whole)


def fold_of(labels: NDArray[np.int64], folds: int, seed: int, name: str) -> NDArray[np.int64]:
    """For each training row the fold that leaves it out, stratified by label: int64 (N,), -1 for rows without a label.

    Args:
        labels: int64 (N,), -1 where no label may be seen.
        folds: their number; fewer where the rarest class has fewer rows.
        seed: of the shuffle.
        name: of the teacher, for the message.

    Raises:
        UsageError: fewer than two folds.
        RejectedError: a class has fewer than two labelled rows.
    """
    from sklearn.model_selection import StratifiedKFold

    seen = np.flatnonzero(labels >= 0)
    rarest = int(np.unique(labels[seen], return_counts=True)[1].min()) if len(seen) else 0
    if rarest < 2:
        raise RejectedError(
            f"The teacher {name!r} needs at least two labelled rows of each class to answer its own training rows "
            "out of fold. Raise `[teacher] labels`, or give it more labelled rows."
        )
    if folds < 2:
        raise UsageError(f"[teacher] folds = {folds}, but a row can be left out only where there are two or more.")
    splitter = StratifiedKFold(min(folds, rarest), shuffle=True, random_state=seed)
    assigned = np.full(len(labels), WHOLE, dtype=np.int64)
    for number, (_, left_out) in enumerate(splitter.split(seen, labels[seen])):
        assigned[seen[left_out]] = number
    return assigned


def rows_seen(assigned: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """For each fold the rows that its teacher may see: the labelled ones of all other folds, sorted."""
    seen = np.flatnonzero(assigned != WHOLE)
    return [seen[assigned[seen] != number] for number in range(int(assigned.max()) + 1)]


def who_answers(assigned: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The folds that answer a batch's rows, each with their places in the batch; -1: rows that no fold left out.

    Args:
        assigned: int64 (N,), from ``fold_of``.
        rows: int64 (B,), positions in the training rows; -1 for rows of other splits, which nothing was fitted on.

    >>> [(fold, places.tolist()) for fold, places in who_answers(np.array([1, 0, -1]), np.array([0, -1, 2, 0]))]
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
