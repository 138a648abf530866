"""The multi-label classifier that ships: from raw rows to the labels of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data import Encoder, encoder_from_state
from stillhouse.exporting import Exportable
from stillhouse.students.rules import Leaf, one_line
from stillhouse.tasks.multilabel.targets import BETWEEN
from stillhouse.tasks.predictor import Deployed, Graph

if TYPE_CHECKING:
    import pandas as pd

PROBABILITIES = "probabilities"


class DeployedMultilabel(Deployed):
    """A trained multi-label classifier for raw rows, with a net of K logits and the names of the K labels."""

    task = "multilabel"

    def __init__(
        self, net: nn.Module, encoder: Encoder, labels: Sequence[str], net_card: Mapping[str, Any], column: str = ""
    ) -> None:
        super().__init__(net, encoder, net_card, column)
        self.labels = tuple(labels)

    @staticmethod
    def net_width(card: Mapping[str, Any]) -> int:
        """Number of labels."""
        return len(card["labels"])

    @classmethod
    def from_card(cls, card: Mapping[str, Any], net: nn.Module) -> Self:
        """The classifier of a card; see ``Deployed``."""
        encoder = encoder_from_state(card["encoder"])
        return cls(net, encoder, card["labels"], card["net"], card.get("column", ""))

    def own_card(self) -> dict[str, Any]:
        """Names of the labels."""
        return {"labels": list(self.labels)}

    def predict_proba(self, rows: Any) -> NDArray[np.float64]:
        """Probabilities float64 (N, K) of raw rows, each label separately.

        Raises:
            RejectedError: columns are missing, or values are not finite; names them.
        """
        found: NDArray[np.float64] = self.outputs(rows).double().sigmoid().numpy()
        return found

    def predict(self, rows: Any) -> NDArray[np.int64]:
        """Int64 (N, K) of raw rows: 1 for each label whose probability is at least a half, else 0."""
        return (self.predict_proba(rows) >= 0.5).astype(np.int64)

    def frame(self, rows: Any) -> pd.DataFrame:
        """The column ``labels``, the names of a row's labels with "|" between them, and one ``p_<label>`` for each."""
        import pandas as pd

        chances = self.predict_proba(rows)
        names = [BETWEEN.join(n for n, p in zip(self.labels, row, strict=True) if p >= 0.5) for row in chances]
        return pd.DataFrame({"labels": names} | {f"p_{n}": chances[:, k] for k, n in enumerate(self.labels)})

    def exportable(self, rows: Tensor) -> Exportable:
        """A graph from ``inputs`` to ``probabilities`` (B, K), each label separately."""
        compare = {PROBABILITIES: lambda probabilities: probabilities}
        return Exportable(self.net, rows, Graph(self.net, Tensor.sigmoid), rows, compare)

    def metadata(self) -> dict[str, str]:
        """Metadata of an exported file."""
        return {"output": f"{PROBABILITIES}: of each label by itself"} | super().metadata()

    def leaf(self, outputs: NDArray[np.float64]) -> Leaf:
        """The labels, and the probabilities of all."""
        chances = 0.5 + 0.5 * np.tanh(outputs / 2)  # the sigmoid, without an overflow
        names = [one_line(name) for name in self.labels]
        found = [name for name, chance in zip(names, chances, strict=True) if chance >= 0.5]
        texts = [f"{name} {chance:.2f}" for name, chance in zip(names, chances, strict=True)]
        return Leaf(f"labels: {', '.join(found) or 'none'}", ", ".join(texts))
