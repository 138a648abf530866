"""Recipes of a few seconds on real data, and the command line as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import tomli_w

TINY: dict[str, Any] = {
    "data": {"name": "digits", "labels": 60, "valid": 0.1},
    "views": {"policy": "shift", "count": 2, "strength": 1},
    "teacher": {
        "name": "mlp_large",
        "labels": "all",
        "settings": {"hidden": [32]},
        "training": {"steps": 60, "batch_size": 64},
    },
    "student": {"name": "mlp_tiny", "settings": {"hidden": [8]}},
    "training": {"steps": 40, "batch_size": 32, "seeds": [0, 1], "checkpoint_every": 10, "log_every": 10},
    "controls": {"self_trained": False, "simple": False},  # test_rivals.py is about these
    "evaluation": {"resamples": 200},
}


def write_recipe(folder: Path, **over: Any) -> Path:
    """The tiny recipe with other tables laid over it; its run folder is ``folder/run``."""
    table = {**TINY, "output": {"dir": str(folder / "run")}}
    for key, value in over.items():
        table[key] = {**table[key], **value} if isinstance(value, dict) and key in table else value
    table["data"] = {key: value for key, value in table["data"].items() if value is not None}
    folder.mkdir(exist_ok=True)
    path = folder / "recipe.toml"
    path.write_text(tomli_w.dumps(table))
    return path


def command(*words: str) -> list[str]:
    """The command line of this very installation."""
    return [sys.executable, "-m", "stillhouse", *words]


def environment() -> dict[str, str]:
    """One thread, so that what is compared bit for bit can be."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


def stillhouse(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command(*words), capture_output=True, text=True, env=environment(), check=False, **options)
