"""All that is trained in one module whose one forward returns named scalars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor, nn

from stillhouse.engine.balance import LABELS, Balance
from stillhouse.engine.guard import Guard
from stillhouse.errors import UsageError
from stillhouse.functional.fused import constant
from stillhouse.functional.reduction import counted
from stillhouse.methods.base import Method
from stillhouse.taps import Taps
from stillhouse.types import Batch, Outputs, logits_of


class LabelLoss(Protocol):
    """The loss on the labels: the mean over labelled rows times ``weight``; 0 with gradient 0 where there are none.

    ``row_weights`` (B,) say how much each row's loss counts; the mean divides by the number of rows all the same, so
    that the part of a row does not depend on the others of its batch.
    """

    def __call__(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        smoothing: float = 0.0,
        weight: float | Tensor = 1.0,
        count: int | None = None,
        row_weights: Tensor | None = None,
    ) -> Tensor:
        """A scalar, from outputs (B, ...) and targets as in ``Batch``; ``count`` labelled rows, None: not counted."""


class Shares(NamedTuple):
    """What part of a batch some rows are: the mean over the batch is the sum of its parts' means times these."""

    labels: Tensor  # scalar in [0, 1]: of the known labels
    rows: Tensor  # scalar in [0, 1]: of the rows (or tokens) that count for the methods


class Step(nn.Module):
    """Student, taps and methods; data-parallel, autocast and compile see this one module.

    Args:
        student: any module from inputs to outputs.
        methods: what is matched: the name of its terms in the log, the built method, its weight.
        loss: on the labels, as ``Task.loss``; not needed where ``label_weight`` is 0.
        label_weight: weight of that loss; 0 leaves labels out.
        label_smoothing: given to the loss as ``smoothing``.
        balance: "gradient" lets the first steps set the weights (see ``Balance``); "guard" lowers those of methods that
            harm (see ``Guard``); "none" takes them as they are.

    Raises:
        UsageError: labels have a weight and no loss.
    """

    def __init__(
        self,
        student: nn.Module,
        methods: Sequence[tuple[str, Method, float]] = (),
        *,
        loss: LabelLoss | None = None,
        label_weight: float = 1.0,
        label_smoothing: float = 0.0,
        balance: Literal["none", "gradient", "guard"] = "none",
    ) -> None:
        super().__init__()
        if label_weight and loss is None:
            raise UsageError("A step that learns from labels needs `loss=`, or `label_weight=0.0` to leave labels out.")
        self.loss = loss
        self.student = student
        self.methods = nn.ModuleList([method for _, method, _ in methods])
        self.names = [name for name, _, _ in methods]
        self.label_weight = label_weight
        self.weights = {LABELS: label_weight} if label_weight else {}
        self.weights |= {name: weight for name, _, weight in methods}
        self.balance = Balance(self.weights) if balance == "gradient" and len(self.weights) > 1 else None
        self.guard = Guard(self.names) if balance == "guard" and self.names else None
        self.label_smoothing = label_smoothing
        self.taps = Taps(student, sorted({path for _, method, _ in methods for path in method.student_layers}))

    def forward(
        self, batch: Batch, teacher: Outputs | None = None, call: Callable[[Tensor], Any] | None = None
    ) -> dict[str, Tensor]:
        """Return the weighted terms, one scalar each; the loss is their sum.

        Without ``teacher``, its outputs, the labels alone count. ``call`` runs the student in another way (compiled).
        """
        return self.terms(self.outputs(batch, call), teacher, batch)

    def outputs(self, batch: Batch, call: Callable[[Tensor], Any] | None = None) -> Outputs:
        """The student's outputs, with the features that the methods read."""
        outputs = logits_of((call or self.student)(batch.inputs))
        return Outputs(outputs, self.taps.take())

    def terms(
        self,
        student: Outputs,
        teacher: Outputs | None,
        batch: Batch,
        shares: Shares | None = None,
        only: Literal["uncoupled", "coupled"] | None = None,
    ) -> dict[str, Tensor]:
        """The weighted terms of a batch.

        Args:
            student: its outputs.
            teacher: its outputs; None: the labels alone count.
            batch: the rows.
            shares: what part of a larger batch these rows are; None: they are all of it.
            only: the terms that are sums over rows ("uncoupled", the labels among them), or those that relate rows to
                each other ("coupled"); None: all.
        """
        terms: dict[str, Tensor] = {}
        if self.loss is not None and self.label_weight and only != "coupled":
            weight = self.weight(LABELS)
            terms[LABELS] = self.loss(
                student.values,
                batch.targets,
                smoothing=self.label_smoothing,
                weight=weight if shares is None else weight * shares.labels,
                count=batch.labels,
                row_weights=batch.weights,
            )
        if teacher is not None:
            one_by_one = weighted(batch, teacher.weights, batch.weights)
            for name, method in zip(self.names, self.methods, strict=True):
                assert isinstance(method, Method)
                if only is not None and method.batch_coupled != (only == "coupled"):
                    continue
                # Rows that are related to each other cannot count in part.
                rows = unweighted(one_by_one) if method.batch_coupled else one_by_one
                found: dict[str, Tensor] = method(student, teacher, rows)
                for term, value in found.items():
                    value = value if shares is None else value * shares.rows
                    terms[name if term == name or len(found) == 1 else f"{name}/{term}"] = self.weighed(name, value)
        return terms

    @property
    def coupled(self) -> list[Method]:
        """The methods that relate the rows of a batch to each other."""
        return [method for method in self.methods if isinstance(method, Method) and method.batch_coupled]

    def weight(self, source: str) -> float | Tensor:
        """The weight of the labels or of a method, as the recipe gives it or as it was balanced or lowered."""
        given = self.weights[source]
        by = self.balance or self.guard
        return given if by is None else given * by.factor(source)

    def weighed(self, source: str, value: Tensor) -> Tensor:
        """A term of the labels or of a method at its weight."""
        weight = self.weight(source)
        return value * (weight if isinstance(weight, Tensor) else constant(weight, value.dtype))

    def set_progress(self, progress: float) -> None:
        """Set for the methods which share of the training is done."""
        for method in self.methods:
            assert isinstance(method, Method)
            object.__setattr__(method, "progress", progress)  # a plain number needs no search for parameters

    def deployed(self) -> nn.Module:
        """What ships, when training is over; removes the taps."""
        self.taps.close()
        return self.shipped()

    def shipped(self) -> nn.Module:
        """The student with what a method declares part of it."""
        student = self.student
        for method in self.methods:
            assert isinstance(method, Method)
            student = method.deploy(student)
        return student


def weighted(batch: Batch, *weights: Tensor | None) -> Batch:
    """The batch for the methods: each row counts as much as the product of its weights says.

    Weights are (B,), at least 0, or None where all rows count in full; the mask may have an axis of tokens.
    """
    mask = batch.mask
    for one in weights:
        if one is not None:
            mask = one if mask is None else mask * one.reshape(-1, *[1] * (mask.ndim - 1))
    return batch._replace(mask=mask)


def unweighted(batch: Batch) -> Batch:
    """The batch with a bool mask: rows of weight 0 are left out, all others count in full."""
    return batch if batch.mask is None else batch._replace(mask=counted(batch.mask))
