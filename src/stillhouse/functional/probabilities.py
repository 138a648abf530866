"""Log-probabilities from logits: softened, of one class against the rest, of mixtures; standardised logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.reduction import counted

# log of the smallest normal float32. A probability of exactly 0 counts as this one inside logarithms, so that the value
# and the gradient stay finite where a teacher (a tree, a masked head) rules a class out: 0 * log 0 is 0.
LOG_ZERO = math.log(torch.finfo(torch.float32).tiny)
RULED_OUT = -1e30  # stands for a logit of -inf inside the softmax, which would give NaN for a row that has nothing else


def log_probabilities(logits: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    """Log-softmax at a temperature, with :data:`LOG_ZERO` for a class of probability 0.

    Args:
        logits: ``(..., C)``, at least float32; -inf rules a class out.
        temperature: Above 0, or it is a ``UsageError``.

    >>> log_probabilities(torch.tensor([0.0, 0.0, -math.inf])).exp().tolist()[:2]
    [0.5, 0.5]
    """
    check_temperature(temperature)
    divided = isinstance(temperature, Tensor) or temperature != 1.0
    return log_softmax(logits / temperature if divided else logits)[0]


def log_softmax(logits: Tensor) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities with :data:`LOG_ZERO`, and bool ``(..., C)`` where they are 0; None where none is."""
    # Nearly always no class is ruled out; the two fills and their gradients would be half of the work.
    if not logits.numel() or logits.detach().amin().item() != -math.inf:
        return torch.log_softmax(logits, -1), None
    ruled_out = logits == -math.inf
    return torch.log_softmax(logits.masked_fill(ruled_out, RULED_OUT), -1).masked_fill(ruled_out, LOG_ZERO), ruled_out


def check_temperature(temperature: float | Tensor) -> None:
    """Refuse a temperature that is not above 0."""
    if not temperature > 0:
        raise UsageError(f"temperature = {float(temperature)}: it divides the logits. Set it above 0.")


def one_hot(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Bool ``(..., C)``: True at each row's target class. Rows that the mask leaves out may hold any target.

    Raises:
        UsageError: targets are not ``(...)`` beside logits ``(..., C)``, or one that counts is outside [0, C).
    """
    classes = logits.shape[-1]
    if targets.shape != logits.shape[:-1]:
        raise UsageError(
            f"Targets must be one class for each row of logits, but they are {tuple(targets.shape)} for "
            f"{tuple(logits.shape)}. Pass class numbers of shape {tuple(logits.shape[:-1])}, not one-hot rows."
        )
    if mask is not None:
        targets = targets.masked_fill(~counted(mask), 0)
    if bool(((targets < 0) | (targets >= classes)).any()):
        raise UsageError(
            f"A target lies outside 0..{classes - 1} (-1 stands for no label). Leave such rows out with `mask`, or let "
            "the teacher's top class stand in: `stillhouse.methods.base.labels_or_teacher`."
        )
    return torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, targets.unsqueeze(-1), True)


def one_against_rest(logits: Tensor, chosen: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probabilities of the chosen class and of all others together.

    ``log(1 - p)`` is a log-sum over the others, not computed from p, so it is exact where p is close to 1. Logits and
    the bool ``chosen``, one True a row, are ``(..., C)``; the result is ``(..., 2)``.
    """
    log_p = log_probabilities(logits, temperature)
    rest = log_p.masked_fill(chosen, RULED_OUT).logsumexp(-1)
    return torch.stack([log_p.masked_fill(~chosen, 0.0).sum(-1), rest], -1)


def among_rest(logits: Tensor, chosen: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probabilities ``(..., C)`` among all classes but the chosen one, which has :data:`LOG_ZERO`."""
    return log_probabilities(logits.masked_fill(chosen, -math.inf), temperature)


def log_mixture(log_ratio: Tensor, weight: float) -> Tensor:
    """log((1 - w) + w * r) for a ratio of probabilities r = exp(log_ratio), and 0 <= w < 1.

    The log of a mixture relative to its first part. Written with log1p and expm1 it loses nothing as w -> 0, where
    log(mixture) - log(part) would leave only rounding.
    """
    # Beyond e^20 the ratio itself takes over: expm1 would overflow, and its inf would come back as NaN gradients.
    near = torch.log1p(weight * torch.expm1(log_ratio.clamp(max=20.0)))
    far = log_ratio.clamp(min=20.0)
    return torch.where(log_ratio > 20.0, far + torch.log(weight + (1 - weight) * torch.exp(-far)), near)


def standardize(logits: Tensor) -> Tensor:
    """Z-score over the classes: (z - mean) / (1e-7 + standard deviation); 0 for a row of equal logits.

    The variance has the divisor C - 1, as in the published code; a logit of -inf means probability 0.

    >>> [round(z, 3) for z in standardize(torch.tensor([1.0, 2.0, 6.0])).tolist()]
    [-0.756, -0.378, 1.134]
    """
    centred = centre(logits)
    # The norm has gradient 0 at 0, where the square root of a variance would give NaN for tied logits.
    norm: Tensor = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
    deviation = norm / math.sqrt(max(logits.shape[-1] - 1, 1))
    return centred / (1e-7 + deviation)


def centre(logits: Tensor) -> Tensor:
    """Subtract each row's mean over the classes, after giving a class of probability 0 the logit of LOG_ZERO."""
    log_p = log_probabilities(logits)
    return log_p - log_p.mean(-1, keepdim=True)
