"""The language model that ships: a causal net with its teacher's tokenizer, which any causal library opens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data import encoder_from_state
from stillhouse.data.encoders.tokens import TokenEncoder
from stillhouse.errors import UsageError
from stillhouse.exporting import Exportable
from stillhouse.extras import library
from stillhouse.functional.kept_classes import spread
from stillhouse.students.rules import Leaf
from stillhouse.tasks.predictor import Deployed
from stillhouse.windows import DOCUMENTS, IDS

if TYPE_CHECKING:
    import pandas as pd


class DeployedLanguageModel(Deployed):
    """A trained causal student for texts."""

    task = "language_modelling"
    encoder: TokenEncoder

    @staticmethod
    def net_width(card: Mapping[str, Any]) -> int:
        """Classes of the teacher's vocabulary."""
        return int(card["encoder"]["vocabulary"]["size"])

    @classmethod
    def from_card(cls, card: Mapping[str, Any], net: nn.Module) -> Self:
        """The model of a card; see ``Deployed``."""
        encoder = encoder_from_state(card["encoder"])
        assert isinstance(encoder, TokenEncoder)
        return cls(net, encoder, card["net"])

    def own_card(self) -> dict[str, Any]:
        """Nothing else."""
        return {}

    @torch.inference_mode()
    def log_probs(self, windows: Tensor) -> Tensor:
        """Log-probabilities float32 (B, T, V) of the teacher's classes after each position of windows (B, 2, T)."""
        found = self(windows).float()
        table = getattr(self.net, "table", None)
        size = self.encoder.vocabulary.size
        if table is None:
            return found[..., :size].log_softmax(-1)
        return spread(found.log_softmax(-1), table[:size])

    def bits_per_byte(self, rows: Any) -> NDArray[np.float64]:
        """Bits per byte of each text (N,), of its first ``context`` tokens; NaN where there is nothing to predict."""
        found = []
        sizes = torch.from_numpy(self.encoder.bytes)
        for window in self.encoder.encode(self.of_column(rows)):
            ids = window[IDS][window[DOCUMENTS] > 0]
            log_probs = self.log_probs(window[None])[0, : len(ids) - 1]
            nll = -log_probs.gather(1, ids[1:, None])[:, 0].double().sum()
            length = int(sizes[ids[1:]].sum())
            found.append(float(nll) / math.log(2) / length if length else math.nan)
        return np.array(found)

    def predict(self, rows: Any) -> NDArray[np.float64]:
        """As ``bits_per_byte``: how well the model expects each text."""
        return self.bits_per_byte(rows)

    def frame(self, rows: Any) -> pd.DataFrame:
        """The column ``bits_per_byte``."""
        import pandas as pd

        return pd.DataFrame({"bits_per_byte": self.bits_per_byte(rows)})

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the model and its tokenizer as ``AutoModelForCausalLM.from_pretrained`` opens them.

        Raises:
            UsageError: the model has fewer classes than the tokenizer has tokens.
        """
        if getattr(self.net, "table", None) is not None:
            raise UsageError(
                "This student keeps some of its teacher's tokens and one class for the rest, which no tokenizer of "
                "transformers can express. Distil without `vocabulary` in [student.derive] for a folder of its own."
            )
        place, words = Path(folder), self.encoder.vocabulary
        net: Any = self.net
        net.model.save_pretrained(place)
        made = library("transformers", "A language model").PreTrainedTokenizerFast(
            tokenizer_object=words.tokenizer,
            bos_token=words.name(words.start) or None,
            eos_token=words.name(words.end) or None,
            chat_template=words.template,
        )
        made.save_pretrained(place)

    def exportable(self, rows: Tensor) -> Exportable:
        """Refuse: a graph has no cache."""
        raise UsageError(
            "A language model is saved as a folder of transformers: `stillhouse.load(run).save_pretrained(folder)`."
        )

    def leaf(self, outputs: NDArray[np.float64]) -> Leaf:
        """A distribution has no meaning in one word."""
        return Leaf("a distribution of tokens")
