"""Use of the result: export for serving, predictions for a file of rows, and the rules of a tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.data import Encoder
from stillhouse.data.table_encoder import Numeric, TableEncoder
from stillhouse.data.tensor_encoders import ArrayEncoder, IdentityEncoder
from stillhouse.data.text_encoder import TextEncoder
from stillhouse.errors import RejectedError, UsageError
from stillhouse.files import write_atomic
from stillhouse.pipeline.deployed import Deployed, load
from stillhouse.pipeline.run import Run
from stillhouse.students.rules import Column, as_rules
from stillhouse.students.trees import TreeEnsemble

EXAMPLES = 7  # rows that the exporter traces and compares


def export(folder: Path, format: str = "onnx", module: nn.Module | None = None) -> Path:
    """Write ``export/student.onnx`` or ``export/student.safetensors``, checked against the torch student.

    Args:
        folder: the run folder.
        format: one of the two.
        module: your own student, freshly built, where the run was given one from Python: code is never stored.

    Raises:
        UsageError: unknown format, the extra is not installed, or the student is your own module and was not given.
        StillhouseError: the exported file does not answer as the student does.
    """
    import json

    from stillhouse.exporting import export as write

    run = Run(folder)
    if format not in ("onnx", "safetensors"):
        raise UsageError(f"There is no export format {format!r}. Known: onnx, safetensors.")
    known: Literal["onnx", "safetensors"] = "onnx" if format == "onnx" else "safetensors"
    model = load(folder, module)
    metadata = {
        "classes": json.dumps(list(model.classes)),
        "encoder": json.dumps(model.encoder.state()),
        "stillhouse": run.record["versions"]["stillhouse"],
        "run": run.record["digest"],
    }
    example = example_rows(model.encoder, folder)
    return write(model.net, example, folder / "export" / f"student.{known}", format=known, metadata=metadata)


def example_rows(encoder: Encoder, folder: Path) -> Tensor:
    """Rows such as the encoder gives, for the exporter to trace: made up, or of the run where their type is the user's.

    Args:
        encoder: of the run.
        folder: the run folder.
    """
    draw = torch.Generator().manual_seed(0)
    if isinstance(encoder, TextEncoder):
        ids = torch.randint(1, encoder.vocabulary, (EXAMPLES, *encoder.shape), generator=draw)
        ids[1:, encoder.length // 2 :] = 0  # texts of which half is padding
        return ids
    if isinstance(encoder, IdentityEncoder):
        with np.load(folder / "gallery.npz", allow_pickle=False) as shown:
            return encoder.encode(shown["inputs"][:EXAMPLES])
    return torch.randn(EXAMPLES, *encoder.shape, generator=draw)


def rules(folder: Path) -> str:
    """The rules of a student that is one decision tree, in the raw columns' units.

    Raises:
        UsageError: the student is no tree, or a sum of many.
    """
    model = load(folder)
    if not isinstance(model.net, TreeEnsemble):
        raise UsageError(f'The student in {folder} has no rules. Use `[student] name = "decision_tree"`.')
    return as_rules(model.net, encoded_columns(model.encoder), model.classes)


def encoded_columns(encoder: Encoder) -> list[Column]:
    """What each encoded value says of the raw row: a column in its units, or that it holds a category."""
    if isinstance(encoder, TableEncoder):
        found: list[Column] = []
        for column in encoder.columns:
            if isinstance(column, Numeric):
                found.append(Column(column.name, None, column.scale.mean[0], column.scale.factor[0]))
                found += [Column(column.name, "missing")] * column.indicator
            else:
                found += [Column(column.name, name) for name in (*column.categories, "unseen in training", "missing")]
        return found
    places = np.indices(encoder.shape).reshape(len(encoder.shape), -1).T.tolist()
    if isinstance(encoder, ArrayEncoder):
        scale = zip(encoder.scale.mean, encoder.scale.factor, strict=True)
        names = encoder.names or tuple(f"column {i}" for (i,) in places)
        return [Column(name, None, mean, factor) for name, (mean, factor) in zip(names, scale, strict=True)]
    return [Column(f"value {','.join(map(str, place))}") for place in places]


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
    from stillhouse.data.texts import read_text_inputs

    if not path.exists():
        raise RejectedError(f"{path} does not exist. Give a file with the rows to predict.")
    if isinstance(model.encoder, TextEncoder):
        return read_text_inputs(path, model.column or None)
    return read_inputs(path, model.encoder)
