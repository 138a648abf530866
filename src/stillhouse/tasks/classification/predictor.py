"""The classifier that ships: from raw rows to classes, with the user's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data import Encoder, encoder_from_state
from stillhouse.exporting import Exportable
from stillhouse.students.rules import Leaf, one_line
from stillhouse.tasks.classification.losses import normalize
from stillhouse.tasks.predictor import Deployed, Graph

if TYPE_CHECKING:
    import pandas as pd

NAMED = 3  # classes of a leaf that are shown; the others are summed
SLIGHT = 0.005  # a probability below it is not shown: it would read as 0.00


class DeployedClassifier(Deployed):
    """A trained classifier for raw rows; see ``Deployed``.

    Args:
        net: from encoded inputs to logits.
        encoder: see ``Deployed``.
        classes: names in the order of the logits.
        net_card: see ``Deployed``.
        column: see ``Deployed``.
        labels: the classes in the form of the user's labels, such as whole numbers; None: their names.
    """

    task = "classification"

    def __init__(
        self,
        net: nn.Module,
        encoder: Encoder,
        classes: Sequence[str],
        net_card: Mapping[str, Any],
        column: str = "",
        labels: Sequence[str | int | float | bool] | None = None,
    ) -> None:
        super().__init__(net, encoder, net_card, column)
        self.classes = tuple(classes)
        self.labels = tuple(classes if labels is None else labels)

    @staticmethod
    def net_width(card: Mapping[str, Any]) -> int:
        """Number of classes."""
        return len(card["classes"])

    @classmethod
    def from_card(cls, card: Mapping[str, Any], net: nn.Module) -> Self:
        """The classifier of a card; see ``Deployed``."""
        encoder = encoder_from_state(card["encoder"])
        return cls(net, encoder, card["classes"], card["net"], card.get("column", ""), card.get("labels"))

    def own_card(self) -> dict[str, Any]:
        """Names of the classes, and their labels where these are not text."""
        labels = {"labels": list(self.labels)} if self.labels != self.classes else {}
        return {"classes": list(self.classes)} | labels

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes (C,) in the form of the user's labels, in the order of ``predict_proba``."""
        text = any(isinstance(label, str) for label in self.labels)
        return np.array(self.labels, dtype=object if text else None)

    def predict_proba(self, rows: Any) -> NDArray[np.float64]:
        """Probabilities float64 (N, C) of raw rows: a frame, or an array as from the data source.

        Raises:
            RejectedError: columns are missing, or values are not finite; names them.
        """
        found: NDArray[np.float64] = normalize(self.outputs(rows)).double().exp().numpy()
        return found

    def predict(self, rows: Any) -> NDArray[Any]:
        """Classes (N,) of raw rows, in the form of the user's labels."""
        found: NDArray[Any] = self.classes_[self.predict_proba(rows).argmax(1)]
        return found

    def frame(self, rows: Any) -> pd.DataFrame:
        """The column ``class``, and one ``p_<class>`` for each class."""
        import pandas as pd

        probabilities = self.predict_proba(rows)
        chosen = np.asarray(self.classes, dtype=object)[probabilities.argmax(1)]
        columns = {f"p_{name}": probabilities[:, i] for i, name in enumerate(self.classes)}
        return pd.DataFrame({"class": chosen} | columns)

    def exportable(self, rows: Tensor) -> Exportable:
        """A graph from ``inputs`` to ``logits`` and ``probabilities``."""
        compare = {"logits": lambda logits: logits.softmax(-1), "probabilities": lambda probabilities: probabilities}
        return Exportable(self.net, rows, Graph(self.net, with_probabilities), rows, compare)

    def leaf(self, outputs: NDArray[np.float64]) -> Leaf:
        """See ``class_leaf``."""
        return class_leaf(outputs, self.classes)


def with_probabilities(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and probabilities (B, C)."""
    return logits, logits.softmax(-1)


def class_leaf(outputs: NDArray[np.float64], classes: Sequence[str]) -> Leaf:
    """The likeliest class, and the probabilities of the first few.

    >>> class_leaf(np.log([0.25, 0.75]), ["ill", "well"])
    Leaf(answer='class: well', detail='well 0.75, ill 0.25')
    """
    chances = np.exp(outputs - np.logaddexp.reduce(outputs))
    names = [one_line(name) for name in classes]
    order = np.argsort(-chances, kind="stable")
    named = [c for c in order[:NAMED] if chances[c] >= SLIGHT]
    texts = [f"{names[c]} {chances[c]:.2f}" for c in named]
    rest = 1.0 - float(chances[named].sum())
    texts += [f"others {rest:.2f}"] * (rest >= SLIGHT)
    return Leaf(f"class: {names[order[0]]}", ", ".join(texts))
