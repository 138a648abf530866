"""A table of two classes, and the flags of a run on it that takes a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FLAGS = (
    "--data.target kind --data.labels 60 --student.name mlp_tiny --teacher.name mlp_large --teacher.labels all "
    "--teacher.training.steps 40 --training.steps 20 --training.seeds 0 1 --training.workers 1 "
    "--evaluation.resamples 200 --accept-teacher --controls.no-self-trained --controls.no-simple"
)


def write_table(path: Path, rows: int = 240) -> None:
    """Two numbers and a class that depends on them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 2))
    kinds = np.where(x[:, 0] + 0.3 * x[:, 1] > 0, "yes", "no")
    lines = [f"{a:.6f},{b:.6f},{kind}" for (a, b), kind in zip(x, kinds, strict=True)]
    path.write_text("\n".join(["a,b,kind", *lines]) + "\n")
