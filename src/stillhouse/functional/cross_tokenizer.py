"""Losses between nets with different vocabularies: by the likelihood of chunks of text, and by sorted probabilities.

For both functions: student first; ``reduction`` as in :func:`stillhouse.functional.reduction.reduce`; the arithmetic is
at least float32; the teacher gets no gradient; ``UsageError`` where shapes do not fit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from stillhouse.errors import UsageError
from stillhouse.functional.probabilities import check_temperature, log_probabilities
from stillhouse.functional.reduction import at_least_float32, fill_masked, reduce


def chunk_log_likelihood(logits: Tensor, tokens: Tensor, chunks: Tensor, count: int) -> Tensor:
    """The log-likelihood of each chunk of a text: the sum over its tokens.

    Args:
        logits: ``(B, T, C)``.
        tokens: int64 ``(B, T)``, the token that follows each position, of any value where there is no chunk.
        chunks: int64 ``(B, T)``, the chunk of that token, -1 for none (:func:`stillhouse.alignment.chunks`).
        count: N, the chunks of a row.

    Returns:
        ``(B, N)``, at most 0.

    >>> logits = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    >>> chunk_log_likelihood(logits, torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, -1]]), 1).exp().tolist()
    [[0.25]]
    """
    if logits.shape[:-1] != tokens.shape or tokens.shape != chunks.shape:
        raise UsageError(
            f"Tokens and chunks must be (B, T) beside logits (B, T, C), but they are {tuple(tokens.shape)} and "
            f"{tuple(chunks.shape)} for {tuple(logits.shape)}."
        )
    if bool((chunks >= count).any()):
        raise UsageError(f"A token is in chunk {int(chunks.max())}, and there are {count}: 0 to {count - 1}.")
    inside = chunks >= 0
    logits = fill_masked(at_least_float32(logits), inside)
    of_token = log_probabilities(logits).gather(-1, tokens.masked_fill(~inside, 0).unsqueeze(-1)).squeeze(-1)
    # Tokens outside of all chunks fall into a column that is cut off again.
    sums = of_token.new_zeros(*chunks.shape[:-1], count + 1)
    return sums.scatter_add(-1, torch.where(inside, chunks, count), of_token)[..., :count]


def alm(
    student_log_likelihood: Tensor,
    teacher_log_likelihood: Tensor,
    temperature: float = 100.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Approximate likelihood matching (Minixhofer, Vulic, Ponti, NeurIPS 2025, arXiv:2503.20083).

    Matches:
        How likely each net finds a chunk of text that ends at a token of both.

    Formula:
        mean over chunks of KL(Bernoulli(P^(1/tau)) || Bernoulli(Q^(1/tau))), P and Q the likelihoods of the chunk given
        the text before it, under teacher and student.

    Defaults:
        tau = 100 (the paper's code): log-likelihoods of long chunks then still differ visibly.

    Deviations:
        The paper leaves out chunks whose tokens would hardly be followed by these ones (its bias threshold); give them
        as ``mask``. Its code clips log-likelihoods at 0 and adds small numbers inside the logarithms; here
        log(1 - P) is computed from log P.

    Args:
        student_log_likelihood: ``(..., N)``, at most 0; of :func:`chunk_log_likelihood`.
        teacher_log_likelihood: ``(..., N)``.
        temperature: tau.
        mask: Bool or weights ``(..., N)``: which chunks count.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    >>> chunks = torch.tensor([[0.5]]).log(), torch.tensor([[0.25]]).log()
    >>> round(alm(*chunks, temperature=1.0).item(), 5)
    0.13081
    """
    check_temperature(temperature)
    if student_log_likelihood.shape != teacher_log_likelihood.shape:
        raise UsageError(
            f"Both sides must have one likelihood a chunk, but they are {tuple(student_log_likelihood.shape)} and "
            f"{tuple(teacher_log_likelihood.shape)}. Align both texts first: `stillhouse.alignment.chunks`."
        )
    log_q = fill_masked(at_least_float32(student_log_likelihood), mask) / temperature
    log_p = fill_masked(at_least_float32(teacher_log_likelihood.detach()), mask) / temperature
    losses = log_p.exp() * (log_p - log_q) - torch.expm1(log_p) * (_log_of_rest(log_p) - _log_of_rest(log_q))
    return reduce(losses, mask, reduction)


def uld(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Universal logit distillation (Boizard et al., TMLR 2025, arXiv:2402.12030): a baseline.

    Matches:
        The sorted probabilities, whatever classes they belong to.

    Formula:
        mean over tokens of sum_k |q_(k) - p_(k)|, the k-th largest of each side; the shorter side has zeros at its end.

    Defaults:
        T = 1.

    Deviations:
        Zero does not mean equal: a student that gives the teacher's probabilities to other words pays nothing. Without
        the factor T^2, as in the paper.

    Args:
        student_logits: ``(..., C)``.
        teacher_logits: ``(..., V)``; the leading axes are the same, token by token.
        temperature: Softens both sides.
        mask: Bool or weights ``(...)``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    >>> student, teacher = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.5, 0.25]]).log()
    >>> uld(student, teacher).item()
    0.5
    """
    if student_logits.shape[:-1] != teacher_logits.shape[:-1]:
        raise UsageError(
            f"Student and teacher must have the same tokens, but their logits are {tuple(student_logits.shape)} and "
            f"{tuple(teacher_logits.shape)}: all axes but the last must be equal."
        )
    sides = [fill_masked(at_least_float32(side), mask) for side in (student_logits, teacher_logits.detach())]
    q, p = (log_probabilities(side, temperature).exp().sort(-1, descending=True).values for side in sides)
    width = max(q.shape[-1], p.shape[-1])
    losses = (pad(q, (0, width - q.shape[-1])) - pad(p, (0, width - p.shape[-1]))).abs().sum(-1)
    return reduce(losses, mask, reduction)


def _log_of_rest(log_p: Tensor) -> Tensor:
    """log(1 - p) from log p, finite where p is 1: it then counts as one rounding below."""
    # Above log 2 the exponential keeps all digits, below it expm1 does (Maechler 2012).
    log_p = log_p.clamp(max=-torch.finfo(log_p.dtype).eps)
    near = torch.log(-torch.expm1(log_p.clamp(min=-0.7)))
    return torch.where(log_p > -0.7, near, torch.log1p(-torch.exp(log_p.clamp(max=-0.6))))
