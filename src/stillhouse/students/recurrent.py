"""A recurrent net for texts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from stillhouse.students.bounds import LAYERS, fraction, one_of, whole
from stillhouse.students.text_parts import PADDING, POOLS, WordVectors, text_length


def gru_tiny(
    shape: tuple[int, ...],
    outputs: int,
    *,
    vocabulary: int = 8192,
    width: int = 48,
    hidden: int = 48,
    layers: int = 1,
    dropout: float = 0.0,
    pooling: str = "max",
) -> nn.Module:
    """Bidirectional gated recurrent net (Cho et al. 2014; 422,410 parameters for 8,192 tokens and 10 outputs).

    Args:
        shape: (L,).
        outputs: Width of the output.
        vocabulary: Number of token ids.
        width: Of the vectors of the tokens.
        hidden: Units of each direction.
        layers: Bidirectional layers.
        dropout: Of each layer's input, in [0, 1).
        pooling: ``"max"`` or ``"mean"`` over the tokens.
    """
    text_length("A recurrent net", shape)
    whole("hidden", hidden)
    widths = [whole("width", width)] + [2 * hidden] * whole("layers", layers, most=LAYERS)
    one_of("pooling", pooling, ("max", "mean"))
    return Recurrent(vocabulary, widths, fraction("dropout", dropout), pooling, outputs)


class Bidirectional(nn.Module):
    """A GRU from the first token and one from the last token, each with half of the output width.

    Two plain ones and a reversal by gathering, because a packed sequence cannot be exported. ``narrow`` is even.
    """

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.ahead = nn.GRU(wide, narrow // 2, batch_first=True)
        self.back = nn.GRU(wide, narrow // 2, batch_first=True)

    def forward(self, states: Tensor, mirrored: Tensor) -> Tensor:
        """States (B, L, wide) to (B, L, narrow).

        ``mirrored`` (B, L) int64 is the position that each one swaps with when the tokens are reversed.
        """
        ahead = self.ahead(states)[0]
        back = self.back(_taken(states, mirrored))[0]
        return torch.cat([ahead, _taken(back, mirrored)], -1)


class Recurrent(nn.Module):
    """``embedding``, ``blocks.<i>``, ``pool`` and ``head``.

    ``widths`` are those of the vectors, then of each layer's two directions together.
    """

    def __init__(self, vocabulary: int, widths: Sequence[int], dropout: float, pooling: str, outputs: int) -> None:
        super().__init__()
        self.embedding = WordVectors(vocabulary, widths[0])
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Bidirectional(wide, narrow) for wide, narrow in pairwise(widths))
        self.pool = POOLS[pooling]()
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, L), padded at the end, to the output (B, outputs)."""
        counted = ids != PADDING
        mirrored = _mirrored(counted)
        states = self.embedding(ids)
        for block in self.blocks:
            states = block(self.dropout(states), mirrored)
        output: Tensor = self.head(self.pool(states, counted))
        return output


def _mirrored(counted: Tensor) -> Tensor:
    """Positions (B, L): reversed up to the last token that counts; the padding behind it stays in place."""
    positions = torch.arange(counted.shape[1], device=counted.device).expand_as(counted)
    last = (positions * counted).amax(1, keepdim=True)
    return torch.where(positions <= last, last - positions, positions)


def _taken(states: Tensor, positions: Tensor) -> Tensor:
    return states.gather(1, positions[..., None].expand(-1, -1, states.shape[-1]))
