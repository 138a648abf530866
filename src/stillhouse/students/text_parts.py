"""Shared parts of the nets that read token ids: the shape, the embedding, and pooling without the padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.students.bounds import whole

PADDING = 0  # the id of no token


def text_length(net: str, shape: tuple[int, ...]) -> int:
    """Return L of a text's shape (L,); raise UsageError for another shape, beginning with ``net``."""
    if len(shape) != 1:
        raise UsageError(
            f"{net} reads texts as token ids (length,), and these inputs have the shape {shape}. "
            'Use `name = "mlp_tiny"` or `"linear"`, which read numbers of any shape.'
        )
    return shape[0]


class WordVectors(nn.Embedding):
    """Vectors to average, uniform in +-1/width as in fastText; the vector of padding is 0 and gets no gradient.

    They start small, so that vectors never trained do not outweigh the few trained ones in an average.
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__(whole("vocabulary", vocabulary, least=2), whole("width", width), padding_idx=PADDING)

    def reset_parameters(self) -> None:
        """Draw the vectors from torch's global generator."""
        bound = 1.0 / self.embedding_dim
        nn.init.uniform_(self.weight, -bound, bound)
        with torch.no_grad():
            self.weight[PADDING].zero_()


class MeanPool(nn.Module):
    """Mean of the positions that count; 0 where no position counts."""

    def forward(self, states: Tensor, counted: Tensor) -> Tensor:
        """States (B, L, D) and bool (B, L) to (B, D)."""
        weights = counted.to(states.dtype)
        total = torch.bmm(weights[:, None], states)[:, 0]
        return total / weights.sum(1, keepdim=True).clamp(min=1.0)


class TokenScores(nn.Embedding):
    """One score for each token id, 0 at the start; that of padding stays 0."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__(vocabulary, 1, padding_idx=PADDING)

    def reset_parameters(self) -> None:
        """Every token counts the same."""
        nn.init.zeros_(self.weight)


class AttentionPool(nn.Module):
    """Mean of the positions that count, weighted by the softmax of a learned score for each token (``scores``).

    At the start all scores are equal, which is the plain mean. 0 where no position counts, if padding's vector is 0.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.scores = TokenScores(vocabulary)

    def forward(self, states: Tensor, ids: Tensor) -> Tensor:
        """States (B, L, D) and their token ids (B, L) to (B, D)."""
        scores = self.scores(ids)[..., 0].masked_fill(ids == PADDING, torch.finfo(states.dtype).min)
        return torch.bmm(scores.softmax(1)[:, None], states)[:, 0]


class MaxPool(nn.Module):
    """Maximum of the positions that count; 0 where no position counts."""

    def forward(self, states: Tensor, counted: Tensor) -> Tensor:
        """States (B, L, D) and bool (B, L) to (B, D)."""
        most = states.masked_fill(~counted[..., None], torch.finfo(states.dtype).min).amax(1)
        return torch.where(counted.any(1, keepdim=True), most, torch.zeros_like(most))


class FirstPool(nn.Module):
    """The first position, even if it is padding."""

    def forward(self, states: Tensor, counted: Tensor) -> Tensor:
        """States (B, L, D) to (B, D)."""
        return states[:, 0]


POOLS: dict[str, type[nn.Module]] = {"mean": MeanPool, "max": MaxPool, "first": FirstPool}
