"""Divergences between two categorical distributions given by logits, for classes and for tokens alike.

``p`` is the teacher's distribution and ``q`` the student's, both softened by ``temperature``; the logits may be any
log-probabilities plus a constant for each row. For all functions below:

* they match the probabilities of classes or tokens;
* student first; logits are ``(..., C)``, all leading axes are samples or tokens; the two shapes must be equal;
* ``mask`` and ``reduction`` as in :func:`stillhouse.functional.reduction.reduce`;
* the result is in nats, times T^2: a scalar, or the leading shape for "none";
* the arithmetic is at least float32; a probability of 0 is finite in value and gradient;
* value and gradient are found together (:mod:`stillhouse.functional.fused`): the student's logits get a gradient, which
  cannot be differentiated again, and the teacher gets none;
* ``UsageError`` where shapes differ, the temperature is not above 0, or a parameter leaves its range.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from stillhouse.functional import pointwise
from stillhouse.functional.fused import fused


def forward_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """KL(p || q): the student must cover all that the teacher thinks possible.

    Formula:
        T^2 * mean_i sum_c p_c (log p_c - log q_c)

    Defaults:
        T = 1, as on tokens.

    Deviations:
        DistiLLM and others return the cross-entropy -sum p log q under this name: same gradient, another value.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(forward_kl(*z).item(), 5)
    1.00684
    """
    return fused(pointwise.forward_kl, student_logits, teacher_logits, temperature, mask, reduction)


def reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """KL(q || p): the student may choose one mode, and pays for what the teacher thinks impossible.

    Formula:
        T^2 * mean_i sum_c q_c (log q_c - log p_c)

    Defaults:
        T = 1. The exact sum over the vocabulary at each token; MiniLLM's sampling over sequences is not part of it.

    Deviations:
        The other branch of DistiLLM-2 returns minus this. Single-sample estimates of it have another gradient.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(reverse_kl(*z).item(), 5)
    0.82872
    """
    return fused(pointwise.reverse_kl, student_logits, teacher_logits, temperature, mask, reduction)


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

    Formula:
        T^2 * mean_i [beta KL(p || m) + (1 - beta) KL(q || m)], m = beta p + (1 - beta) q; over beta (1 - beta) where
        normalized. At beta = 0 it is KL(p || q) and at beta = 1 KL(q || p), normalized or not: the limits of the
        normalized form. The plain form goes to 0 towards both ends, so there it jumps.

    Defaults:
        beta = 0.5 (GKD, and TRL's trainer, which takes the ends likewise).

    Deviations:
        An earlier TRL mixed log-probabilities and had the weights on the wrong side; DistiLLM's ``lam`` is the weight
        of the student, so it is 1 - beta. Implementations of the plain formula are silently 0 at the ends.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(jensen_shannon(*z).item(), 5)
    0.20813
    """
    of_class = partial(pointwise.jensen_shannon, beta=beta, normalized=normalized)
    return fused(of_class, student_logits, teacher_logits, temperature, mask, reduction)


def skew_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    alpha: float = 0.1,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Forward KL to a student mixed with a little of the teacher; never above -log alpha.

    Formula:
        T^2 * mean_i KL(p || alpha p + (1 - alpha) q), 0 <= alpha < 1; alpha = 0 is forward KL.

    Defaults:
        alpha = 0.1 (DistiLLM).

    Deviations:
        DistiLLM's code leaves out the teacher's entropy: same gradient, another value.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(skew_kl(*z).item(), 5)
    0.72334
    """
    of_class = partial(pointwise.skew_kl, alpha=alpha)
    return fused(of_class, student_logits, teacher_logits, temperature, mask, reduction)


def skew_reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    alpha: float = 0.1,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Reverse KL to a teacher mixed with a little of the student; never above -log alpha.

    Formula:
        T^2 * mean_i KL(q || (1 - alpha) p + alpha q), 0 <= alpha < 1; alpha = 0 is reverse KL.

    Defaults:
        alpha = 0.1 (DistiLLM).

    Deviations:
        DistiLLM-2 detaches the student inside the mixture; here its gradient runs through both places, as in DistiLLM.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(skew_reverse_kl(*z).item(), 5)
    0.65859
    """
    of_class = partial(pointwise.skew_reverse_kl, alpha=alpha)
    return fused(of_class, student_logits, teacher_logits, temperature, mask, reduction)


