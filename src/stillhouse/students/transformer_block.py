"""The transformer block for images and texts (Vaswani et al. 2017), with projections that taps can find."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention with separate ``query``, ``key``, ``value`` and ``output`` projections.

    Taps read ``heads`` to cut the projections into heads. ``dropout`` is of the attention weights.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width = {width} must be a multiple of heads = {heads}")
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a bias shifts all scores of a query alike: softmax drops it
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, states: Tensor, attended: Tensor | None = None) -> Tensor:
        """Mix the positions of each row.

        Args:
            states: (B, L, D).
            attended: (B, L) bool, positions that attention may use, at least one for each row; None: all.
        """
        query, key, value = (self._split(p(states)) for p in (self.query, self.key, self.value))
        mask = None if attended is None else attended[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        merged: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return merged

    def _split(self, states: Tensor) -> Tensor:
        """Cut (B, L, D) into heads (B, A, L, D / A)."""
        rows, length, width = states.shape
        return states.reshape(rows, length, self.heads, width // self.heads).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Attention and a feed-forward net, each added to its input.

    ``pre_norm``: layer normalisation before each branch (Xiong et al. 2020), or after the sum as in the first paper.
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = Attention(width, heads, dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(nn.Linear(width, feedforward), nn.GELU(), nn.Linear(feedforward, width))
        self.feedforward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, attended: Tensor | None = None) -> Tensor:
        """States (B, L, D) to states (B, L, D); ``attended`` as in ``Attention``."""
        if self.pre_norm:
            states = states + self.dropout(self.attention(self.attention_norm(states), attended))
            states = states + self.dropout(self.feedforward(self.feedforward_norm(states)))
        else:
            states = self.attention_norm(states + self.dropout(self.attention(states, attended)))
            states = self.feedforward_norm(states + self.dropout(self.feedforward(states)))
        return states
