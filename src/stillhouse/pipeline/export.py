"""Use of the result: export for serving, predictions for a file of rows, and the rules of a tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.data import Encoder
from stillhouse.data.encoders.table import Numeric, TableEncoder
from stillhouse.data.encoders.tensors import ArrayEncoder, IdentityEncoder
from stillhouse.data.encoders.text import TextEncoder
from stillhouse.errors import RejectedError, UsageError
from stillhouse.files import write_atomic
from stillhouse.pipeline.kinds import load
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.students.rules import Column, as_rules
from stillhouse.students.trees import TreeEnsemble
from stillhouse.tasks.predictor import Deployed

EXAMPLES = 7  # rows that the exporter traces and compares


def export(folder: Path | str, format: str = "onnx", module: nn.Module | None = None) -> Path:
    """Write ``export/student.<suffix of the format>``, checked against the torch student.

    What a graph gives stands with each task's ``exportable``.

    Args:
        folder: the run folder.
        format: one of ``stillhouse.exporting.formats.names()``.
        module: your own student, freshly built, where the run was given one from Python: code is never stored.

    Raises:
        UsageError: unknown format, the extra is not installed, or the student is your own module and was not given.
        StillhouseError: the exported file does not answer as the student does.
    """
    from stillhouse.exporting import export as write
    from stillhouse.exporting import formats

    folder, chosen = Path(folder), formats.get(format)
    run, model = RunFolder(folder), load(folder, module)
    metadata = model.metadata() | {"stillhouse": run.record["versions"]["stillhouse"], "run": run.record["digest"]}
    out = folder / "export" / f"student{chosen.suffix}"
    for name, content in model.beside().items():
        write_atomic(out.with_name(name), content.encode())
    return write(model.exportable(example_rows(model.encoder, folder)), out, format=format, metadata=metadata)


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
    model: Deployed = load(folder)
    if not isinstance(model.net, TreeEnsemble):
        raise UsageError(f'The student in {folder} has no rules. Use `[student] name = "decision_tree"`.')
    return as_rules(model.net, encoded_columns(model.encoder), model.leaf)


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


def predict(folder: Path | str, rows: Path | str, out: Path | str) -> int:
    """Answer each row of a file, in input order: by class and probabilities, or by the vector of a text.

    Args:
        folder: the run folder.
        rows: .csv, .tsv or .parquet for tables; .npz for arrays and images (or a CSV of flat values); an image or a
            folder of them; .csv, .tsv, .jsonl or .parquet for texts.
        out: of a classifier, CSV with the columns ``class`` and one ``p_<class>`` for each class, of image files
            after the column ``file``; of an embedder
            float32 (N, D) as .npy, as "vectors" of an .npz, or as the column ``vector`` of a .parquet.

    Returns:
        The number of rows.

    Raises:
        UsageError: ``out`` is a folder, or no kind of file in which vectors are written.
        RejectedError: the file cannot be read as rows of this kind, or some rows cannot be used; names them.
    """
    if Path(out).is_dir():
        raise UsageError(f"--out {out} is a folder. Name a file in it: `--out {Path(out) / 'answers.csv'}`.")
    from stillhouse.data.reader import read_image_inputs

    model: Deployed = load(folder)
    path = Path(rows)
    if not path.exists():
        raise RejectedError(f"{path} does not exist. Give a file with the rows to predict.")
    images = read_image_inputs(path, model.encoder)
    raw, names = images if images is not None else (read_rows(path, model), None)
    model.write_answers(raw, Path(out), names)
    return len(raw)


def read_rows(path: Path, model: Deployed) -> Any:
    """Raw rows of a file, as the student's encoder takes them."""
    from stillhouse.data import read_inputs
    from stillhouse.data.files.texts import read_text_inputs

    if isinstance(model.encoder, TextEncoder):
        return read_text_inputs(path, model.column or None)
    return read_inputs(path, model.encoder)
