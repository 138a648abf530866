"""The student written for serving."""

from __future__ import annotations

from pathlib import Path

import torch

from stillhouse import exporting, hashes
from stillhouse.files import write_atomic
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.tasks.predictor import Deployed

EXAMPLES = 7  # rows that the exporter traces and compares


def export(folder: Path, format: str, model: Deployed, arm: str | None = None) -> Path:
    """Write ``export/student.<suffix of the format>``, of an arm ``export/<arm>.<suffix>``, checked against the net.

    Args:
        folder: the run folder.
        format: one of ``stillhouse.exporting.formats.names()``.
        model: its student, or what another arm ships.
        arm: the name of that arm, and then of the file.

    Raises:
        UsageError: unknown format, or the extra is not installed.
        StillhouseError: the exported file does not answer as the student does.
    """
    chosen, run = exporting.formats.get(format), RunFolder(folder)
    metadata = model.metadata() | {"stillhouse": run.record["versions"]["stillhouse"], "run": run.record["digest"]}
    out = folder / "export" / f"{arm or 'student'}{chosen.suffix}"
    hashes.begin(out.parent)
    if model.write_program(format, out, metadata):
        return out
    rows = model.encoder.example(EXAMPLES, torch.Generator().manual_seed(0))
    for name, content in model.beside().items():  # two arms may have two tokenizers
        write_atomic(out.with_name(f"{arm}-{name}" if arm else name), content.encode())
    return exporting.export(model.exportable(rows), out, format=format, metadata=metadata)
