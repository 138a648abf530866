"""Nets made of hub models: from token ids to logits or embeddings.

Ids are those of the data's encoder: int64 (B, L), 0 = padding, whatever the model's own id of padding is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.errors import RejectedError
from stillhouse.teachers.hub.models import HubModel

HEAD_STD = 0.02  # of a new head's weights, as BERT's initializer_range


def length_of(ids: Tensor) -> Tensor:
    """Number of tokens of each row up to its last one that is not padding: int64 (B,), for sorting rows by length.

    >>> length_of(torch.tensor([[5, 7, 0, 0], [5, 0, 7, 0], [0, 0, 0, 0]])).tolist()
    [2, 3, 0]
    """
    places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
    return (places * (ids != 0)).amax(1)


class TokenNet(nn.Module):
    """The base of all nets on a hub model: ids in the model's form, and no work on padding.

    ``trim`` removes the columns that are padding in the whole batch before the encoder runs. They are masked, so the
    result does not change, and short texts need much less work. Turn it off where token states are tapped and
    stored: their shape would depend on the batch.
    """

    def __init__(self, encoder: nn.Module, model: HubModel) -> None:
        super().__init__()
        self.vocabulary, self.pad, self.trim = model.vocabulary, model.pad, True
        self.longest = _longest(encoder)

    def tokens(self, ids: Tensor) -> dict[str, Tensor]:
        """Keyword arguments for the encoder: ``input_ids`` and ``attention_mask``, int64 (B, L).

        Raises:
            RejectedError: ids beyond the vocabulary, or more tokens than the model has positions for.
        """
        if not torch.compiler.is_compiling():  # sizes that depend on values cannot be exported
            if self.trim:
                ids = ids[:, : max(int(length_of(ids).max()) if len(ids) else 1, 1)]
            self.refuse(ids)
        mask = ids != 0
        if self.pad != 0:
            # The data's encoder gives 0 to padding, and gives the padding's old id to the token that was 0.
            ids = torch.where(mask, torch.where(ids == self.pad, 0, ids), self.pad)
        return {"input_ids": ids, "attention_mask": mask.long()}

    def refuse(self, ids: Tensor) -> None:
        """Refuse ids that are not of this model's tokenizer."""
        largest = int(ids.max()) if ids.numel() else 0
        if largest >= self.vocabulary:
            raise RejectedError(
                f"A text has the token id {largest}, but the model has {self.vocabulary} tokens: another tokenizer "
                "split the texts. Leave out `[data] tokenizer`, so that the model's own is used."
            )
        if self.longest is not None and ids.shape[1] > self.longest:
            raise RejectedError(
                f"A text has {ids.shape[1]} tokens, but the model can read only {self.longest}. Set `[data] tokens`, "
                f"or `[student] tokens` of a student cut out of it, to {self.longest} or fewer."
            )


class ReadyClassifier(TokenNet):
    """A classifier with its own head; its logits have the order of the data's classes."""

    order: Tensor

    def __init__(self, model: nn.Module, order: Tensor, found: HubModel) -> None:
        super().__init__(model, found)
        self.model = model
        self.register_buffer("order", order)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, C) of token ids (B, L)."""
        logits: Tensor = self.model(**self.tokens(ids)).logits
        return logits[:, self.order]


class EncoderClassifier(TokenNet):
    """An encoder, a pooling and a linear head."""

    def __init__(self, encoder: Any, mode: str, classes: int, found: HubModel, seed: int) -> None:
        super().__init__(encoder, found)
        self.encoder, self.pool = encoder, Pool(mode)
        self.head = nn.Linear(int(encoder.config.hidden_size), classes)
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.head.weight, std=HEAD_STD, generator=torch.Generator().manual_seed(seed))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, C) of token ids (B, L)."""
        tokens = self.tokens(ids)
        logits: Tensor = self.head(self.pool(self.encoder(**tokens).last_hidden_state, tokens["attention_mask"]))
        return logits


class Embedder(TokenNet):
    """An encoder and a pooling; the embeddings have length 1 where asked."""

    def __init__(self, encoder: nn.Module, mode: str, normalised: bool, found: HubModel) -> None:
        super().__init__(encoder, found)
        self.encoder, self.pool = encoder, Pool(mode)
        self.unit = Unit() if normalised else nn.Identity()

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings (B, D) of token ids (B, L)."""
        tokens = self.tokens(ids)
        states = self.encoder(**tokens).last_hidden_state
        embeddings: Tensor = self.unit(self.pool(states, tokens["attention_mask"]))
        return embeddings


class MaskedModel(TokenNet):
    """A masked language model: logits of the tokens for each place."""

    def __init__(self, model: nn.Module, found: HubModel) -> None:
        super().__init__(model, found)
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, L', V) of token ids (B, L), by the encoder's ids; L' leaves out what is padding in all rows."""
        logits: Tensor = self.model(**self.tokens(ids)).logits
        if self.pad != 0:
            logits[..., [0, self.pad]] = logits[..., [self.pad, 0]]
        return logits


class Pool(nn.Module):
    """One vector of the states of a text's tokens: their mean, or the first one's."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def extra_repr(self) -> str:
        """The mode, so that the fingerprint of a net includes it."""
        return self.mode

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States (B, L, D) and mask (B, L) to (B, D)."""
        if self.mode == "cls":
            return states[:, 0]
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


class Unit(nn.Module):
    """Vectors of length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors (B, D), each divided by its length."""
        return nn.functional.normalize(vectors, dim=-1)


def _longest(encoder: Any) -> int | None:
    """Tokens at most, by the model's table of positions; None where positions are relative or rotary."""
    table = next((m for name, m in encoder.named_modules() if name.endswith("position_embeddings")), None)
    if not isinstance(table, nn.Embedding):
        return None
    # RoBERTa's positions start after the padding id.
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
