"""Forward KL to what a store keeps of a teacher: its largest classes with the mass of the tail, or sampled classes."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.sparse import bucket, sampled_cross_entropy


def listed_kl(
    student_logits: Tensor,
    indices: Tensor,
    log_probs: Tensor,
    log_tail: Tensor | None,
    softened: float,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """Forward KL over the listed classes and the tail; for a sample, the cross-entropy that has its gradient.

    Args:
        student_logits: ``(..., C)``.
        indices: int64 ``(..., k)``, distinct within a row where there is a tail.
        log_probs: ``(..., k)``, of the masses, or of the importance weights of a sample.
        log_tail: ``(...)``, the mass of all other classes as it was kept (1 minus the listed masses would hold their
            rounding). None: the classes were sampled.
        softened: The temperature at which the teacher was softened before classes were left out.

    Returns:
        Nats times T^2, the mean over the samples that count.

    Raises:
        UsageError: the teacher was softened at another temperature; a tail cannot be softened later.

    >>> student, teacher = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.5]]).log()
    >>> round(listed_kl(student, torch.tensor([[2]]), teacher, teacher[:, 0], softened=1.0).item(), 4)
    0.151
    """
    if softened != temperature:
        raise UsageError(
            f"The stored classes were softened at temperature {softened:g}, this loss wants {temperature:g}, and a "
            "tail cannot be softened later. Give all methods one temperature, or keep whole rows: "
            '`[store] codec = "dense"`.'
        )
    if log_tail is None:
        return sampled_cross_entropy(student_logits, indices, log_probs.exp(), temperature, mask)
    ours, _ = bucket(student_logits, indices, log_probs, temperature, mask)
    theirs = torch.cat([log_probs, log_tail.unsqueeze(-1)], -1)
    return temperature**2 * forward_kl(ours, theirs, mask=mask)
