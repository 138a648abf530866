"""The divergences class by class: the term and the slope of each class, of all classes or of a block of them.

With ``log_q`` and ``log_p`` the log-probabilities of student and teacher over *all* classes, a divergence is a sum of
one term for each class. A function below takes any of the classes, (..., B), and returns

* the terms, (..., B), and
* the slope of each term by ``log_q``, (..., B). With s the slopes and S their sum over all classes, the gradient by the
  student's logits is ``s - q S``.

``adaptive_kl``, ``acceptance`` and ``lk_hybrid`` relate the classes of a row to each other, so they take all of them
and no block; ``acceptance`` returns one term a row, (..., 1). A parameter outside its range is a ``UsageError``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.probabilities import log_mixture

Pointwise = Callable[..., tuple[Tensor, Tensor]]


def forward_kl(log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """Forward: p (log p - log q).

    >>> terms, slope = forward_kl(torch.tensor([0.5, 0.5]).log(), torch.tensor([1.0, 0.0]).log().clamp(min=-87.0))
    >>> round(terms.sum().item(), 5), slope[0].item()
    (0.69315, -1.0)
    """
    p = log_p.exp()
    return (log_p - log_q).mul_(p), p.neg_()


def reverse_kl(log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """Reverse: q (log q - log p)."""
    q, gap = log_q.exp(), log_q - log_p
    return q * gap, q.mul_(gap.add_(1.0))


def jensen_shannon(log_q: Tensor, log_p: Tensor, beta: float = 0.5, normalized: bool = False) -> tuple[Tensor, Tensor]:
    """Take beta p log(p / m) + (1 - beta) q log(q / m), m = beta p + (1 - beta) q; its ends are the two KL."""
    _within("beta", beta, 0.0, 1.0)
    if beta in (0.0, 1.0):
        return reverse_kl(log_q, log_p) if beta else forward_kl(log_q, log_p)
    ratio = log_p - log_q
    factor = 1 / (beta * (1 - beta)) if normalized else 1.0
    of_teacher = log_p.exp().mul_(log_mixture(-ratio, 1 - beta)).mul_(-beta * factor)
    of_student = log_q.exp().mul_(log_mixture(ratio, beta)).mul_(-(1 - beta) * factor)
    return of_teacher.add_(of_student), of_student


def skew_kl(log_q: Tensor, log_p: Tensor, alpha: float = 0.1) -> tuple[Tensor, Tensor]:
    """Take p log(p / m), m = alpha p + (1 - alpha) q."""
    _within("alpha", alpha, 0.0, 1.0, below=True)
    p, ratio = log_p.exp(), log_p - log_q
    terms = -p * _log_mixture_or_part(-ratio, 1 - alpha)
    return terms, p.mul_(torch.exp(-log_mixture(ratio, alpha))).mul_(-(1 - alpha))


def skew_reverse_kl(log_q: Tensor, log_p: Tensor, alpha: float = 0.1) -> tuple[Tensor, Tensor]:
    """Take q log(q / m), m = (1 - alpha) p + alpha q."""
    _within("alpha", alpha, 0.0, 1.0, below=True)
    q, over_q = log_q.exp(), _log_mixture_or_part(log_p - log_q, 1 - alpha)  # log(m / q)
    return -q * over_q, q.mul_(1.0 - over_q - alpha * torch.exp(-over_q))


def total_variation(log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """1/2 |p - q|."""
    q = log_q.exp()
    gap = log_p.exp().sub_(q)
    return 0.5 * gap.abs(), q.mul_(gap.sign_()).mul_(-0.5)


def alpha_beta(log_q: Tensor, log_p: Tensor, alpha: float = 0.2, beta: float = 0.7) -> tuple[Tensor, Tensor]:
    """-1/(ab) [p^a q^b - a/(a+b) p^(a+b) - b/(a+b) q^(a+b)] with its limits; slope q^(a+b) (1 - (p/q)^a) / a."""
    if alpha == beta == 0:
        terms = 0.5 * (log_p - log_q).square()
    elif abs(alpha) >= abs(beta):
        terms = _power_gap(log_p, log_q, alpha, beta)
    else:  # the divergence is symmetric under exchange of both arguments and both exponents
        terms = _power_gap(log_q, log_p, beta, alpha)
    return terms, -_weighted_power((alpha + beta) * log_q, log_p - log_q, alpha)


def adaptive_kl(log_q: Tensor, log_p: Tensor, mu: float = 0.5) -> tuple[Tensor, Tensor]:
    """Forward and reverse KL, weighed by the shares of head and tail, which carry no gradient."""
    _within("mu", mu, 0.0, 1.0)
    head = _head_share(log_p.exp(), log_q.exp(), mu).unsqueeze(-1)
    pairs = zip(forward_kl(log_q, log_p), reverse_kl(log_q, log_p), strict=True)
    terms, slope = (head * forward + (1 - head) * reverse for forward, reverse in pairs)
    return terms, slope


def acceptance(log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """-log sum min(p, q): one term a row. A class where q < p has the slope -q / sum min(p, q), any other one 0."""
    least = torch.minimum(log_q, log_p)
    overlap = least.logsumexp(-1, keepdim=True)
    # Half of the slope where both are equal: the gradient of a perfect student is then 0, as that of |p - q| is.
    below = (log_p - log_q).sign_().add_(1.0).mul_(-0.5)
    return -overlap, below.mul_(least.sub_(overlap).exp_())


def lk_hybrid(log_q: Tensor, log_p: Tensor, eta: float = 3.0) -> tuple[Tensor, Tensor]:
    """Take w KL(p || q) + (1 - w) TV, w = exp(-eta sum min(p, q)), which carries no gradient."""
    if not eta >= 0:
        raise UsageError(f"eta = {eta} is below 0. Write 0 for forward KL alone, 3 as the paper does.")
    overlap = torch.minimum(log_q, log_p).exp_().sum(-1, keepdim=True)
    weight = overlap.mul_(-eta).exp_()
    pairs = zip(forward_kl(log_q, log_p), total_variation(log_q, log_p), strict=True)
    terms, slope = (kl.mul_(weight).add_(distance.mul_(1 - weight)) for kl, distance in pairs)
    return terms, slope


def _log_mixture_or_part(log_ratio: Tensor, weight: float) -> Tensor:
    """log((1 - w) + w r), with w = 1 allowed: then it is the ratio alone."""
    return log_ratio if weight == 1.0 else log_mixture(log_ratio, weight)


def _head_share(p: Tensor, q: Tensor, mu: float) -> Tensor:
    """Share of sum |p - q| that lies in the head of p: its largest classes, while together they hold at most mu."""
    ordered, order = p.sort(dim=-1, descending=True, stable=True)
    differences = (ordered - q.gather(-1, order)).abs()
    # The allowance keeps ties at exactly mu (ten classes of 0.1) in the head whatever the rounding of the sum.
    tail = ordered.cumsum(-1) > mu + 1e-6
    tail[..., 0] = False
    head, total = differences.masked_fill(tail, 0.0).sum(-1), differences.sum(-1)
    return torch.where(total > 0, head / total.clamp(min=torch.finfo(total.dtype).tiny), 0.5)


def _power_gap(log_p: Tensor, log_q: Tensor, a: float, b: float) -> Tensor:
    """Alpha-beta divergence for a != 0, as p^s (f_s - f_b) / a with s = a + b, f_r = ((q/p)^r - 1) / r.

    In this form b -> 0 and s -> 0 are ordinary points: f_0 = log(q/p), and nothing is divided by b.
    """
    ratio, total = log_q - log_p, (a + b) * log_p
    return (_weighted_power(total, ratio, a + b) - _weighted_power(total, ratio, b)) / a


def _weighted_power(log_weight: Tensor, log_ratio: Tensor, power: float) -> Tensor:
    """exp(log_weight) * (exp(power * log_ratio) - 1) / power; exp(log_weight) * log_ratio at power 0."""
    if power == 0:
        return log_weight.exp() * log_ratio
    exponent = power * log_ratio
    near = log_weight.exp() * torch.expm1(exponent.clamp(-1.0, 1.0))
    # Far from 1 the plain difference is as good, and expm1 would overflow where its product with the weight does not.
    far = (log_weight + exponent).exp() - log_weight.exp()
    return torch.where(exponent.abs() < 1.0, near, far) / power


def _within(name: str, value: float, low: float, high: float, below: bool = False) -> None:
    if not (low <= value < high if below else low <= value <= high):
        raise UsageError(f"{name} = {value} lies outside {low:g}..{high:g}{' (the end excluded)' if below else ''}.")
