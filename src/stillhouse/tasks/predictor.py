"""The part of a run that ships, for every task: the student with its preprocessing, which takes raw rows."""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from stillhouse import hashes
from stillhouse.data import Encoder
from stillhouse.data.cells import first_five
from stillhouse.engine import tensor_state, write_weights
from stillhouse.errors import RejectedError
from stillhouse.exporting import Exportable
from stillhouse.files import write_json, write_output
from stillhouse.memory import in_pieces
from stillhouse.plain_text import cell
from stillhouse.students.rules import Leaf
from stillhouse.types import logits_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

FOLDER = "student"
ARMS = "arms"  # the folder of what other arms ship, each in a folder of its name
WEIGHTS, CARD = "model.safetensors", "model.json"
SCHEMA, UNVERIFIED = 2, 1  # of the card: with hashes beside it, and from before there were hashes
CHUNK = 1024  # rows in one forward, so that memory use stays constant for long tables


class Deployed(nn.Module, ABC):
    """A trained student for raw rows.

    Args:
        net: from encoded inputs to outputs.
        encoder: from raw rows to encoded inputs, fitted on the training rows.
        net_card: how to build ``net`` again: zoo name, settings and shapes, except for the user's own module; under
            ``parts`` the parts of methods that ship with it.
        column: of a file, that holds the texts; empty for other data.
    """

    task: ClassVar[str]
    lines_are_rows: ClassVar[bool] = False  # of a .txt file; else its first line names its columns
    folder_format: ClassVar[str | None] = None  # of ``export``: the name of what ``save_pretrained`` writes

    def __init__(self, net: nn.Module, encoder: Encoder, net_card: Mapping[str, Any], column: str = "") -> None:
        super().__init__()
        self.net, self.encoder, self.net_card, self.column = net, encoder, dict(net_card), column
        self.eval()

    @staticmethod
    @abstractmethod
    def net_width(card: Mapping[str, Any]) -> int:
        """Number of outputs of the net of a card."""

    @classmethod
    @abstractmethod
    def from_card(cls, card: Mapping[str, Any], net: nn.Module) -> Self:
        """The student of a card (``model.json``), with the net of ``card["net"]``."""

    @abstractmethod
    def own_card(self) -> dict[str, Any]:
        """The content of the card besides net, encoder and column, for JSON."""

    @abstractmethod
    def predict(self, rows: Any) -> NDArray[Any]:
        """Predictions (N, ...) for raw rows, in the form of the user's labels.

        Raises:
            RejectedError: columns are missing, or values are not finite; names them.
        """

    @abstractmethod
    def frame(self, rows: Any) -> pd.DataFrame:
        """Predictions as a table, a line for each raw row."""

    def write_program(self, format: str, out: Path, metadata: Mapping[str, str]) -> bool:
        """Write the student in a format in the task's own way, and say whether there is one; no: by ``exportable``."""
        return False

    @abstractmethod
    def exportable(self, rows: Tensor) -> Exportable:
        """The student in the form for export formats, with encoded example rows."""

    @abstractmethod
    def leaf(self, outputs: NDArray[np.float64]) -> Leaf:
        """Outputs (K,) in words, for the rules of a tree."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (B, ...) of encoded inputs."""
        return logits_of(self.net(inputs))

    def outputs(self, rows: Any) -> Tensor:
        """Outputs of the net (N, ...) for raw rows; of a frame with a column of texts, others are left out.

        Raises:
            RejectedError: the net has no answer to some rows: it is NaN, or infinite throughout.
        """
        found = run_net(self, self.encoder.encode(self.of_column(rows)))
        bad = without_answer(found.flatten(1)) if len(found) else torch.zeros(0, dtype=torch.bool)
        if bad.any():
            raise RejectedError(
                f"The student has no answer to {first_five(bad.numpy())}: what it computes there is not finite, most "
                "often because a value is far outside of those it was trained on. Fix those rows, or leave them out."
            )
        return found

    def of_column(self, rows: Any) -> Any:
        """The column of texts of a frame of several columns; other rows as they are."""
        names = list(map(str, getattr(rows, "columns", ())))
        if not self.column or len(names) < 2:
            return rows
        if names.count(self.column) != 1:
            raise RejectedError(
                f"The rows have the columns {', '.join(map(repr, names[:10]))}. The texts must be in one column "
                f"{self.column!r}, as in training: rename it, or give the texts alone."
            )
        others = [name for name in names if name != self.column]
        warnings.warn(
            f"The student reads the column {self.column!r} alone and ignores {', '.join(map(repr, others[:10]))}.",
            stacklevel=4,
        )
        return rows.iloc[:, names.index(self.column)]

    def write_answers(self, rows: Any, out: Path, files: Sequence[str] | None = None) -> None:
        """Write ``table`` as CSV into the file ``out``."""
        write_output(out, as_csv(self.table(rows, files)).encode())

    def table(self, rows: Any, files: Sequence[str] | None = None) -> pd.DataFrame:
        """``frame`` of raw rows; ``files``, the names of the rows, become the first column, ``file``."""
        frame = self.frame(rows)
        if files is not None:
            frame.insert(0, "file", files)
        return frame

    def beside(self) -> dict[str, str]:
        """Further files that an exported file needs: content by name."""
        return {}

    def metadata(self) -> dict[str, str]:
        """Metadata of an exported file."""
        own = {key: value if isinstance(value, str) else json.dumps(value) for key, value in self.own_card().items()}
        return {"task": self.task} | own | {"encoder": json.dumps(self.encoder.state())}

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and, last, ``model.json``."""
        hashes.begin(folder)
        write_weights(folder / WEIGHTS, tensor_state(self.net))
        card = {"schema": SCHEMA, "task": self.task, "net": self.net_card} | self.own_card()
        card["encoder"] = self.encoder.state()
        write_json(folder / CARD, card | ({"column": self.column} if self.column else {}))


def as_csv(table: pd.DataFrame) -> str:
    """A table as CSV; texts that a spreadsheet would compute are marked, see ``plain_text.cell``."""
    texts = table.select_dtypes(exclude=["number", "bool"]).columns
    marked = table.assign(**{name: table[name].map(cell) for name in texts}) if len(texts) else table
    return marked.rename(columns=cell).to_csv(index=False)


class Graph(nn.Module):
    """The graph of an export: a net, and what turns its outputs into answers.

    Args:
        net: from encoded inputs to outputs.
        answers: from outputs to answers.
    """

    def __init__(self, net: nn.Module, answers: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.answers = net, answers

    def forward(self, inputs: Tensor) -> Any:
        """Answers (B, ...) to encoded inputs."""
        return self.answers(logits_of(self.net(inputs)))


def without_answer(outputs: Tensor) -> Tensor:
    """Which rows (N,) of outputs (N, K) are no answer; minus infinity is one beside finite values: a probability of 0.

    >>> inf = float("inf")
    >>> without_answer(torch.tensor([[1.0, -inf], [1.0, inf], [-inf, -inf], [float("nan"), 0.0]])).tolist()
    [False, True, True, True]
    """
    return (outputs.isnan() | outputs.isposinf()).any(1) | ~outputs.isfinite().any(1)


@torch.inference_mode()
def run_net(net: nn.Module, inputs: Tensor) -> Tensor:
    """Outputs of a net (N, ...) for encoded rows, in chunks of rows, or of fewer where memory does not suffice."""
    return torch.cat(in_pieces(lambda start, stop: logits_of(net(inputs[start:stop])), len(inputs), CHUNK))
