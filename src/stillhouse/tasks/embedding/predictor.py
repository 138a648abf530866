"""The embedder that ships: a net with its tokenizer, from texts to vectors."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data import TextEncoder, encoder_from_state
from stillhouse.data.on_disk.mapped import write_array
from stillhouse.engine import tensor_state, write_weights
from stillhouse.errors import UsageError
from stillhouse.files import write_atomic, write_json, write_npz
from stillhouse.pipeline.run.folder import read_json
from stillhouse.pipeline.student.config import build
from stillhouse.tasks.classification.predictor import CARD, WEIGHTS, fill, refuse_own

CHUNK = 256  # texts a forward


class OfTokenizer(nn.Module):
    """A net that takes the ids of the tokenizer's own numbering, in which padding need not be 0.

    Args:
        net: from encoded ids (B, L).
        encoder: says how the two are exchanged.
    """

    def __init__(self, net: nn.Module, encoder: TextEncoder) -> None:
        super().__init__()
        self.net, self.encoder = net, encoder

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (B, D) of the tokenizer's ids (B, L)."""
        vectors: Tensor = self.net(self.encoder.tokenizer_ids(ids))  # the exchange is its own inverse
        return vectors


class DeployedEmbedder(nn.Module):
    """A trained embedder for texts.

    Args:
        net: from token ids (B, L) to vectors (B, D).
        encoder: from texts to token ids.
        width: D.
        card: how to build ``net`` again without its weights.
        column: of a file, that holds the texts; empty where it is to be found by looking.
    """

    answers: Literal["classes", "vectors"] = "vectors"

    def __init__(
        self, net: nn.Module, encoder: TextEncoder, width: int, card: dict[str, Any], column: str = ""
    ) -> None:
        super().__init__()
        self.net, self.encoder, self.width, self.card, self.column = net, encoder, width, card, column
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
        column = {"column": self.column} if self.column else {}
        write_json(folder / CARD, told | {"encoder": self.encoder.state()} | column)

    def write_answers(self, rows: Any, out: Path) -> None:
        """Write the vectors float32 (N, D) of texts, in their order.

        Args:
            rows: the texts.
            out: ``.npy``; ``.npz``, where they stand under "vectors"; or ``.parquet``, a list a row in the column
                ``vector``.

        Raises:
            UsageError: another kind of file.
            RejectedError: some are no text; names them.
        """
        if out.suffix not in VECTOR_FILES:
            raise UsageError(
                f"{out}: vectors are not written to files of this kind. Known: {', '.join(VECTOR_FILES)}. "
                f"Write `--out {out.with_suffix('.npy')}`."
            )
        VECTOR_FILES[out.suffix](out, self.embed(rows))

    def served(self, rows: Tensor) -> tuple[nn.Module, Tensor]:
        """The net of a graph file, which takes the ids of the tokenizer beside it, and such ids for encoded ones."""
        return OfTokenizer(self.net, self.encoder), self.encoder.tokenizer_ids(rows)

    def beside(self) -> dict[str, str]:
        """Files that an exported one needs beside it: content by name."""
        return {"tokenizer.json": self.encoder.tokenizer_file()}

    def metadata(self) -> dict[str, str]:
        """What an exported file says of the student: numbers of a vector, and tokens of a text at most."""
        return {"width": str(self.width), "length": str(self.encoder.length)}


def load_embedder(folder: Path, module: nn.Module | None = None) -> DeployedEmbedder:
    """Load an embedder.

    Args:
        folder: the ``student`` folder of a run.
        module: your own student, freshly built, where the recipe named one: code is never stored.

    Raises:
        UsageError: it is your own module and was not given.
        DamagedError: weights and description do not fit each other.
    """
    told = read_json(folder / CARD)
    if module is None:
        refuse_own(told["net"], folder)
        module = built(told["net"], told["width"])
    fill(module, folder)
    encoder = encoder_from_state(told["encoder"])
    assert isinstance(encoder, TextEncoder)
    return DeployedEmbedder(module, encoder, told["width"], told["net"], told.get("column", ""))


def _npy(out: Path, vectors: NDArray[np.float32]) -> None:
    write_array(out, vectors.shape, vectors.dtype, [vectors])


def _npz(out: Path, vectors: NDArray[np.float32]) -> None:
    write_npz(out, {"vectors": vectors})


def _parquet(out: Path, vectors: NDArray[np.float32]) -> None:
    import pyarrow
    from pyarrow import parquet

    column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.ravel()), vectors.shape[1])
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table({"vector": column}), buffer)
    write_atomic(out, buffer.getvalue())


VECTOR_FILES: dict[str, Callable[[Path, NDArray[np.float32]], None]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".parquet": _parquet,
}


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
    from stillhouse.teachers.hub.models import HubModel, library
    from stillhouse.teachers.hub.nets import Embedder

    transformers = library("transformers")
    settings = {k: v for k, v in card["config"].items() if k not in ("model_type", "transformers_version")}
    config = transformers.AutoConfig.for_model(card["config"]["model_type"], **settings)
    encoder = transformers.AutoModel.from_config(config, dtype=torch.float32)
    if not card["pooler"] and hasattr(encoder, "pooler"):
        encoder.pooler = None
    found = HubModel(Path(), "encoder", "", None, None, card["vocabulary"], card["pad"])
    return Embedder(encoder, card["pooling"], card["normalised"], found)
