"""Use of the result: export for serving, and predictions for a file of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from stillhouse.errors import RejectedError, UsageError
from stillhouse.files import write_atomic
from stillhouse.pipeline.deployed import Deployed, load
from stillhouse.pipeline.run import Run, read_json


def export(folder: Path, format: str = "onnx") -> Path:
    """Write ``export/student.onnx`` or ``export/student.safetensors``, checked against the torch student.

    Raises:
        UsageError: unknown format, or the extra is not installed.
        StillhouseError: the exported file does not answer as the student does.
    """
    import json

    from stillhouse.exporting import export as write

    run = Run(folder)
    if format not in ("onnx", "safetensors"):
        raise UsageError(f"There is no export format {format!r}. Known: onnx, safetensors.")
    known: Literal["onnx", "safetensors"] = "onnx" if format == "onnx" else "safetensors"
    model = load(folder)
    card = read_json(folder / "student" / "model.json")
    shape = tuple(card["net"]["shape"])
    example = torch.randn(7, *shape, generator=torch.Generator().manual_seed(0))
    metadata = {
        "classes": json.dumps(list(model.classes)),
        "encoder": json.dumps(card["encoder"]),
        "stillhouse": run.record["versions"]["stillhouse"],
        "run": run.record["digest"],
    }
    return write(model.net, example, folder / "export" / f"student.{known}", format=known, metadata=metadata)


def predict(folder: Path, rows: Path, out: Path) -> int:
    """Write class and probabilities for each row of a file, in input order.

    Args:
        folder: the run folder.
        rows: .csv, .tsv or .parquet for tables; .npz or .npy for arrays and images (or a CSV of flat values).
        out: CSV with the columns ``class`` and one ``p_<class>`` for each class.

    Returns:
        The number of rows.

    Raises:
        RejectedError: the file cannot be read as rows of this kind.
    """
    model = load(folder)
    frame = predictions_frame(model, read_rows(rows, model))
    write_atomic(out, frame.to_csv(index=False).encode())
    return len(frame)


def predictions_frame(model: Deployed, rows: Any) -> Any:
    """A frame of classes and probabilities."""
    import pandas as pd

    probabilities = model.predict_proba(rows)
    chosen = np.asarray(model.classes, dtype=object)[probabilities.argmax(1)]
    columns = {f"p_{name}": probabilities[:, i] for i, name in enumerate(model.classes)}
    return pd.DataFrame({"class": chosen} | columns)


def read_rows(path: Path, model: Deployed) -> Any:
    """Raw rows of a file, as the student's encoder takes them."""
    from stillhouse.data import read_inputs

    if not path.exists():
        raise RejectedError(f"{path} does not exist. Give a file with the rows to predict.")
    return read_inputs(path, model.encoder)
