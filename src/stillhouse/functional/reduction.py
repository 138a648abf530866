"""The one place where masks, precision and reductions are decided; every loss goes through it."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.errors import UsageError, nearest

REDUCTIONS = ("mean", "sum", "none")


def reduce(losses: Tensor, mask: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """Reduce one loss a sample to what was asked for.

    Args:
        losses: One value for each sample or token, any shape.
        mask: The shape of ``losses``. Bool: which samples count; floating: how much each counts, 0 for not at all.
            None: all of them.
        reduction: ``"mean"`` divides by the number of samples that count, however little (so that the weight of a
            sample does not depend on the others of its batch); ``"sum"``; ``"none"`` (0 where a sample does not count).

    Returns:
        A scalar, or the shape of ``losses`` for ``"none"``. Where no sample counts, 0 with a gradient of 0.

    Raises:
        UsageError: the mask does not fit or the reduction is unknown.

    >>> reduce(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([True, True, False])).item()
    1.5
    >>> reduce(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([1.0, 0.25, 0.0])).item()
    0.75
    """
    known_reduction(reduction)
    if mask is not None:
        losses = fill_masked(losses, mask)
        losses = losses if mask.dtype == torch.bool else losses * mask
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    # An empty mask divides 0 by 1: the graph stays connected and every gradient is 0, not NaN.
    return total / (max(losses.numel(), 1) if mask is None else counted(mask).sum().clamp(min=1))


def known_reduction(reduction: str) -> str:
    """Return the name of a reduction; ``UsageError`` where there is none of this name."""
    if reduction not in REDUCTIONS:
        raise UsageError(f"There is no reduction {reduction!r}.{nearest(reduction, REDUCTIONS)}")
    return reduction


def fill_masked(tensor: Tensor, mask: Tensor | None) -> Tensor:
    """Put 0 where a sample does not count, before any arithmetic.

    Zeroing the loss alone is not enough: a NaN or an infinity in the padding would come back through the gradient,
    since 0 * inf is NaN.

    Raises:
        UsageError: the mask holds whole numbers, or its shape is not the leading shape.
    """
    if mask is None:
        return tensor
    if not (mask.dtype == torch.bool or mask.is_floating_point()) or mask.shape != tensor.shape[: mask.ndim]:
        raise UsageError(
            f"A mask must be bool, or weights (floating), with the leading shape of what it masks, but is {mask.dtype} "
            f"{tuple(mask.shape)} for {tuple(tensor.shape)}: True where a sample counts. Convert it with `mask.bool()` "
            "or reshape it."
        )
    mask = counted(mask)
    return tensor.masked_fill(~mask.reshape(mask.shape + (1,) * (tensor.ndim - mask.ndim)), 0.0)


def counted(mask: Tensor) -> Tensor:
    """Bool: the samples that count at all."""
    return mask if mask.dtype == torch.bool else mask > 0


def prepare(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return both sides ready for a loss: at least float32, the teacher without a gradient, masked rows at 0.

    Raises:
        UsageError: the two shapes differ (broadcasting would hide it), or the mask is no leading shape of both.
    """
    if student.shape != teacher.shape:
        raise UsageError(
            f"Student and teacher must have one shape, but the student's is {tuple(student.shape)} and the teacher's "
            f"{tuple(teacher.shape)}. Where the heads are padded differently, cut both to the classes they share: "
            "`logits[..., :classes]`."
        )
    return fill_masked(at_least_float32(student), mask), fill_masked(at_least_float32(teacher.detach()), mask)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return the tensor in float32, or unchanged where it is wider: losses never do half-precision arithmetic."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def valid_rows(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the rows that count, ready for a loss that relates the rows of a batch to each other.

    Returns:
        Both sides ``(N, D)``, as :func:`prepare` gives them; N may be 0.
    """
    student, teacher = (side.flatten(0, -2) for side in prepare(student, teacher, mask))
    if mask is None:
        return student, teacher
    valid = counted(mask).flatten()
    return student[valid], teacher[valid]
