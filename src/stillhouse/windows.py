"""The rows of language models: windows of tokens, in which documents are blind to each other.

A window of T positions is int64 (2, T): the token ids in the teacher's numbering, and for each position the number of
its document inside the window, from 1; 0 is padding. Targets (B, T) are the token that follows each position, -1 where
it does not count: nobody shifts them again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

IDS, DOCUMENTS = 0, 1  # the two planes of a window
UNCOUNTED = -1  # the target of a position that does not count


def positions(documents: Tensor) -> Tensor:
    """The position of each token in its own document, from 0.

    Args:
        documents: int64 (B, T), the numbers of the documents; those of one document lie side by side.

    >>> positions(torch.tensor([[1, 1, 2, 2, 2, 0]])).tolist()
    [[0, 1, 0, 1, 2, 0]]
    """
    steps = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    first = torch.ones_like(documents, dtype=torch.bool)
    first[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return steps - torch.where(first, steps, 0).cummax(1).values


def may_look(documents: Tensor) -> Tensor:
    """Which earlier positions (the last axis) each position sees: those of its own document, itself among them.

    Args:
        documents: int64 (B, T).

    Returns:
        Bool (B, 1, T, T).

    >>> may_look(torch.tensor([[1, 2, 2]]))[0, 0].int().tolist()
    [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    """
    same = documents.unsqueeze(2) == documents.unsqueeze(1)
    return same.tril().unsqueeze(1)


class CausalWindows(nn.Module):
    """A causal model of transformers that reads windows.

    Args:
        model: takes ``input_ids``, ``attention_mask`` (4-D, bool) and ``position_ids``, and gives ``.logits``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def asked(self, inputs: Tensor) -> dict[str, Any]:
        """The arguments of the model for windows (B, 2, T).

        One document without padding is what every causal model reads without being told, by its fastest kernel.
        """
        ids, documents = inputs[:, IDS], inputs[:, DOCUMENTS]
        if bool((documents == documents[:, :1]).all()):
            return {"input_ids": ids, "use_cache": False}
        return {
            "input_ids": ids,
            "attention_mask": may_look(documents),
            "position_ids": positions(documents),
            "use_cache": False,
        }

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, T, C) of the token that follows each position of windows (B, 2, T)."""
        logits: Tensor = self.model(**self.asked(inputs)).logits
        return logits
