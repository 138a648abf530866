"""The student written for serving, and the rules of a tree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse import exporting
from stillhouse.errors import UsageError
from stillhouse.files import write_atomic
from stillhouse.pipeline.load import load
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.students.rules import as_rules
from stillhouse.students.trees import TreeEnsemble

EXAMPLES = 7  # rows that the exporter traces and compares


def export(folder: Path | str, format: str = "onnx", module: nn.Module | None = None) -> Path:
    """Write ``export/student.<suffix of the format>``, checked against the torch student.

    Args:
        folder: the run folder.
        format: one of ``stillhouse.exporting.formats.names()``.
        module: your own student, freshly built, where the run was given one from Python: code is never stored.

    Raises:
        UsageError: unknown format, the extra is not installed, or the student is your own module and was not given.
        StillhouseError: the exported file does not answer as the student does.
    """
    folder, chosen = Path(folder), exporting.formats.get(format)
    run, model = RunFolder(folder), load(folder, module)
    metadata = model.metadata() | {"stillhouse": run.record["versions"]["stillhouse"], "run": run.record["digest"]}
    out = folder / "export" / f"student{chosen.suffix}"
    for name, content in model.beside().items():
        write_atomic(out.with_name(name), content.encode())
    return exporting.export(model.exportable(example_rows(model, folder)), out, format=format, metadata=metadata)


def example_rows(model: object, folder: Path) -> Tensor:
    """Encoded rows for the exporter to trace: made up, or of the run where their type is the user's."""
    encoder = getattr(model, "encoder")  # noqa: B009 - of any predictor
    made: Tensor | None = encoder.example(EXAMPLES, torch.Generator().manual_seed(0))
    if made is None:
        with np.load(folder / "gallery.npz", allow_pickle=False) as shown:
            made = encoder.encode(shown["inputs"][:EXAMPLES])
    return made


def rules(folder: Path) -> str:
    """The rules of a student that is one decision tree, in the raw columns' units.

    Raises:
        UsageError: the student is no tree, or a sum of many.
    """
    model = load(folder)
    if not isinstance(model.net, TreeEnsemble):
        raise UsageError(f'The student in {folder} has no rules. Use `[student] name = "decision_tree"`.')
    return as_rules(model.net, model.encoder.columns(), model.leaf)
