"""Divergences from what a store keeps of a teacher: its largest classes and their tail, or sampled classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.shaped import shaped_log_probs
from stillhouse.functional.sparse import bucket, sampled_cross_entropy


def listed_divergence(
    divergence: Callable[..., Tensor],
    student_logits: Tensor,
    indices: Tensor,
    log_probs: Tensor,
    log_tail: Tensor | None,
    softened: float,
    tail_shape: Tensor | None = None,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
    **settings: Any,
) -> Tensor:
    """A divergence over the listed classes and the tail as one more class; forward KL also from a sample.

    The student keeps all its classes: what it gives to those that are not listed is its tail, so no divergence rewards
    it for mass outside of the list (as reverse KL over the listed classes alone would).

    Args:
        divergence: a function of :mod:`stillhouse.functional.divergences`.
        student_logits: ``(..., C)``.
        indices: int64 ``(..., k)``, distinct within a row where there is a tail.
        log_probs: ``(..., k)``, of the masses, or of the importance weights of a sample.
        log_tail: ``(...)``, the mass of all other classes as it was kept (1 minus the listed masses would hold their
            rounding). None: the classes were sampled.
        softened: The temperature at which the teacher was softened before classes were left out.
        tail_shape: ``(B, C)`` beside listed classes ``(B, T, k)``: how the tail's mass lies over the other classes.
            Then all classes are compared, and not the tail as one class. None: that is not known.
        temperature: of the divergence.
        mask: Bool or weights ``(...)``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        settings: Further arguments of the divergence, such as ``beta``.

    Returns:
        Nats times T^2: the mean over the samples that count, or as ``reduction`` says.

    Raises:
        UsageError: the teacher was softened at another temperature, since a tail cannot be softened later; or classes
            were sampled and the divergence is not forward KL.

    >>> student, teacher = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.5]]).log()
    >>> listed = torch.tensor([[2]]), teacher, teacher[:, 0]
    >>> round(listed_divergence(forward_kl, student, *listed, softened=1.0).item(), 4)
    0.151
    """
    if softened != temperature:
        raise UsageError(
            f"The stored classes were softened at temperature {softened:g}, this loss wants {temperature:g}, and a "
            "tail cannot be softened later. Give all methods one temperature, or keep whole rows: "
            '`[store] codec = "dense"`.'
        )
    if log_tail is None:
        if divergence is not forward_kl:
            raise UsageError(
                f"A store of sampled classes gives the gradient of forward KL alone, and {divergence.__name__} needs "
                'the largest classes and their tail. Write `[store] codec = "topk:32"`, or match with `forward_kl`.'
            )
        return sampled_cross_entropy(student_logits, indices, log_probs.exp(), temperature, mask, reduction)
    if tail_shape is not None:
        theirs = shaped_log_probs(indices, log_probs, log_tail, tail_shape)
        settings |= {"temperature": temperature, "mask": mask, "reduction": reduction}
        return divergence(student_logits, temperature * theirs, **settings)
    ours, _ = bucket(student_logits, indices, log_probs, temperature, mask)
    theirs = torch.cat([log_probs, log_tail.unsqueeze(-1)], -1)
    return temperature**2 * divergence(ours, theirs, mask=mask, reduction=reduction, **settings)
