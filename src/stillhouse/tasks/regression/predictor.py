"""The regressor that ships: from raw rows to values in the user's units, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data import Encoder, encoder_from_state
from stillhouse.exporting import Exportable
from stillhouse.students.rules import Leaf, one_line
from stillhouse.tasks.predictor import Deployed, Graph
from stillhouse.tasks.regression.conformal import bounds
from stillhouse.tasks.regression.scaling import Scaler

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
ROUNDING = 32  # of a float32 graph: a difference of |mean| / 32 * 1e-5 is 2.6 of its roundings at the mean
PREDICTION = "prediction"


class DeployedRegressor(Deployed):
    """A trained regressor for raw rows; see ``Deployed``.

    Args:
        net: from encoded inputs to values (B, K) in standard units.
        encoder: see ``Deployed``.
        targets: K names.
        scaling: of the targets, on the training rows.
        net_card: see ``Deployed``.
        column: see ``Deployed``.
        half_widths: of the intervals, K in the user's units (``conformal.half_width``); None: no intervals.
        coverage: of the intervals.
    """

    task = "regression"

    def __init__(
        self,
        net: nn.Module,
        encoder: Encoder,
        targets: Sequence[str],
        scaling: Scaler,
        net_card: Mapping[str, Any],
        column: str = "",
        half_widths: Sequence[float | None] | None = None,
        coverage: float | None = None,
    ) -> None:
        super().__init__(net, encoder, net_card, column)
        self.targets, self.scaling = tuple(targets), scaling
        self.half_widths = None if half_widths is None else tuple(half_widths)
        self.coverage = coverage

    @staticmethod
    def net_width(card: Mapping[str, Any]) -> int:
        """Number of targets."""
        return len(card["targets"])

    @classmethod
    def from_card(cls, card: Mapping[str, Any], net: nn.Module) -> Self:
        """The regressor of a card; see ``Deployed``."""
        scaling = Scaler(tuple(card["mean"]), tuple(card["std"]))
        interval = card["interval"] or {"half_widths": None, "coverage": None}
        encoder = encoder_from_state(card["encoder"])
        return cls(net, encoder, card["targets"], scaling, card["net"], card.get("column", ""), **interval)

    def own_card(self) -> dict[str, Any]:
        """Targets, their mean and standard deviation in training, and the intervals."""
        interval = None
        if self.half_widths is not None:
            interval = {"half_widths": list(self.half_widths), "coverage": self.coverage}
        scaling = {"mean": list(self.scaling.mean), "std": list(self.scaling.scale)}
        return {"targets": list(self.targets)} | scaling | {"interval": interval}

    def values(self, rows: Any) -> Floats:
        """Values float64 (N, K) of raw rows, in the user's units; also for one target."""
        return self.scaling.restore(self.outputs(rows).double().numpy())

    def predict(self, rows: Any) -> Floats:
        """Values float64 of raw rows, in the user's units: (N,) for one target, (N, K) for several.

        Raises:
            RejectedError: columns are missing, or values are not finite; names them.
        """
        return self._flat(self.values(rows))

    def predict_interval(self, rows: Any) -> tuple[Floats, Floats] | None:
        """Lower and upper ends of the intervals around ``predict``, each of its shape.

        None where the run had no validation rows, or too few for the coverage.
        """
        ends = bounds(self.values(rows), self.half_widths)
        return None if ends is None else (self._flat(ends[0]), self._flat(ends[1]))

    def frame(self, rows: Any) -> pd.DataFrame:
        """The columns ``prediction``, ``low``, ``high``; for several targets ``prediction_<target>`` and so on."""
        import pandas as pd

        values = self.values(rows)
        ends = bounds(values, self.half_widths)
        parts = {PREDICTION: values} | ({} if ends is None else {"low": ends[0], "high": ends[1]})
        single = len(self.targets) == 1
        return pd.DataFrame(
            {
                part if single else f"{part}_{target}": numbers[:, k]
                for k, target in enumerate(self.targets)
                for part, numbers in parts.items()
            }
        )

    def exportable(self, rows: Tensor) -> Exportable:
        """A graph from ``inputs`` to ``prediction`` (B, K) in the user's units.

        Values are compared in standard units, large ones by their ratio.
        """
        mean, std = np.asarray(self.scaling.mean), np.asarray(self.scaling.scale)
        shift, factor = torch.tensor(self.scaling.mean), torch.tensor(self.scaling.scale)  # float32, as the graph

        def to_units(values: Tensor) -> Tensor:
            return values * factor + shift

        units = Scaler(self.scaling.mean, tuple((std + np.abs(mean) / ROUNDING).tolist()))
        compare = {PREDICTION: lambda values: units.standardize(values.double()).asinh()}
        return Exportable(self.net, rows, Graph(self.net, to_units), rows, compare)

    def metadata(self) -> dict[str, str]:
        """Metadata of an exported file."""
        return {"output": f"{PREDICTION}: values of the targets, in their units"} | super().metadata()

    def leaf(self, outputs: Floats) -> Leaf:
        """The value of each target."""
        values = self.scaling.restore(outputs)
        named = zip(self.targets, values, strict=True)
        return Leaf(", ".join(f"{one_line(name)}: {value:.4g}" for name, value in named))

    def _flat(self, values: Floats) -> Floats:
        return values[:, 0] if len(self.targets) == 1 else values
