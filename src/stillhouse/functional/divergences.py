"""Divergences between two categorical distributions given by logits, for classes and for tokens alike.

``p`` is the teacher's distribution and ``q`` the student's, both softened by ``temperature``; the logits may be any
log-probabilities plus a constant for each row. Said once for all functions below:

* student first; logits are ``(..., C)``, all leading axes are samples or tokens; the two shapes must be equal;
* ``mask`` (bool, the leading shape) and ``reduction`` ("mean" over the samples that count, "sum", "none") as in
  :mod:`stillhouse.functional.reduction`;
* the result is in nats, times T^2: a scalar, or the leading shape for "none";
* the arithmetic is at least float32; the teacher gets no gradient; a probability of 0 is finite in value and gradient;
* ``UsageError`` where shapes differ, the temperature is not above 0, or a parameter leaves its range.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.probabilities import log_mixture, log_probabilities
from stillhouse.functional.reduction import prepare, reduce


def forward_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float | Tensor = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """KL(p || q): the student must cover all that the teacher holds possible.

    Matches:
        Class or token probabilities.

    Formula:
        T^2 * mean_i sum_c p_c (log p_c - log q_c)

    Defaults:
        T = 1, as on tokens.

    Deviations:
        DistiLLM and others return the cross-entropy -sum p log q under this name: same gradient, another value.

    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(forward_kl(*z).item(), 5)
    1.00684
    """
    log_q, log_p = _log_q_and_p(student_logits, teacher_logits, temperature, mask)
    return reduce(temperature**2 * _kl(log_p, log_q), mask, reduction)


def reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """KL(q || p): the student may keep to one mode, and is punished for what the teacher holds impossible.

    Matches:
        Class or token probabilities.

    Formula:
        T^2 * mean_i sum_c q_c (log q_c - log p_c)

    Defaults:
        T = 1. The exact sum over the vocabulary at each token; MiniLLM's sampling over sequences is not part of it.

    Deviations:
        The other branch of DistiLLM-2 returns minus this. Single-sample estimates of it have another gradient.

    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(reverse_kl(*z).item(), 5)
    0.82872
    """
    log_q, log_p = _log_q_and_p(student_logits, teacher_logits, temperature, mask)
    return reduce(temperature**2 * _kl(log_q, log_p), mask, reduction)


def jensen_shannon(
    student_logits: Tensor,
    teacher_logits: Tensor,
    beta: float = 0.5,
    temperature: float = 1.0,
    normalized: bool = False,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Generalised Jensen-Shannon divergence: both sides against their mixture.

    Matches:
        Class or token probabilities.

    Formula:
        T^2 * mean_i [beta KL(p || m) + (1 - beta) KL(q || m)], m = beta p + (1 - beta) q; over beta (1 - beta) where
        normalized. At beta = 0 it is KL(p || q) and at beta = 1 KL(q || p), normalized or not: the limits of the
        normalized form. The plain form goes to 0 towards both ends, so there it jumps.

    Defaults:
        beta = 0.5 (GKD, and TRL's trainer, which takes the ends likewise).

    Deviations:
        An earlier TRL mixed log-probabilities and had the weights on the wrong side; DistiLLM's ``lam`` weighs the
        student, so it is 1 - beta. Implementations that take the formula at its word are a silent 0 at the ends.

    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(jensen_shannon(*z).item(), 5)
    0.20813
    """
    _within("beta", beta, 0.0, 1.0)
    if beta in (0.0, 1.0):
        end = reverse_kl if beta else forward_kl
        return end(student_logits, teacher_logits, temperature, mask, reduction)
    log_q, log_p = _log_q_and_p(student_logits, teacher_logits, temperature, mask)
    ratio = log_p - log_q
    of_teacher = -(log_p.exp() * log_mixture(-ratio, 1 - beta)).sum(-1)
    of_student = -(log_q.exp() * log_mixture(ratio, beta)).sum(-1)
    losses = of_teacher / (1 - beta) + of_student / beta if normalized else beta * of_teacher + (1 - beta) * of_student
    return reduce(temperature**2 * losses, mask, reduction)


