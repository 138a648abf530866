"""Standardised logits: the z-score of both nets' logits, under soft targets or under any other logit method."""

from __future__ import annotations

from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.probabilities import standardize
from stillhouse.functional.reduction import prepare
from stillhouse.methods.base import Method, Paper
from stillhouse.methods.registry import get, make, settings
from stillhouse.types import Batch, Outputs


def lskd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 2.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Logit standardisation (Sun et al. 2024).

    Matches:
        The class probabilities of both nets from z-scored logits, so that the student need not reach the range of the
        teacher's logits.

    Formula:
        T^2 * mean_i KL(softmax(s_t / T) || softmax(s_s / T)), s = (z - mean_c z) / (1e-7 + std_c z), std over C - 1.

    Defaults:
        T = 2 (the published base temperature).

    Deviations:
        None in the loss. The published comparison raises the weight from 0.9 to 9 and lowers T from 4 to 2 together
        with the z-score: tune plain soft targets in the same way before you compare. At a row of equal student logits
        the z-score jumps, with a gradient of 1/1e-7: do not start from a head of zeros.

    >>> import torch
    >>> round(lskd(torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0, 3.0]])).item(), 4)
    0.824
    """
    student, teacher = prepare(student_logits, teacher_logits, mask)
    return forward_kl(standardize(student), standardize(teacher), temperature, mask, reduction)


class LSKD(Method):
    """Standardised logits around another logit method; see :func:`lskd`.

    Args:
        around: Name of the logit method that gets the standardised logits, with its own defaults; from Python also a
            method object.
        temperature: Passed on where that method has one.

    Raises:
        UsageError: there is no such method, or it does not compare logits.
    """

    paper = Paper(
        "Sun, Ren, Li, Wang, Cao", "Logit Standardization in Knowledge Distillation", "CVPR", 2024, arxiv="2403.01427"
    )
    family = "logit"
    needs = frozenset({"logits"})

    def __init__(self, around: str | Method = "hinton", temperature: float = 2.0) -> None:
        super().__init__()
        self.inner = around if isinstance(around, Method) else _inner(around, temperature)
        if self.inner.family not in {"logit", "divergence"} or isinstance(self.inner, LSKD):
            raise UsageError(
                f"lskd standardises logits once, for a logit method; around = {around!r} is not one. Try hinton."
            )
        # What holds for the method inside holds for the whole.
        vars(self).update({k: getattr(self.inner, k) for k in ("needs", "batch_coupled", "perfect_is_zero")})

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the method inside."""
        self.inner.progress = self.progress
        ours, theirs = prepare(student.logits, teacher.logits, batch.mask)
        terms: dict[str, Tensor] = self.inner(
            student._replace(values=standardize(ours)), teacher._replace(values=standardize(theirs)), batch
        )
        return terms


def _inner(name: str, temperature: float) -> Method:
    return make(name, temperature=temperature) if "temperature" in settings(get(name)) else make(name)


METHOD = LSKD
