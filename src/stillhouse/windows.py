"""The rows of language models: windows of tokens, in which documents are blind to each other.

A window of T positions is int64 (2, T): the token ids in the teacher's numbering, and for each position the number of
its document inside the window, from 1; 0 is padding. Targets (B, T) are the token that follows each position, -1 where
it does not count: nobody shifts them again.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError

IDS, DOCUMENTS = 0, 1  # the two planes of a window
# Architectures of transformers in which a part of the layers carries a state
HYBRID = ("recurrent_gemma", "jamba", "zamba", "zamba2", "bamba", "falcon_h1", "granitemoehybrid", "lfm2", "qwen3_next")
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


def is_recurrent(model: nn.Module) -> bool:
    """Whether a model carries a state from token to token, which no mask over documents can stop."""
    kind = getattr(getattr(model, "config", None), "model_type", "")
    return "position_ids" not in inspect.signature(type(model).forward).parameters or kind in HYBRID


def apart(documents: Tensor) -> tuple[Tensor, Tensor]:
    """Where each position goes if every document has a row of its own: the row and the column, int64 (B, T) each.

    >>> [one.tolist() for one in apart(torch.tensor([[1, 1, 2], [1, 0, 0]]))]
    [[[0, 0, 1], [2, 3, 3]], [[0, 1, 0], [0, 0, 1]]]
    """
    column = positions(documents)
    return (column == 0).flatten().cumsum(0).view_as(documents) - 1, column


class CausalWindows(nn.Module):
    """A causal model of transformers that reads windows.

    Args:
        model: takes ``input_ids``, ``attention_mask`` (4-D, bool) and ``position_ids``, and gives ``.logits``; a
            recurrent one takes ``input_ids`` and reads every document in a row of its own.
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

    def hidden(self, inputs: Tensor) -> Tensor:
        """The states (B, T, D) before the output layer, of windows (B, 2, T)."""
        whole: Any = self.model
        if is_recurrent(whole):
            raise UsageError("A recurrent model shows no hidden states of packed documents.")
        found: Tensor = whole.base_model(**self.asked(inputs)).last_hidden_state
        return found

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, T, C) of the token that follows each position of windows (B, 2, T)."""
        asked = self.asked(inputs)
        if "attention_mask" in asked and is_recurrent(self.model):
            row, column = apart(inputs[:, DOCUMENTS])
            ids = asked["input_ids"]
            rows = ids.new_zeros(int(row.max()) + 1, int(column.max()) + 1)
            rows[row, column] = ids  # padding behind a document changes nothing before it
            found: Tensor = self.model(input_ids=rows, use_cache=False).logits[row, column]
            return found
        logits: Tensor = self.model(**asked).logits
        return logits
