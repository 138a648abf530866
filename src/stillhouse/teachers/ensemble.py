"""Several teachers that answer as one, and how far they disagree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import xxhash
from torch import Tensor

from stillhouse.errors import RejectedError, UsageError, nearest
from stillhouse.task import Task
from stillhouse.teachers.sizes import total
from stillhouse.types import Batch, Outputs, Teacher, shape_of, withheld

DISAGREEMENT = "disagreement"  # the feature (B, 1) that says how far the members are apart, in outputs and in stores
SPREAD = "spread"  # the feature (B, K) of a teacher of real values: the standard deviation of each of them


class EnsembleTeacher:
    """Teachers of the same task whose outputs are joined, in a way that the task offers.

    The outputs have the feature ``disagreement``, float32 (B, 1), not negative. Other features of the members are
    dropped unless the task joins them.

    Args:
        teachers: the members.
        task: of the run.
        how: the way they are joined, one of ``task.teachers.joins``.
        weights: one for each member, not negative, of any sum; None: all equal.
        labels: targets (N, ...) of the training rows, for ways that use them; None: the targets of each batch.
        labelled_views: views of a row for which its label holds, the row itself included.

    Raises:
        UsageError: no members, an unknown way, or wrong weights.
        RejectedError: members of different shapes; a member that answers NaN, with its rows.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        task: Task,
        how: str = "mean",
        weights: Sequence[float] | None = None,
        *,
        labels: Tensor | None = None,
        labelled_views: int = 1,
    ) -> None:
        self.teachers, self.task, self.how = list(teachers), task, how
        joins = task.teachers.joins
        if how not in joins:
            raise UsageError(
                f"[teacher] combine = {how!r}: the task {task.name} cannot join teachers so.{nearest(how, joins)}"
            )
        self.shape = _same_shape(self.teachers)
        self.weights = _normalised(weights, len(self.teachers))
        self.labels, self.labelled_views = labels, labelled_views

    @property
    def parameters(self) -> int:
        """Learned numbers of all members: each is asked about every row."""
        return sum(teacher.parameters for teacher in self.teachers)

    @property
    def nbytes(self) -> int | None:
        """Bytes of all members; None where those of one are not known."""
        return total(getattr(teacher, "nbytes", None) for teacher in self.teachers)

    def outputs(self, batch: Batch) -> Outputs:
        """Joined values float32 (B, *shape), and ``features["disagreement"]`` (B, 1)."""
        members = [self._ask(number, batch) for number in range(len(self.teachers))]
        weights = self.weights.to(members[0].values.device)
        joined: Outputs = self.task.teachers.join(members, weights, self.how, self._targets(batch))
        return joined

    def fingerprint(self) -> str:
        """Hash of the members, in order, and of how they are joined; with ``confidence`` of the labels too."""
        digest = xxhash.xxh3_128(f"{self.how} {self.weights.tolist()}".encode())
        for teacher in self.teachers:
            digest.update(f"{teacher.fingerprint()} {getattr(teacher, 'precision', '')} ".encode())
        if self.how == "confidence" and self.labels is not None:
            digest.update(f"{self.labelled_views}".encode() + self.labels.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _ask(self, number: int, batch: Batch) -> Outputs:
        """One member's outputs."""
        outputs = self.teachers[number].outputs(batch)
        bad = torch.nonzero(outputs.values.isnan().flatten(1).any(1)).flatten()
        if len(bad):
            rows = ", ".join(str(int(row)) for row in batch.rows[bad[:5]])
            raise RejectedError(
                f"Member {number + 1} of {len(self.teachers)} teachers answered NaN for {len(bad)} of "
                f"{len(outputs.values)} rows; the first row ids are {rows}. Fix or leave out that teacher, or those "
                "rows."
            )
        return outputs

    def _targets(self, batch: Batch) -> Tensor:
        """Labels of the rows, where they may be seen."""
        if self.labels is None:
            return batch.targets
        known = (batch.rows >= 0) & (batch.views < self.labelled_views)
        found = self.labels.to(batch.rows.device)[batch.rows.clamp(min=0)]
        return torch.where(known.reshape(-1, *[1] * (found.ndim - 1)), found, withheld(found))


def row_weights(disagreement: Tensor, scale: float) -> Tensor:
    """Weights (B,) in (0, 1] for rows by their teachers' disagreement: ``exp(-scale * disagreement)``.

    Args:
        disagreement: (B, 1) or (B,), in nats.
        scale: not negative; 0 leaves every row its weight of 1.

    Raises:
        UsageError: the scale is negative or no number.

    >>> [round(weight, 4) for weight in row_weights(torch.tensor([[0.0], [0.5]]), 2.0).tolist()]
    [1.0, 0.3679]
    """
    if not 0 <= scale < math.inf:
        raise UsageError(f"The scale of row weights is {scale}; it must be a number, 0 or more (0: all rows alike).")
    return torch.exp(-scale * disagreement.flatten())


def _same_shape(teachers: Sequence[Teacher]) -> tuple[int, ...]:
    if not teachers:
        raise UsageError("An ensemble without members cannot answer. Give at least one `[[teacher.member]]`.")
    shapes = [shape_of(teacher) for teacher in teachers]
    if len(set(shapes)) > 1:
        raise RejectedError(
            f"The members answer with {', '.join(' x '.join(map(str, shape)) for shape in shapes)} numbers a row; "
            "joined teachers must give the same outputs in the same order. Leave out those that were made for others."
        )
    return shapes[0]


def _normalised(weights: Sequence[float] | None, count: int) -> Tensor:
    """Weights float64 (K,) of sum 1."""
    given = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(given) != count or not all(0 <= weight < math.inf for weight in given) or sum(given) <= 0:
        raise UsageError(
            f"The weights {given} do not fit {count} members. Give one for each, 0 or more, and not all of them 0."
        )
    return torch.tensor(given, dtype=torch.float64) / sum(given)
