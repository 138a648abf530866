"""Which tokens of a row are learned from: those at which the student has most to learn."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.errors import UsageError, nearest
from stillhouse.functional.probabilities import log_probabilities
from stillhouse.functional.reduction import at_least_float32, counted, fill_masked

SELECTIONS = ("all", "entropy", "wrong")


@torch.no_grad()
def token_weights(
    student_logits: Tensor, teacher_top: Tensor, select: str = "entropy", share: float = 0.5, mask: Tensor | None = None
) -> Tensor:
    """Weights of tokens: those with the highest score of each row count, and stand for all of it.

    "entropy" scores a token by the entropy of the student, "wrong" by how much more probable the student finds its own
    first choice than the teacher's: 0 where they agree, near 1 where it is sure of something else (Xu et al. 2026, TIP:
    Token Importance in On-Policy Distillation, arXiv:2604.14084, name both kinds of tokens as those that teach).

    Each row of n tokens that count keeps the ceil(share n) with the highest scores, each with weight n / ceil(share n).
    So a sum of weighted losses over the number of tokens that count is the mean that one batch, or any parts of it,
    give alike. The scores carry no gradient.

    Args:
        student_logits: ``(B, T, C)``.
        teacher_top: int64 ``(B, T)``, the teacher's first choice.
        select: "entropy" or "wrong"; "all" gives every token that counts its own weight.
        share: of the tokens, in (0, 1].
        mask: Bool or weights ``(B, T)``: which tokens count.

    Returns:
        ``(B, T)``, float32 or wider.

    Raises:
        UsageError: an unknown selection, a share outside its range, or rows without tokens.

    >>> student = torch.tensor([[[9.0, 0.0], [0.0, 0.0], [9.0, 0.0], [1.0, 0.0]]])
    >>> token_weights(student, torch.tensor([[0, 0, 1, 1]]), "entropy", 0.5).tolist()
    [[0.0, 2.0, 0.0, 2.0]]
    >>> token_weights(student, torch.tensor([[0, 0, 1, 1]]), "wrong", 0.25).tolist()
    [[0.0, 0.0, 4.0, 0.0]]
    """
    if select not in SELECTIONS:
        raise UsageError(f"There is no selection of tokens {select!r}.{nearest(select, SELECTIONS)}")
    if not 0 < share <= 1:
        raise UsageError(f"share = {share} lies outside 0..1 (0 excluded). It is the share of the tokens that count.")
    if student_logits.ndim != 3 or teacher_top.shape != student_logits.shape[:-1]:
        raise UsageError(
            f"Tokens are selected within a row of logits (B, T, C), but these are {tuple(student_logits.shape)}. Set "
            '`select = "all"`: single answers have no tokens.'
        )
    wide = at_least_float32(student_logits)
    own = torch.ones_like(wide[..., 0]) if mask is None else mask.to(wide.dtype)
    if select == "all":
        return own
    inside = own > 0 if mask is None else counted(mask)
    log_q = log_probabilities(fill_masked(wide, inside))
    score = _score(log_q, teacher_top, select).masked_fill(~inside, -1.0)
    count = inside.sum(-1, keepdim=True)
    kept = torch.ceil(share * count - 1e-6).to(count.dtype)
    rank = score.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    return torch.where((rank < kept) & inside, own * count / kept.clamp(min=1), 0.0)


def _score(log_q: Tensor, teacher_top: Tensor, select: str) -> Tensor:
    q = log_q.exp()
    if select == "entropy":
        return -(q * log_q).sum(-1)
    return q.amax(-1) - q.gather(-1, teacher_top.clamp(min=0).unsqueeze(-1)).squeeze(-1)
