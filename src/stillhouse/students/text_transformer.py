"""A small transformer encoder for texts (Vaswani et al. 2017; Turc et al. 2019, Well-Read Students Learn Better)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillhouse.students.bounds import LAYERS, fraction, one_of, whole
from stillhouse.students.text_parts import PADDING, POOLS, text_length
from stillhouse.students.transformer_block import TransformerBlock

INITIAL_STD = 0.02  # of tokens and positions, as in BERT


def transformer_tiny(
    shape: tuple[int, ...],
    outputs: int,
    *,
    vocabulary: int = 8192,
    width: int = 128,
    layers: int = 2,
    heads: int = 4,
    feedforward: int = 256,
    dropout: float = 0.1,
    norm: str = "pre",
    pooling: str = "mean",
) -> nn.Module:
    """Student of two blocks of width 128 (1,331,466 parameters for 8,192 tokens, 128 positions and 10 outputs).

    Args:
        shape: (L,); shorter texts are read too.
        outputs: Width of the output.
        vocabulary: Number of token ids.
        width: Of the states, a multiple of ``heads``.
        layers: Blocks.
        heads: Of each attention.
        feedforward: Width of the hidden layer of each block.
        dropout: In the blocks and of the embeddings, in [0, 1).
        norm: Layer normalisation ``"pre"`` or ``"post"`` each branch.
        pooling: ``"mean"`` over the tokens, or the ``"first"`` one.
    """
    length = text_length("A text transformer", shape)
    pre_norm = one_of("norm", norm, ("pre", "post")) == "pre"
    one_of("pooling", pooling, ("mean", "first"))
    fraction("dropout", dropout)
    blocks = nn.ModuleList(
        TransformerBlock(
            whole("width", width), whole("heads", heads), whole("feedforward", feedforward), dropout, pre_norm
        )
        for _ in range(whole("layers", layers, most=LAYERS))
    )
    norm_layer = nn.LayerNorm(width) if pre_norm else nn.Identity()
    whole("vocabulary", vocabulary, least=2)
    return TextTransformer((vocabulary, length, width), outputs, blocks, norm_layer, pooling, dropout)


class TextTransformer(nn.Module):
    """``embedding``, ``blocks.<i>``, ``norm``, ``pool`` and ``head``: the paths that taps can name."""

    def __init__(
        self,
        size: tuple[int, int, int],  # vocabulary, positions, width
        outputs: int,
        blocks: nn.ModuleList,
        norm: nn.Module,
        pooling: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = TokensAndPositions(*size, dropout)
        self.blocks = blocks
        self.norm = norm
        self.pool = POOLS[pooling]()
        self.head = nn.Linear(size[2], outputs)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, L), 0 = padding, to the output (B, outputs)."""
        counted = ids != PADDING
        states = self.embedding(ids)
        attended = _attended(counted)
        for block in self.blocks:
            states = block(states, attended)
        output: Tensor = self.head(self.pool(self.norm(states), counted))
        return output


class TokensAndPositions(nn.Module):
    """Sum of the vectors of a token and of its position, normalised."""

    def __init__(self, vocabulary: int, length: int, width: int, dropout: float) -> None:
        super().__init__()
        self.tokens = _Table(vocabulary, width)
        self.positions = _Table(length, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, L) to states (B, L, D); L at most ``length``."""
        states = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        embedded: Tensor = self.dropout(self.norm(states))
        return embedded


class _Table(nn.Embedding):
    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=INITIAL_STD)


def _attended(counted: Tensor) -> Tensor:
    """Where attention may look: the tokens, and the first position of a row without tokens, for a softmax needs one."""
    first = torch.arange(counted.shape[1], device=counted.device) == 0
    return counted | (first & ~counted.any(1, keepdim=True))
