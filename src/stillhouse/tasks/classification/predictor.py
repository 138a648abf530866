"""What a run ships: the student with its preprocessing and class names, which takes raw rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.data import Encoder, encoder_from_state
from stillhouse.engine import read_weights, tensor_state, write_weights
from stillhouse.errors import DamagedError, UsageError
from stillhouse.files import write_atomic, write_json
from stillhouse.pipeline.run.folder import read_json
from stillhouse.pipeline.student.config import build
from stillhouse.pipeline.student.step import with_parts
from stillhouse.types import logits_of

FOLDER = "student"
WEIGHTS, CARD = "model.safetensors", "model.json"
CHUNK = 1024  # rows a forward, so that memory stays flat for long tables


class Deployed(nn.Module):
    """A trained student for raw rows.

    Args:
        net: from encoded inputs to logits.
        encoder: from raw rows to encoded inputs, fitted on the training rows.
        classes: names in the order of the logits.
        net_card: how to build ``net`` again: zoo name, settings and shapes, none of which for the user's own module;
            and under ``parts`` what methods ship with it.
        column: of a file, that holds the texts; empty for other data.
    """

    answers: Literal["classes", "vectors"] = "classes"

    def __init__(
        self,
        net: nn.Module,
        encoder: Encoder,
        classes: tuple[str, ...],
        net_card: dict[str, Any],
        column: str = "",
    ) -> None:
        super().__init__()
        self.net = net
        self.encoder = encoder
        self.classes = classes
        self.net_card = net_card
        self.column = column
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, C) of encoded inputs."""
        return logits_of(self.net(inputs))

    def predict_proba(self, rows: Any) -> np.ndarray:
        """Probabilities float64 (N, C) of raw rows: a frame, or an array as the data source gave it.

        Raises:
            RejectedError: columns are missing, or values are not finite; names them.
        """
        inputs = self.encoder.encode(rows)
        return torch.cat([log_proba(self, part) for part in torch.split(inputs, CHUNK)]).double().exp().numpy()

    def predict(self, rows: Any) -> np.ndarray:
        """Class names (N,) of raw rows."""
        named: np.ndarray = np.asarray(self.classes, dtype=object)[self.predict_proba(rows).argmax(1)]
        return named

    def write_answers(self, rows: Any, out: Path, files: Sequence[str] | None = None) -> None:
        """Write a CSV with the columns ``class`` and one ``p_<class>`` for each class, a line for each raw row.

        Args:
            rows: raw rows.
            out: the CSV.
            files: names of the rows, which become the first column, ``file``.
        """
        frame = predictions_frame(self, rows)
        if files is not None:
            frame.insert(0, "file", files)
        write_atomic(out, frame.to_csv(index=False).encode())

    def served(self, rows: Tensor) -> tuple[nn.Module, Tensor]:
        """The net of a graph file, and encoded rows as it takes them."""
        return self.net, rows

    def beside(self) -> dict[str, str]:
        """Files that an exported one needs beside it: content by name."""
        return {}

    def metadata(self) -> dict[str, str]:
        """What an exported file says of the student."""
        return {"classes": json.dumps(list(self.classes)), "encoder": json.dumps(self.encoder.state())}

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and, last, ``model.json``."""
        write_weights(folder / WEIGHTS, tensor_state(self.net))
        card = {"schema": 1, "net": self.net_card, "classes": list(self.classes), "encoder": self.encoder.state()}
        write_json(folder / CARD, card | ({"column": self.column} if self.column else {}))


def predictions_frame(model: Deployed, rows: Any) -> Any:
    """A frame of classes and probabilities."""
    import pandas as pd

    probabilities = model.predict_proba(rows)
    chosen = np.asarray(model.classes, dtype=object)[probabilities.argmax(1)]
    columns = {f"p_{name}": probabilities[:, i] for i, name in enumerate(model.classes)}
    return pd.DataFrame({"class": chosen} | columns)


@torch.inference_mode()
def log_proba(net: nn.Module, inputs: Tensor) -> Tensor:
    """Log-probabilities float32 (B, C) of encoded inputs, computed in double where they are normalised."""
    return torch.log_softmax(logits_of(net(inputs)).double(), dim=-1).float()


def load_classifier(folder: Path, module: nn.Module | None = None) -> Deployed:
    """Load a classifier.

    Args:
        folder: the ``student`` folder of a run.
        module: your own student, freshly built, where the run was given one from Python: code is never stored.

    Raises:
        UsageError: it is your own module and was not given.
        DamagedError: weights and description do not fit each other.
    """
    card = read_json(folder / CARD)
    net_card, classes = card["net"], tuple(card["classes"])
    if module is None:
        refuse_own(net_card, folder)
        module = build(net_card, len(classes))
    if "parts" in net_card:
        module = with_parts(module, net_card["parts"])
    fill(module, folder)
    return Deployed(module, encoder_from_state(card["encoder"]), classes, net_card, card.get("column", ""))


def refuse_own(net_card: dict[str, Any], folder: Path) -> None:
    """Refuse to build what a card cannot describe.

    Raises:
        UsageError: the net is the user's own module.
    """
    if not {"name", "from", "hub"} & set(net_card):
        raise UsageError(
            f"The student in {folder} is your own module, whose code is not stored. Build it and pass it: "
            f"`stillhouse.load({str(folder)!r}, module=YourStudent())`."
        )


def fill(net: nn.Module, folder: Path) -> None:
    """Give a net the weights of a student's folder.

    Raises:
        DamagedError: they are not its weights.
    """
    try:
        net.load_state_dict(read_weights(folder / WEIGHTS)[0])
    except RuntimeError as error:
        raise DamagedError(f"{folder / WEIGHTS} does not fit {CARD}: {error}. Run the recipe again.") from error
