"""The log-probabilities of every arm and seed on one split: what is judged, and all that judging needs."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import DamagedError, RejectedError
from stillhouse.files import write_npz

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Seeds = Mapping[str, NDArray[np.float32]]

SINGLE = "-"  # the seed of an arm that is one net, such as a teacher
FLOOR = float(np.log(np.finfo(np.float32).tiny))  # a probability of 0 counts as 1.2e-38, so that losses stay finite
SUM_TOLERANCE = 1e-2  # of a row's probabilities: float16 answers of 1,000 classes still pass, logits do not


@dataclass(frozen=True)
class Predictions:
    """Log-probabilities on the rows of one split.

    Attributes:
        targets: (N,) int64 in [0, C).
        rows: (N,) int64, the rows' numbers in the source data.
        classes: C names, in the order of the last axis.
        log_probs: by arm, then by seed as text (``"-"`` for a single net): (N, C) float32, natural logarithms.
    """

    targets: Integers
    rows: Integers
    classes: tuple[str, ...]
    log_probs: Mapping[str, Seeds]

    def __post_init__(self) -> None:
        shape = (len(self.targets), len(self.classes))
        if len(self.rows) != shape[0]:
            raise RejectedError(
                f"There are {len(self.rows)} row numbers but {shape[0]} targets; each test row needs one of both."
            )
        if shape[0] and not (self.targets.min() >= 0 and self.targets.max() < shape[1]):
            raise RejectedError(
                f"A target lies outside 0 ... {shape[1] - 1}, the {shape[1]} classes; "
                "rows without a label cannot be judged: leave them out."
            )
        for arm, seeds in self.log_probs.items():
            for seed, values in seeds.items():
                _check(values, shape, f"{arm}/{seed}", self.rows)

    def save(self, path: Path) -> None:
        """Write an ``.npz`` without objects: ``rows``, ``targets``, ``classes`` and one array per ``<arm>/<seed>``."""
        arrays = {f"{arm}/{seed}": a for arm, seeds in self.log_probs.items() for seed, a in seeds.items()}
        write_npz(
            path,
            {"rows": self.rows, "targets": self.targets, "classes": np.asarray(self.classes, dtype=np.str_), **arrays},
        )

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what ``save`` wrote.

        Raises:
            DamagedError: the file is missing, cut short, or lacks one of the three arrays every file has.
            RejectedError: the arrays do not fit each other.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            targets, rows, classes = arrays.pop("targets"), arrays.pop("rows"), arrays.pop("classes")
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DamagedError(
                f"{path} cannot be read as predictions: {error}. Remove it and run the same command again."
            ) from error
        log_probs: dict[str, dict[str, NDArray[np.float32]]] = {}
        for name, values in arrays.items():
            arm, _, seed = name.rpartition("/")
            log_probs.setdefault(arm, {})[seed] = values
        return cls(targets, rows, tuple(str(c) for c in classes), log_probs)


def _check(values: NDArray[np.float32], shape: tuple[int, int], name: str, rows: Integers) -> None:
    """Refuse what is not log-probabilities of these rows."""
    if values.shape != shape:
        raise RejectedError(
            f"{name} has the shape {values.shape}, but there are {shape[0]} rows and {shape[1]} classes."
        )
    probabilities = np.exp(values.astype(np.float64))
    bad = np.flatnonzero(~(np.abs(probabilities.sum(1) - 1) <= SUM_TOLERANCE))
    if len(bad):
        raise RejectedError(
            f"{name}: {len(bad)} rows are not log-probabilities (NaN, or probabilities that do not add up to 1), "
            f"the first are rows {rows[bad[:5]].tolist()}. Give log_softmax of the logits."
        )


def floored(log_probs: NDArray[np.float32]) -> Floats:
    """Log-probabilities as float64 with the floor that keeps losses finite where a model says exactly 0."""
    return np.maximum(log_probs.astype(np.float64), FLOOR)
