"""A table with real targets and labels that its columns explain, and recipes of a few seconds over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

ROWS = 240
INPUTS = ["size", "age", "site"]
UNITS = {"price": (40.0, 250.0), "height": (0.2, -1.0)}  # standard deviation and mean of what the columns explain
QUICK: dict[str, Any] = {
    "student": {"name": "mlp_tiny", "settings": {"hidden": [16]}},
    "training": {
        "steps": 80,
        "batch_size": 32,
        "lr": 0.02,
        "seeds": [0, 1],
        "workers": 1,
        "checkpoint_every": 20,
        "log_every": 40,
    },
    "evaluation": {"resamples": 200},
}


def make_frame(rows: int = ROWS) -> pd.DataFrame:
    """Three columns of inputs; ``price`` and ``height`` in units far apart; labels ``old`` and ``large``."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": draw.normal(3.0, 1.0, rows),
            "age": draw.uniform(0.0, 10.0, rows),
            "site": draw.choice(["north", "south"], rows),
        }
    )
    signal = (frame["size"] - 3.0) + np.where(frame["site"] == "north", 0.5, -0.5)
    for name, (scale, centre) in UNITS.items():
        frame[name] = centre + scale * (signal + draw.normal(0.0, 0.2, rows))
        signal = (frame["age"] - 5.0) / 3.0
    frame["old"], frame["large"] = (frame["age"] > 6.0).astype(int), (frame["size"] > 3.0).astype(int)
    return frame


def write_recipe(folder: Path, data: dict[str, Any], task: str, **over: Any) -> Path:
    """A recipe whose run folder is ``folder/run``; the teacher is named."""
    table: dict[str, Any] = {
        "task": {"name": task},
        "data": {"labels": 60, "valid": 0.2} | data,
        "teacher": {"name": "extra_trees", "labels": "all", "settings": {"n_estimators": 20, "n_jobs": 1}},
        **QUICK,
        "output": {"dir": str(folder / "run")},
    }
    for key, value in over.items():
        table[key] = {**table.get(key, {}), **value} if isinstance(value, dict) else value
    path = folder / "recipe.toml"
    path.write_text(tomli_w.dumps(table))
    return path


def stamps(folder: Path) -> dict[str, int]:
    """When the weights, the stored answers and the costs of a run were written."""
    kept = [*folder.glob("fits/*/*/model.safetensors"), *folder.glob("store/*"), folder / "costs.json"]
    return {str(path): path.stat().st_mtime_ns for path in kept}
