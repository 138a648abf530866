"""The embedder that ships: a net with its tokenizer, from texts to vectors."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data import TextEncoder, encoder_from_state
from stillhouse.errors import UsageError
from stillhouse.exporting import Exportable
from stillhouse.files import npz, write_output
from stillhouse.students.rules import Leaf
from stillhouse.tasks.predictor import Deployed, run_net

if TYPE_CHECKING:
    import pandas as pd


class OfTokenizer(nn.Module):
    """A net that takes the ids of the tokenizer's own numbering, in which padding need not be 0.

    Args:
        net: from encoded ids (B, L).
        encoder: converts between the two numberings.
    """

    def __init__(self, net: nn.Module, encoder: TextEncoder) -> None:
        super().__init__()
        self.net, self.encoder = net, encoder

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (B, D) of the tokenizer's ids (B, L)."""
        vectors: Tensor = self.net(self.encoder.tokenizer_ids(ids))  # the swap of ids is its own inverse
        return vectors


class DeployedEmbedder(Deployed):
    """A trained embedder for texts, with a net from token ids (B, L) to vectors (B, D) of D = ``width``."""

    task = "embedding"
    encoder: TextEncoder

    def __init__(
        self, net: nn.Module, encoder: TextEncoder, width: int, net_card: Mapping[str, Any], column: str = ""
    ) -> None:
        super().__init__(net, encoder, net_card, column)
        self.width = width

    @staticmethod
    def net_width(card: Mapping[str, Any]) -> int:
        """Numbers of a vector."""
        return int(card["width"])

    @classmethod
    def from_card(cls, card: Mapping[str, Any], net: nn.Module) -> Self:
        """The embedder of a card; see ``Deployed``."""
        encoder = encoder_from_state(card["encoder"])
        assert isinstance(encoder, TextEncoder)
        return cls(net, encoder, card["width"], card["net"], card.get("column", ""))

    def own_card(self) -> dict[str, Any]:
        """Numbers of a vector."""
        return {"width": self.width}

    def embed(self, texts: Any) -> NDArray[np.float32]:
        """Vectors float32 (N, D) of a list, an array or a series of texts.

        Raises:
            RejectedError: some are not text; names them.
        """
        return embed_all(self, self.encoder.encode(self.of_column(texts)))

    def predict(self, rows: Any) -> NDArray[np.float32]:
        """As ``embed``."""
        return self.embed(rows)

    def frame(self, rows: Any) -> pd.DataFrame:
        """The column ``vector``, a list for each text."""
        import pandas as pd

        return pd.DataFrame({"vector": self.embed(rows).tolist()})

    def table(self, rows: Any, files: Sequence[str] | None = None) -> pd.DataFrame:
        """The numbers of the vectors, in the columns ``v0``, ``v1`` ..."""
        import pandas as pd

        return pd.DataFrame(self.embed(rows), columns=[f"v{i}" for i in range(self.width)])

    def write_answers(self, rows: Any, out: Path, files: Sequence[str] | None = None) -> None:
        """Write the vectors float32 (N, D) of texts, in their order.

        Args:
            rows: the texts.
            out: ``.npy``; ``.npz``, under the name "vectors"; or ``.parquet``, with lists in the column ``vector``.
            files: not used; texts have no separate files.

        Raises:
            UsageError: another kind of file.
            RejectedError: some are not text; names them.
        """
        if out.suffix not in VECTOR_FILES:
            raise UsageError(
                f"{out}: vectors cannot be written to files of this kind. Known: {', '.join(VECTOR_FILES)}. "
                f"Write `--out {out.with_suffix('.npy')}`."
            )
        buffer = io.BytesIO()
        VECTOR_FILES[out.suffix](buffer, self.embed(rows))
        write_output(out, buffer.getvalue())

    def exportable(self, rows: Tensor) -> Exportable:
        """A graph from ``inputs``, ids of the exported tokenizer, to ``vectors``; of any number and length."""
        size = float(np.linalg.norm(embed_all(self, rows), axis=1).mean()) or 1.0
        compare = {"vectors": lambda vectors: vectors / size}
        graph = OfTokenizer(self.net, self.encoder)
        return Exportable(self.net, rows, graph, self.encoder.tokenizer_ids(rows), compare, tokens=True)

    def beside(self) -> dict[str, str]:
        """The tokenizer."""
        return {"tokenizer.json": self.encoder.tokenizer_file()}

    def metadata(self) -> dict[str, str]:
        """Metadata of an exported file: the dimension of the vectors, and the largest number of tokens of a text."""
        return {"task": self.task, "width": str(self.width), "length": str(self.encoder.length)}

    def leaf(self, outputs: NDArray[np.float64]) -> Leaf:
        """The length of the vector: a vector has no meaning in words."""
        return Leaf(f"vector of length {np.linalg.norm(outputs):.3g}")


def _npz(file: IO[bytes], vectors: NDArray[np.float32]) -> None:
    file.write(npz({"vectors": vectors}))


def _parquet(file: IO[bytes], vectors: NDArray[np.float32]) -> None:
    import pyarrow
    from pyarrow import parquet

    column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.ravel()), vectors.shape[1])
    parquet.write_table(pyarrow.table({"vector": column}), file)


VECTOR_FILES: dict[str, Callable[[IO[bytes], NDArray[np.float32]], None]]
VECTOR_FILES = {".npy": np.save, ".npz": _npz, ".parquet": _parquet}


def embed_all(net: nn.Module, inputs: Tensor) -> NDArray[np.float32]:
    """Vectors float32 (N, D) of encoded texts (N, L), in eval mode."""
    return run_net(net, inputs).float().numpy()