def skew_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    alpha: float = 0.1,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Forward KL to a student mixed with a little of the teacher; never above -log alpha.

    Matches:
        Class or token probabilities.

    Formula:
        T^2 * mean_i KL(p || alpha p + (1 - alpha) q), 0 <= alpha < 1; alpha = 0 is forward KL.

    Defaults:
        alpha = 0.1 (DistiLLM).

    Deviations:
        DistiLLM's code leaves out the teacher's entropy: same gradient, another value.

    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(skew_kl(*z).item(), 5)
    0.72334
    """
    _within("alpha", alpha, 0.0, 1.0, below=True)
    log_q, log_p = _log_q_and_p(student_logits, teacher_logits, temperature, mask)
    # Relative to p the mixture is alpha + (1 - alpha) q / p.
    losses = -(log_p.exp() * _log_mixture_or_part(log_q - log_p, 1 - alpha)).sum(-1)
    return reduce(temperature**2 * losses, mask, reduction)


def skew_reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    alpha: float = 0.1,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Reverse KL to a teacher mixed with a little of the student; never above -log alpha.

    Matches:
        Class or token probabilities.

    Formula:
        T^2 * mean_i KL(q || (1 - alpha) p + alpha q), 0 <= alpha < 1; alpha = 0 is reverse KL.

    Defaults:
        alpha = 0.1 (DistiLLM).

    Deviations:
        DistiLLM-2 detaches the student inside the mixture; here its gradient runs through both places, as in DistiLLM.

    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(skew_reverse_kl(*z).item(), 5)
    0.65859
    """
    _within("alpha", alpha, 0.0, 1.0, below=True)
    log_q, log_p = _log_q_and_p(student_logits, teacher_logits, temperature, mask)
    losses = -(log_q.exp() * _log_mixture_or_part(log_p - log_q, 1 - alpha)).sum(-1)
    return reduce(temperature**2 * losses, mask, reduction)


def adaptive_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mu: float = 0.5,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Forward and reverse KL, weighed by where the two distributions differ: in the teacher's head or in its tail.

    Matches:
        Class or token probabilities.

    Formula:
        T^2 * mean_i (g_head KL(p || q) + g_tail KL(q || p)) / (g_head + g_tail), g = sum |p - q| over the classes that
        hold the first mu of the teacher's mass (at least its top class), and over the others. The weights carry no
        gradient; where both are 0 the distributions are equal and so is the loss.

    Defaults:
        mu = 0.5 (the paper's code).

    Deviations:
        The published snippet reads its mask from an undefined name, and divides by 0 where student equals teacher.

    >>> z = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.5]])
    >>> round(adaptive_kl(*z).item(), 5)
    0.8522
    """
    _within("mu", mu, 0.0, 1.0)
    log_q, log_p = _log_q_and_p(student_logits, teacher_logits, temperature, mask)
    head = _head_share(log_p.exp(), log_q.detach().exp(), mu)
    losses = head * _kl(log_p, log_q) + (1 - head) * _kl(log_q, log_p)
    return reduce(temperature**2 * losses, mask, reduction)


def total_variation(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Total variation distance: the mass that would have to move; between 0 and T^2.

    Matches:
        Class or token probabilities.

    Formula:
        T^2 * mean_i 1/2 sum_c |p_c - q_c|

    Defaults:
        T = 1. The distance is of first order in p - q, so with T^2 its gradient grows like T, unlike the others'.

    Deviations:
        None known.

    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(total_variation(*z).item(), 5)
    0.61186
    """
    log_q, log_p = _log_q_and_p(student_logits, teacher_logits, temperature, mask)
    return reduce(temperature**2 * 0.5 * (log_p.exp() - log_q.exp()).abs().sum(-1), mask, reduction)


def alpha_beta(
    student_logits: Tensor,
    teacher_logits: Tensor,
    alpha: float = 0.2,
    beta: float = 0.7,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Alpha-beta divergence: forward KL at (1, 0), reverse KL at (0, 1), and what lies between and around.

    Matches:
        Class or token probabilities.

    Formula:
        T^2 * mean_i -1/(a b) sum_c [p^a q^b - a/(a+b) p^(a+b) - b/(a+b) q^(a+b)], with its limits where a, b or a + b
        is 0: 1/2 sum (log p - log q)^2 at (0, 0).

    Defaults:
        alpha = 0.2, beta = 0.7 (ABKD's language model script). Choose both >= 0: a negative exponent is unbounded where
        a probability is near 0.

    Deviations:
        ABKD's code divides by a (or b) where the limit divides by its square; the same at a = 1, b = 1.

    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(alpha_beta(*z).item(), 5)
    0.91944
    """
    log_q, log_p = _log_q_and_p(student_logits, teacher_logits, temperature, mask)
    if alpha == beta == 0:
        losses = 0.5 * (log_p - log_q).square().sum(-1)
    elif abs(alpha) >= abs(beta):
        losses = _power_gap(log_p, log_q, alpha, beta)
    else:  # the divergence is symmetric under exchange of both arguments and both exponents
        losses = _power_gap(log_q, log_p, beta, alpha)
    return reduce(temperature**2 * losses, mask, reduction)


def _log_q_and_p(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float | Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    student, teacher = prepare(student_logits, teacher_logits, mask)
    return log_probabilities(student, temperature), log_probabilities(teacher, temperature)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(-1)


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
    """Alpha-beta divergence for a != 0, as sum p^s (f_s - f_b) / a with s = a + b, f_r = ((q/p)^r - 1) / r.

    In this form b -> 0 and s -> 0 are ordinary points: f_0 = log(q/p), and nothing is divided by b.
    """
    ratio, total = log_q - log_p, (a + b) * log_p
    return (_weighted_power(total, ratio, a + b) - _weighted_power(total, ratio, b)).sum(-1) / a


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
