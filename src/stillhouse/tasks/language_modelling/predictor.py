"""The language model that ships: a causal net with its teacher's tokenizer, which any causal library opens."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data import encoder_from_state
from stillhouse.data.encoders.tokens import TokenEncoder
from stillhouse.data.inputs import texts_of
from stillhouse.errors import UsageError
from stillhouse.exporting import Exportable
from stillhouse.extras import library
from stillhouse.files import write_atomic
from stillhouse.functional.kept_classes import spread
from stillhouse.students.causal_generation import BATCH, Voice, generate
from stillhouse.students.causal_saving import save_causal
from stillhouse.students.causal_tokens import renumbered
from stillhouse.students.rules import Leaf
from stillhouse.tasks.language_modelling.causal_graph import write_graph
from stillhouse.tasks.predictor import Deployed
from stillhouse.windows import DOCUMENTS, IDS, CausalWindows

CONTINUED = 64  # tokens of a continuation, where nothing else is asked for

if TYPE_CHECKING:
    import pandas as pd


class DeployedLanguageModel(Deployed):
    """A trained causal student for texts."""

    task = "language_modelling"
    lines_are_rows = True
    folder_format = "transformers"
    encoder: TokenEncoder
    tokens_per_second: float | None = None  # of the last ``generate``

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
            whole: Tensor = found[..., :size].log_softmax(-1)
            return whole
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

    def generate(
        self,
        prompts: Any,
        *,
        max_new_tokens: int = CONTINUED,
        sampling_temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        batch_size: int = BATCH,
    ) -> Any:
        """Continue texts until the end token, or for ``max_new_tokens``; see ``causal_generation.generate``.

        ``tokens_per_second`` is that of the last call.

        Args:
            prompts: a text, or several.
            max_new_tokens: most tokens of each continuation.
            sampling_temperature: tokens are drawn from the softmax of logits / this; 0 takes the likeliest one.
            top_p: share of the mass that tokens are drawn from.
            seed: of the draws.
            batch_size: prompts that are continued together.

        Returns:
            The continuation without the prompt, a str, or a list of them.

        Raises:
            UsageError: a setting out of range, no text, or one that is longer than the model reads.
            RejectedError: a prompt is no text.
        """
        one = isinstance(prompts, str)
        texts = texts_of([prompts] if one else prompts, "The prompts").tolist()
        words = self.encoder.vocabulary
        first = [] if words.start is None else [words.start]
        home = next(self.net.parameters()).device
        made = generate(
            cast("CausalWindows", self.net),
            [torch.tensor([*first, *self.encoder.ids(text)], dtype=torch.int64, device=home) for text in texts],
            new_tokens=max_new_tokens,
            sampling_temperature=sampling_temperature,
            top_p=top_p,
            end=[] if words.end is None else [words.end],
            seed=seed,
            batch_size=batch_size,
        )
        self.tokens_per_second = made.tokens_per_second
        found = [words.tokenizer.decode(tokens.tolist(), skip_special_tokens=True) for tokens in made.tokens]
        return found[0] if one else found

    def predict(self, rows: Any) -> NDArray[np.float64]:
        """As ``bits_per_byte``: how well the model expects each text."""
        return self.bits_per_byte(rows)

    def frame(self, rows: Any) -> pd.DataFrame:
        """Of each text ``bits_per_byte`` and its likeliest ``continuation``, of 64 tokens at most."""
        import pandas as pd

        texts = texts_of(self.of_column(rows), "The prompts").tolist()
        longest, most = 1 + max(len(self.encoder.ids(text)) for text in texts), Voice(cast("Any", self.net)).longest
        room = CONTINUED if most is None else max(1, min(CONTINUED, most - longest))
        continued = self.generate(texts, max_new_tokens=room)
        return pd.DataFrame({"bits_per_byte": self.bits_per_byte(rows), "continuation": continued})

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the model and its tokenizer as ``AutoModelForCausalLM.from_pretrained`` opens them.

        See ``students.causal_saving.save_causal`` for a student that keeps some of the teacher's tokens.
        """
        place, words = Path(folder), self.encoder.vocabulary
        made = library("transformers", "A language model").PreTrainedTokenizerFast(
            tokenizer_object=words.tokenizer,
            bos_token=words.name(words.start) or None,
            eos_token=words.name(words.end) or None,
            chat_template=words.template,
        )
        save_causal(cast("CausalWindows", self.net), place, made)

    def write_program(self, format: str, out: Path, metadata: Mapping[str, str]) -> bool:
        """Write an ONNX graph with a cache, and its tokenizer beside it; see ``causal_graph.write_graph``."""
        if format != "onnx":
            return False
        table, words = getattr(self.net, "table", None), self.encoder.vocabulary.tokenizer_json
        own = words if table is None else renumbered(words, table.cpu())
        write_atomic(out.with_name(f"{out.stem}-tokenizer.json"), own.encode())
        write_graph(cast("CausalWindows", copy.deepcopy(self.net).cpu().float().eval()), out, metadata)
        return True

    def exportable(self, rows: Tensor) -> Exportable:
        """Refuse: weights alone are no model."""
        raise UsageError(
            "Weights alone are no language model. Write it as a folder of transformers, `stillhouse export RUN "
            "--format transformers`, or as a graph with a cache, `--format onnx`."
        )

    def leaf(self, outputs: NDArray[np.float64]) -> Leaf:
        """A distribution has no meaning in one word."""
        return Leaf("a distribution of tokens")
