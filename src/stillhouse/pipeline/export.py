"""Use of the result: export for serving, predictions for a file of rows, and the rules of a tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stillhouse.data import Encoder
from stillhouse.data.encoders.table import Numeric, TableEncoder
from stillhouse.data.encoders.tensors import ArrayEncoder, IdentityEncoder
from stillhouse.data.encoders.text import TextEncoder
from stillhouse.errors import RejectedError, UsageError
from stillhouse.files import write_atomic
from stillhouse.pipeline.kinds import load_student
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.students.rules import Column, as_rules
from stillhouse.students.trees import TreeEnsemble
from stillhouse.tasks.classification.predictor import Deployed
from stillhouse.tasks.embedding.predictor import DeployedEmbedder

EXAMPLES = 7  # rows that the exporter traces and compares


def export(folder: Path, format: str, model: Deployed | DeployedEmbedder) -> Path:
    """Write ``export/student.onnx`` or ``export/student.safetensors``, checked against the torch student.

    An embedder's graph goes from the ids of ``export/tokenizer.json`` to ``vectors``; any number of texts, any length.

    Args:
        folder: the run folder.
        format: one of the two.
        model: its student.

    Raises:
        UsageError: unknown format, or the extra is not installed.
        StillhouseError: the exported file does not answer as the student does.
    """
    from stillhouse.exporting import export as write

    run = RunFolder(folder)
    if format not in ("onnx", "safetensors"):
        raise UsageError(f"There is no export format {format!r}. Known: onnx, safetensors.")
    known: Literal["onnx", "safetensors"] = "onnx" if format == "onnx" else "safetensors"
    metadata = model.metadata() | {"stillhouse": run.record["versions"]["stillhouse"], "run": run.record["digest"]}
    rows, out = example_rows(model.encoder, folder), folder / "export" / f"student.{known}"
    net, example = model.served(rows) if known == "onnx" else (model.net, rows)
    for name, content in model.beside().items():
        write_atomic(out.with_name(name), content.encode())
    return write(net, example, out, format=known, answers=model.answers, metadata=metadata)


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
    model: Deployed | DeployedEmbedder = load_student(folder)
    if not (isinstance(model, Deployed) and isinstance(model.net, TreeEnsemble)):
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


def predict_file(model: Deployed | DeployedEmbedder, rows: Path | str, out: Path | str) -> int:
    """Write the answers to the rows of a file, in input order; see ``stillhouse.predict``.

    Returns:
        The number of rows.

    Raises:
        UsageError: ``out`` is a folder, or no kind of file in which vectors are written.
        RejectedError: the file cannot be read as rows of this kind, or some rows cannot be used; names them.
    """
    raw, names = read_file(model, Path(rows))
    model.write_answers(raw, Path(out), *([] if names is None else [names]))
    return len(raw)


def check_out(out: Path | str) -> None:
    """Refuse to write answers over a folder.

    Raises:
        UsageError: ``out`` is one.
    """
    if Path(out).is_dir():
        raise UsageError(f"--out {out} is a folder. Name a file in it: `--out {Path(out) / 'answers.csv'}`.")


def read_file(model: Deployed | DeployedEmbedder, path: Path) -> tuple[Any, Sequence[str] | None]:
    """Raw rows of a file as the student's encoder takes them, and of image files their names."""
    from stillhouse.data import read_inputs
    from stillhouse.data.files.texts import read_text_inputs
    from stillhouse.data.reader import read_image_inputs

    if not path.exists():
        raise RejectedError(f"{path} does not exist. Give a file with the rows to predict.")
    if isinstance(model, Deployed) and (images := read_image_inputs(path, model.encoder)) is not None:
        return images
    if isinstance(model.encoder, TextEncoder):
        return read_text_inputs(path, model.column or None), None
    return read_inputs(path, model.encoder), None
