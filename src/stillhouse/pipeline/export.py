"""Use of the result: export for serving, predictions for a file of rows, and the rules of a tree."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.files import write_atomic
from stillhouse.pipeline.kinds import load
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.students.rules import Column, as_rules
from stillhouse.students.trees import TreeEnsemble
from stillhouse.tasks.classification.predictor import Deployed
from stillhouse.tasks.embedding.predictor import DeployedEmbedder

EXAMPLES = 7  # rows that the exporter traces and compares


def export(folder: Path | str, format: str = "onnx", module: nn.Module | None = None) -> Path:
    """Write ``export/student.onnx`` or ``export/student.safetensors``, checked against the torch student.

    An embedder's graph goes from the ids of ``export/tokenizer.json`` to ``vectors``; any number of texts, any length.

    Args:
        folder: the run folder.
        format: one of the two.
        module: your own student, freshly built, where the run was given one from Python: code is never stored.

    Raises:
        UsageError: unknown format, the extra is not installed, or the student is your own module and was not given.
        StillhouseError: the exported file does not answer as the student does.
    """
    from stillhouse.exporting import export as write

    folder = Path(folder)
    run = RunFolder(folder)
    if format not in ("onnx", "safetensors"):
        raise UsageError(f"There is no export format {format!r}. Known: onnx, safetensors.")
    known: Literal["onnx", "safetensors"] = "onnx" if format == "onnx" else "safetensors"
    model: Deployed | DeployedEmbedder = load(folder, module)
    metadata = model.metadata() | {"stillhouse": run.record["versions"]["stillhouse"], "run": run.record["digest"]}
    rows = model.encoder.example(EXAMPLES, torch.Generator().manual_seed(0))
    out = folder / "export" / f"student.{known}"
    net, example = model.served(rows) if known == "onnx" else (model.net, rows)
    for name, content in model.beside().items():
        write_atomic(out.with_name(name), content.encode())
    return write(net, example, out, format=known, answers=model.answers, metadata=metadata)


def rules(folder: Path) -> str:
    """The rules of a student that is one decision tree, in the raw columns' units.

    Raises:
        UsageError: the student is no tree, or a sum of many.
    """
    model: Deployed | DeployedEmbedder = load(folder)
    if not (isinstance(model, Deployed) and isinstance(model.net, TreeEnsemble)):
        raise UsageError(f'The student in {folder} has no rules. Use `[student] name = "decision_tree"`.')
    return as_rules(model.net, [Column(*one) for one in model.encoder.columns()], model.classes)


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
    from stillhouse.data import read_inputs

    model: Deployed | DeployedEmbedder = load(folder)
    path = Path(rows)
    if not path.exists():
        raise RejectedError(f"{path} does not exist. Give a file with the rows to predict.")
    found = read_inputs(path, model.encoder, column=model.column or None)
    if isinstance(model, Deployed):
        model.write_answers(found.rows, Path(out), found.files)
    else:
        model.write_answers(found.rows, Path(out))
    return len(found.rows)
