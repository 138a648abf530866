"""The divergences class by class: value and slope of any block of classes, for sums that never see all classes at once.

With ``log_q`` and ``log_p`` the log-probabilities of student and teacher over *all* classes, each divergence of
:mod:`stillhouse.functional.divergences` listed here is a sum of one term a class. A function below takes any block
``(N, B)`` of the classes and returns

* the block's part of the sum, ``(N,)``, and
* the slope of each term by ``log_q``, ``(N, B)``. With s the slopes and S their sum over all classes, the gradient by
  the student's logits is ``s - q S``.

``adaptive_kl`` is not here: it sorts the classes, so no block of it stands alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stillhouse.functional import divergences
from stillhouse.functional.divergences import _log_mixture_or_part, _power_gap, _weighted_power, _within
from stillhouse.functional.probabilities import log_mixture

Pointwise = Callable[..., tuple[Tensor, Tensor]]


def forward_kl(log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """Forward: sum p (log p - log q).

    >>> value, slope = forward_kl(torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[1.0, 0.0]]).log().clamp(min=-87.0))
    >>> round(value.item(), 5), slope.tolist()[0][0]
    (0.69315, -1.0)
    """
    p = log_p.exp()
    return _dot(p, log_p - log_q), p.neg_()


def reverse_kl(log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """Reverse: sum q (log q - log p)."""
    q, gap = log_q.exp(), log_q - log_p
    return _dot(q, gap), q.mul_(gap.add_(1.0))


def jensen_shannon(log_q: Tensor, log_p: Tensor, beta: float = 0.5, normalized: bool = False) -> tuple[Tensor, Tensor]:
    """Take beta KL(p || m) + (1 - beta) KL(q || m), m = beta p + (1 - beta) q; its ends are the two KL."""
    _within("beta", beta, 0.0, 1.0)
    if beta in (0.0, 1.0):
        return reverse_kl(log_q, log_p) if beta else forward_kl(log_q, log_p)
    ratio = log_p - log_q
    over_q = log_mixture(ratio, beta)  # log(m / q)
    moved = log_q.exp().mul_(over_q)
    of_teacher, of_student = -_dot(log_p.exp(), log_mixture(-ratio, 1 - beta)), -moved.sum(-1)
    factor = 1 / (beta * (1 - beta)) if normalized else 1.0
    return factor * (beta * of_teacher + (1 - beta) * of_student), moved.mul_(-(1 - beta) * factor)


def skew_kl(log_q: Tensor, log_p: Tensor, alpha: float = 0.1) -> tuple[Tensor, Tensor]:
    """KL(p || m), m = alpha p + (1 - alpha) q."""
    _within("alpha", alpha, 0.0, 1.0, below=True)
    p, ratio = log_p.exp(), log_p - log_q
    value = -_dot(p, _log_mixture_or_part(-ratio, 1 - alpha))
    return value, p.mul_(torch.exp(-log_mixture(ratio, alpha))).mul_(-(1 - alpha))


def skew_reverse_kl(log_q: Tensor, log_p: Tensor, alpha: float = 0.1) -> tuple[Tensor, Tensor]:
    """KL(q || m), m = (1 - alpha) p + alpha q."""
    _within("alpha", alpha, 0.0, 1.0, below=True)
    q, over_q = log_q.exp(), _log_mixture_or_part(log_p - log_q, 1 - alpha)  # log(m / q)
    return -_dot(q, over_q), q.mul_(1.0 - over_q - alpha * torch.exp(-over_q))


def total_variation(log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """1/2 sum |p - q|."""
    q = log_q.exp()
    gap = log_p.exp().sub_(q)
    return 0.5 * gap.abs().sum(-1), q.mul_(gap.sign_()).mul_(-0.5)


def alpha_beta(log_q: Tensor, log_p: Tensor, alpha: float = 0.2, beta: float = 0.7) -> tuple[Tensor, Tensor]:
    """-1/(ab) sum [p^a q^b - a/(a+b) p^(a+b) - b/(a+b) q^(a+b)] with its limits; slope q^(a+b) (1 - (p/q)^a) / a."""
    if alpha == beta == 0:
        value = 0.5 * (log_p - log_q).square().sum(-1)
    elif abs(alpha) >= abs(beta):
        value = _power_gap(log_p, log_q, alpha, beta)
    else:
        value = _power_gap(log_q, log_p, beta, alpha)
    return value, -_weighted_power((alpha + beta) * log_q, log_p - log_q, alpha)


POINTWISE: dict[Callable[..., Tensor], Pointwise] = {
    divergences.forward_kl: forward_kl,
    divergences.reverse_kl: reverse_kl,
    divergences.jensen_shannon: jensen_shannon,
    divergences.skew_kl: skew_kl,
    divergences.skew_reverse_kl: skew_reverse_kl,
    divergences.total_variation: total_variation,
    divergences.alpha_beta: alpha_beta,
}


def _dot(weights: Tensor, values: Tensor) -> Tensor:
    summed: Tensor = torch.linalg.vecdot(weights, values)
    return summed