def adaptive_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mu: float = 0.5,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Forward and reverse KL, weighted by where the two distributions differ: in the teacher's head or in its tail.

    Formula:
        T^2 * mean_i (g_head KL(p || q) + g_tail KL(q || p)) / (g_head + g_tail), g = sum |p - q| over the classes that
        hold the first mu of the teacher's mass (at least its top class), and over the others. The weights carry no
        gradient; where both are 0 the distributions are equal and so is the loss.

    Defaults:
        mu = 0.5 (the paper's code).

    Deviations:
        The published snippet reads its mask from an undefined name, and divides by 0 where student equals teacher.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.5]])
    >>> round(adaptive_kl(*z).item(), 5)
    0.8522
    """
    of_class = partial(pointwise.adaptive_kl, mu=mu)
    return fused(of_class, student_logits, teacher_logits, temperature, mask, reduction)


def total_variation(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Total variation distance: the mass that would have to move; between 0 and T^2.

    Formula:
        T^2 * mean_i 1/2 sum_c |p_c - q_c|

    Defaults:
        T = 1. The distance is of first order in p - q, so with T^2 its gradient grows like T, unlike the others'.

    Deviations:
        None known.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(total_variation(*z).item(), 5)
    0.61186
    """
    return fused(pointwise.total_variation, student_logits, teacher_logits, temperature, mask, reduction)


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

    Formula:
        T^2 * mean_i -1/(a b) sum_c [p^a q^b - a/(a+b) p^(a+b) - b/(a+b) q^(a+b)], with its limits where a, b or a + b
        is 0: 1/2 sum (log p - log q)^2 at (0, 0).

    Defaults:
        alpha = 0.2, beta = 0.7 (ABKD's language model script). Choose both >= 0: a negative exponent is unbounded where
        a probability is near 0.

    Deviations:
        ABKD's code divides by a (or b) where the limit divides by its square; the same at a = 1, b = 1.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(alpha_beta(*z).item(), 5)
    0.91944
    """
    of_class = partial(pointwise.alpha_beta, alpha=alpha, beta=beta)
    return fused(of_class, student_logits, teacher_logits, temperature, mask, reduction, careful=True)


def acceptance(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the logarithm of the share of the student's tokens that a teacher accepts in speculative decoding.

    Formula:
        T^2 * mean_i -log sum_c min(p_c, q_c), which is -log(1 - TV): the loss LK-alpha. Its gradient is that of the
        total variation over the accepted share, so it does not vanish where the student is far off.

    Defaults:
        T = 1, the temperature at which the draft is used. Near a perfect student it is of first order in p - q, so
        with T^2 its gradient grows like T, as that of the total variation does.

    Deviations:
        Published code adds a small number to the sum before the logarithm; here the sum is taken over logarithms.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(acceptance(*z).item(), 5)
    0.94638
    """
    return fused(pointwise.acceptance, student_logits, teacher_logits, temperature, mask, reduction, careful=True)


def lk_hybrid(
    student_logits: Tensor,
    teacher_logits: Tensor,
    eta: float = 3.0,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Forward KL while the teacher accepts little of the student, total variation once it accepts much.

    Formula:
        T^2 * mean_i [w_i KL(p || q) + (1 - w_i) TV(p, q)], w_i = exp(-eta sum_c min(p_c, q_c)): the loss LK-lambda. The
        weight carries no gradient. eta = 0 is forward KL; eta >= 0.

    Defaults:
        eta = 3 (the paper's best), T = 1. The total variation's part of the gradient grows like T.

    Deviations:
        The weight is that of each token; some code takes the mean over the batch, which would tie its rows together.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(lk_hybrid(*z).item(), 5)
    0.73513
    """
    of_class = partial(pointwise.lk_hybrid, eta=eta)
    return fused(of_class, student_logits, teacher_logits, temperature, mask, reduction)
