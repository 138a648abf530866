"""The embedder that ships: a net with its tokenizer, from texts to vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data import encoder_from_state
from stillhouse.data.encoders import Encoder
from stillhouse.engine import read_weights, tensor_state, write_weights
from stillhouse.errors import DamagedError, UsageError
from stillhouse.files import write_json
from stillhouse.pipeline.cards import build
from stillhouse.pipeline.deployed import CARD, FOLDER, WEIGHTS
from stillhouse.pipeline.run import read_json

CHUNK = 256  # texts a forward


class DeployedEmbedder(nn.Module):
    """A trained embedder for texts.

    Args:
        net: from token ids (B, L) to vectors (B, D).
        encoder: from texts to token ids.
        width: D.
        card: how to build ``net`` again without its weights.
    """

    def __init__(self, net: nn.Module, encoder: Encoder, width: int, card: dict[str, Any]) -> None:
        super().__init__()
        self.net, self.encoder, self.width, self.card = net, encoder, width, card
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        """Vectors (B, D) of token ids (B, L)."""
        vectors: Tensor = self.net(inputs)
        return vectors

    def embed(self, texts: Any) -> NDArray[np.float32]:
        """Vectors float32 (N, D) of a list, an array or a series of texts.

        Raises:
            RejectedError: some are no text; names them.
        """
        return embed_all(self, self.encoder.encode(texts))

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and, last, ``model.json``."""
        write_weights(folder / WEIGHTS, tensor_state(self.net))
        told = {"schema": 1, "task": "embedding", "net": self.card, "width": self.width}
        write_json(folder / CARD, told | {"encoder": self.encoder.state()})


def load_embedder(folder: Path | str) -> DeployedEmbedder:
    """Load the embedder of a run folder (or of its ``student`` folder alone).

    Raises:
        UsageError: there is none.
        DamagedError: weights and description do not fit each other.
    """
    folder = Path(folder)
    folder = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    told = read_json(folder / CARD)
    if told.get("task") != "embedding":
        raise UsageError(f"{folder} holds a classifier. Load it with `stillhouse.load({str(folder)!r})`.")
    net = built(told["net"], told["width"])
    try:
        net.load_state_dict(read_weights(folder / WEIGHTS)[0])
    except RuntimeError as error:
        raise DamagedError(f"{folder / WEIGHTS} does not fit {CARD}: {error}. Run the recipe again.") from error
    return DeployedEmbedder(net, encoder_from_state(told["encoder"]), told["width"], told["net"])


@torch.inference_mode()
def embed_all(net: nn.Module, inputs: Tensor) -> NDArray[np.float32]:
    """Vectors float32 (N, D) of encoded texts (N, L), in eval mode."""
    return torch.cat([net(part).float() for part in torch.split(inputs, CHUNK)]).numpy()


def embedder_card(net: Any) -> dict[str, Any]:
    """The configuration of an embedder made by ``hub_embedder``, JSON-able."""
    return {
        "config": net.encoder.config.to_dict(),
        "pooling": net.pool.mode,
        "normalised": not isinstance(net.unit, nn.Identity),
        "vocabulary": net.vocabulary,
        "pad": net.pad,
        "pooler": getattr(net.encoder, "pooler", None) is not None,
    }


def built(card: dict[str, Any], width: int) -> nn.Module:
    """The net of a card, its weights random."""
    if "from" not in card:
        return build(card, width)
    from stillhouse.students.derive import derive

    return derive(_hub_net(card["from"]["embedder"]), **card["derive"]).module


def _hub_net(card: dict[str, Any]) -> nn.Module:
    from stillhouse.teachers.hub import HubModel, library
    from stillhouse.teachers.hub_nets import Embedder

    transformers = library("transformers")
    settings = {k: v for k, v in card["config"].items() if k not in ("model_type", "transformers_version")}
    config = transformers.AutoConfig.for_model(card["config"]["model_type"], **settings)
    encoder = transformers.AutoModel.from_config(config, dtype=torch.float32)
    if not card["pooler"] and hasattr(encoder, "pooler"):
        encoder.pooler = None
    found = HubModel(Path(), "encoder", "", None, None, card["vocabulary"], card["pad"])
    return Embedder(encoder, card["pooling"], card["normalised"], found)
