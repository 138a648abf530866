"""Frames of one telling column of every type, and what a teacher answers about them in a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from stillhouse.pipeline.arguments import resolve
from stillhouse.pipeline.distill import Distillation

N = 600
PARTS = (slice(0, 400), slice(400, 480), slice(480, N))
RNG = np.random.default_rng(0)
FLAG = RNG.random(N) < 0.5
X = RNG.normal(size=N)
Y = np.where(FLAG ^ (RNG.random(N) < 0.05), "pos", "neg")
RIGHT = 0.9583  # of the test rows, by the flag alone
DAYS = pd.to_datetime(np.where(FLAG, "2024-07-01", "2024-01-01"))

CELLS: dict[str, Any] = {
    "bool": FLAG,
    "nullable bool": pd.array(FLAG, dtype="boolean"),
    "object bool": FLAG.astype(object),
    "None and Gd": np.where(FLAG, "None", "Gd").astype(object),
    "blanks": np.where(FLAG, " a", "a ").astype(object),
    "TRUE and true": np.where(FLAG, "TRUE", "true").astype(object),
    "zip codes": np.where(FLAG, "94110", "10001").astype(object),
    "leading zeros": np.where(FLAG, "01", "1").astype(object),
    "str": pd.Series(np.where(FLAG, "yes", "no"), dtype="str"),
    "ints": np.where(FLAG, 7, 3),
    "small ints": np.where(FLAG, 7, 3).astype(np.int8),
    "nullable ints": pd.array(np.where(FLAG, 7, 3), dtype="Int64"),
    "object ints": np.where(FLAG, 7, 3).astype(object),
    "int and text": np.array([1 if f else "one" for f in FLAG], object),
    "categories": pd.Categorical(np.where(FLAG, "b", "a")),
    "categories of bools": pd.Categorical(FLAG),
    "categories of ints": pd.Categorical(np.where(FLAG, 7, 3)),
    "ordered": pd.Categorical(np.where(FLAG, "low", "high"), ["low", "mid", "high"], ordered=True),
    "missing": np.array(["x" if f else None for f in FLAG], object),
    "days": DAYS,
}


def frame(name: str, column: str = "c") -> pd.DataFrame:
    return pd.DataFrame({column: CELLS[name], "x": X})


def parts(rows: pd.DataFrame, labels: NDArray[Any] = Y) -> Any:
    return tuple((rows.iloc[part], labels[part]) for part in PARTS)


def shares(folder: Path, teacher: Any, rows: Any, part: str = "test", **tables: Any) -> NDArray[np.float64]:
    """What the run's teacher answers about a part of the rows: probabilities (N, C)."""
    recipe, handed = resolve(tables, teacher=teacher, data=rows, out=folder)
    return np.exp(Distillation(recipe, handed).teachers["teacher"].outputs(part).astype(np.float64))


def pipeline(rows: pd.DataFrame, column: Any = "c") -> Any:
    """What a user would fit: the column one-hot, the number as it is."""
    chosen = make_column_transformer((OneHotEncoder(), [column]), remainder="passthrough")
    return make_pipeline(chosen, LogisticRegression()).fit(rows.iloc[PARTS[0]], Y[PARTS[0]])


def of_file(path: Path) -> dict[str, Any]:
    return {"data": {"path": str(path), "target": "y", "valid": 0.2, "test": 0.2}}
