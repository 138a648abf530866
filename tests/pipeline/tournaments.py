"""A table of three classes on which a tournament takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stillhouse.recipe import Recipe, merge, parse


def write_table(folder: Path, rows: int = 300) -> Path:
    """A table whose classes are three clouds in four columns."""
    draw = np.random.default_rng(0)
    target = draw.integers(3, size=rows)
    centres = draw.normal(size=(3, 4)) * 1.5
    frame = pd.DataFrame(centres[target] + draw.normal(size=(rows, 4)), columns=list("abcd"))
    frame["kind"] = np.array(["oak", "ash", "elm"])[target]
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "trees.csv", index=False)
    return folder / "trees.csv"


def recipe_of(folder: Path, **over: Any) -> Recipe:
    """A recipe of that table; its run folder is ``folder/run``."""
    table: dict[str, Any] = {
        "data": {"path": str(write_table(folder)), "target": "kind", "labels": 40, "valid": 0.25, "test": 0.2},
        "teacher": {
            "name": "mlp_large",
            "labels": "all",
            "settings": {"hidden": [16]},
            "training": {"steps": 60, "batch_size": 32},
        },
        "student": {"name": "mlp_tiny", "settings": {"hidden": [8]}},
        "training": {"steps": 20, "batch_size": 32, "seeds": [0], "log_every": 5},
        "controls": {"all_labels": False},
        "evaluation": {"resamples": 200},
        "output": {"dir": str(folder / "run")},
    }
    if "student" in over:
        table.pop("student")
    return parse(merge(table, over))
