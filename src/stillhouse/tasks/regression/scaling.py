"""Targets in standard units: inside a run each target has mean 0 and standard deviation 1 over the labelled rows.

Targets and the values of ready teachers are standardised when they enter the run, so that nets, stores and losses have
one scale, whatever the units. Predictor and records use the user's units again.

"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError
from stillhouse.teachers.ensemble import DISAGREEMENT, SPREAD
from stillhouse.types import Batch, Outputs, Teacher, shape_of

Values = TypeVar("Values", Tensor, NDArray[Any])


class Scaler(NamedTuple):
    """Mean and standard deviation of each target, in the user's units.

    >>> scaler = Scaler.fit(np.array([[1.0], [3.0], [np.nan]]), ["price"])
    >>> scaler, scaler.standardize(np.array([[5.0]])).tolist(), scaler.restore(np.array([[3.0]])).tolist()
    (Scaler(mean=(2.0,), scale=(1.0,)), [[3.0]], [[5.0]])
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, targets: NDArray[Any], names: Sequence[str]) -> Scaler:
        """From the targets (N, K) of the labelled training rows; NaN where a target is unknown.

        Raises:
            RejectedError: a target is never known, or always the same; names it.
        """
        known = ~np.isnan(targets)
        for column, name in enumerate(names):
            values = targets[known[:, column], column].astype(np.float64)
            if not len(values) or values.min() == values.max():
                what = f"is {values[0]:g} in all of them" if len(values) else "is missing in all of them"
                raise RejectedError(
                    f"The target {name!r} cannot be learned: of {len(targets)} labelled training rows it {what}. "
                    "Remove it from `[data] target`, or raise `[data] labels`."
                )
        given = targets.astype(np.float64)
        return cls(tuple(np.nanmean(given, 0).tolist()), tuple(np.nanstd(given, 0).tolist()))

    def standardize(self, values: Values) -> Values:
        """Values (..., K) in the user's units as standard units, float64; NaN stays NaN."""
        mean, scale = self._like(values)
        return (values - mean) / scale  # type: ignore[no-any-return]

    def restore(self, values: Values) -> Values:
        """Standard units (..., K) in the user's units, float64."""
        mean, scale = self._like(values)
        return values * scale + mean  # type: ignore[no-any-return]

    def _like(self, values: Any) -> tuple[Any, Any]:
        """Mean and scale, float64, of the kind of the values."""
        arrays = np.asarray(self.mean), np.asarray(self.scale)
        if not isinstance(values, Tensor):
            return arrays
        return torch.from_numpy(arrays[0]).to(values.device), torch.from_numpy(arrays[1]).to(values.device)


class StandardizedTeacher:
    """Converts a teacher in the user's units to standard units.

    Args:
        inner: the user's teacher.
        scaler: of the run's targets.
    """

    def __init__(self, inner: Teacher, scaler: Scaler) -> None:
        self.inner, self.scaler = inner, scaler
        self.shape = shape_of(inner)
        self.precision: str = getattr(inner, "precision", "32-true")

    @property
    def parameters(self) -> int:
        """Of the inner teacher."""
        return self.inner.parameters

    @property
    def nbytes(self) -> int | None:
        """Of the inner teacher; None: unknown."""
        size: int | None = getattr(self.inner, "nbytes", None)
        return size

    def outputs(self, batch: Batch) -> Outputs:
        """Values and spread, float32 (B, K) each, in standard units; other features are unchanged.

        A ``disagreement`` mixes the units of several targets and is left out.
        """
        given = self.inner.outputs(batch)
        features = {name: value for name, value in given.features.items() if name != DISAGREEMENT}
        if SPREAD in features:
            scale = torch.tensor(self.scaler.scale, dtype=torch.float64, device=given.values.device)
            features[SPREAD] = (features[SPREAD].double() / scale).float()
        return Outputs(self.scaler.standardize(given.values.double()).float(), features)

    def fingerprint(self) -> str:
        """Hash of the inner teacher and the units."""
        return xxhash.xxh3_128_hexdigest(f"{self.inner.fingerprint()} {self.scaler!r}".encode())
