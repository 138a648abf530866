"""What the nets that read token ids share: their shape, their embedding, and pooling that padding does not touch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.students.bounds import whole

PADDING = 0  # the id that stands for no token


def text_length(net: str, shape: tuple[int, ...]) -> int:
    """Return L of a text's shape (L,).

    Args:
        net: What reads it, as the message begins.
        shape: Of one input.

    Raises:
        UsageError: another shape; names nets that read any.
    """
    if len(shape) != 1:
        raise UsageError(
            f"{net} reads texts as token ids (length,), and these inputs have the shape {shape}. "
            'Use `name = "mlp_tiny"` or `"linear"`, which read numbers of any shape.'
        )
    return shape[0]


def word_vectors(rows: int, width: int) -> nn.Embedding:
    """Return vectors for tokens, the one of padding 0 and without a gradient.

    Uniform in +-1/width as in fastText: an average of a few vectors is not drowned by those never trained.
    """
    embedding = nn.Embedding(whole("vocabulary", rows, least=2), whole("width", width), padding_idx=PADDING)
    nn.init.uniform_(embedding.weight, -1.0 / width, 1.0 / width)
    with torch.no_grad():
        embedding.weight[PADDING].zero_()
    return embedding


class MeanPool(nn.Module):
    """Mean of the positions that count; 0 where none does."""

    def forward(self, states: Tensor, counted: Tensor) -> Tensor:
        """States (B, L, D) and bool (B, L) to (B, D)."""
        weights = counted.to(states.dtype)
        total = torch.bmm(weights[:, None], states)[:, 0]
        return total / weights.sum(1, keepdim=True).clamp(min=1.0)


class MaxPool(nn.Module):
    """Maximum of the positions that count; 0 where none does."""

    def forward(self, states: Tensor, counted: Tensor) -> Tensor:
        """States (B, L, D) and bool (B, L) to (B, D)."""
        most = states.masked_fill(~counted[..., None], torch.finfo(states.dtype).min).amax(1)
        return torch.where(counted.any(1, keepdim=True), most, torch.zeros_like(most))


class FirstPool(nn.Module):
    """The first position, whatever it holds."""

    def forward(self, states: Tensor, counted: Tensor) -> Tensor:
        """States (B, L, D) to (B, D)."""
        return states[:, 0]


POOLS: dict[str, type[nn.Module]] = {"mean": MeanPool, "max": MaxPool, "first": FirstPool}
