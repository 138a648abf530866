"""The encoder of language models: a text becomes a window of the teacher's own token ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.encoders.base import Encoder
from stillhouse.data.encoders.vocabulary import Vocabulary, token_bytes
from stillhouse.data.inputs import texts_of
from stillhouse.data.source import Raw
from stillhouse.windows import DOCUMENTS, IDS

SHOWN = 2000  # characters of a window that a report shows


@dataclass(frozen=True)
class TokenEncoder(Encoder):
    """Windows of token ids; see ``stillhouse.windows``. Those of a corpus are made as it is read, and stay as they are.

    Args:
        vocabulary: of the teacher.
        context: T, positions of a window.
        packing: how the windows of the corpus were made.
        loss_on: of dialogues, which tokens are learned.
    """

    vocabulary: Vocabulary
    context: int
    packing: str
    loss_on: str = "all"

    @property
    def shape(self) -> tuple[int, ...]:
        """(2, T)."""
        return (2, self.context)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(T, V)."""
        return (self.context, self.vocabulary.size)

    @property
    def corruptions(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def bytes(self) -> NDArray[np.int64]:
        """Bytes of each token, (V,)."""
        return token_bytes(self.vocabulary.tokenizer_json, self.vocabulary.size)

    @property
    def key_parts(self) -> dict[str, str]:
        """What a store's answers depend on besides teacher and windows."""
        words = self.vocabulary
        return {
            "tokenizer": words.digest,
            "template": "" if words.template is None else xxhash.xxh3_64_hexdigest(words.template.encode()),
            "start": repr(words.start),
            "context": str(self.context),
            "packing": self.packing,
            "loss_on": self.loss_on,
        }

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens: a text contains no markup."""
        tokenizer = self.vocabulary.tokenizer
        tokenizer.encode_special_tokens = True
        found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def encode(self, raw: Any) -> Tensor:
        """Windows int64 (N, 2, T): of windows the same, of texts one each, cut at its end.

        Raises:
            RejectedError: names the rows that are not text, empty or too long.
        """
        values = np.asarray(raw)
        if values.dtype.kind in "iu":
            return torch.from_numpy(np.array(values, np.int64))
        texts = texts_of(raw, "The texts").tolist()
        found = torch.zeros(len(texts), 2, self.context, dtype=torch.int64)
        first = [] if self.vocabulary.start is None else [self.vocabulary.start]
        for row, text in enumerate(texts):
            ids = [*first, *self.ids(text)][: self.context]
            found[row, IDS, : len(ids)], found[row, DOCUMENTS, : len(ids)] = torch.tensor(ids), 1
        return found

    def decode(self, inputs: Tensor) -> NDArray[Any]:
        """The texts of windows, an object array (N,) of str."""
        rows = [window[IDS][window[DOCUMENTS] > 0].tolist() for window in inputs]
        return np.array(self.vocabulary.tokenizer.decode_batch(rows, skip_special_tokens=True), object)

    def example(self, count: int, generator: torch.Generator) -> Tensor:
        """Random tokens of one document."""
        ids = torch.randint(0, self.vocabulary.size, (count, self.context), generator=generator)
        return torch.stack([ids, torch.ones_like(ids)], 1)

    def preview(self, raw: Raw) -> dict[str, NDArray[Any]]:
        """The start of each window as text."""
        texts = self.decode(torch.from_numpy(np.asarray(raw)))
        return {"inputs": np.array([text[:SHOWN] for text in texts], dtype=np.str_)}

    def readable(self, raw: Raw) -> None:
        """None: a position in a text has no meaning by itself."""

    def state(self) -> dict[str, Any]:
        """JSON-able."""
        own = {"context": self.context, "packing": self.packing, "loss_on": self.loss_on}
        return {"kind": "tokens", "vocabulary": self.vocabulary._asdict()} | own

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> TokenEncoder:
        """Rebuild from ``state``."""
        return cls(Vocabulary(**state["vocabulary"]), int(state["context"]), state["packing"], state["loss_on"])
