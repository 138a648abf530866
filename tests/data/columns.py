"""Columns of a small CSV, for the tests of what columns hold."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from stillhouse.data import Encoder, encoder_from_state, fit_encoder
from tests.data.reading import from_torch, read

ROWS = 240
RNG = np.random.default_rng(5)
LABEL = ["ab"[i % 2] for i in range(ROWS)]
NUMBERS = np.round(RNG.gamma(2.0, 900.0, ROWS) + 1, 2)
DAYS = pd.Timestamp("2021-03-05") + pd.to_timedelta(RNG.integers(0, 900, ROWS), "D")
MOMENTS = DAYS + pd.to_timedelta(RNG.integers(0, 86_400, ROWS), "s")


def cells_of(values: Any, types: dict[str, Any] | None = None) -> np.ndarray:
    """The cells of a column as an encoder gets them, from a CSV."""
    return raw_of(values, types)["x"].to_numpy()


def raw_of(values: Any, types: dict[str, Any] | None = None) -> pd.DataFrame:
    """The inputs of a CSV with this column."""
    frame = pd.DataFrame({"x": values, "other": np.arange(len(values)) % 7, "label": LABEL[: len(values)]})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        frame.to_csv(path, index=False)
        raw = read(path=path, target="label", types=types or {}).raw
    assert isinstance(raw, pd.DataFrame)
    return raw


def encoder_of(path: Path, **settings: Any) -> Encoder:
    """Fitted on a table, saved and read again."""
    source = read(path=path, target="label", **settings)
    fitted = fit_encoder(source, np.arange(len(source)))
    again = encoder_from_state(json.loads(json.dumps(fitted.state())))
    assert again == fitted
    return again


def fitted_on(frame: pd.DataFrame) -> Encoder:
    """Fitted on a frame from Python."""
    source, split = from_torch((frame, np.arange(len(frame)) % 2), None, (frame, np.arange(len(frame)) % 2))
    return fit_encoder(source, split.train)
