"""The student written for serving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from stillhouse import exporting, hashes
from stillhouse.errors import StillhouseError
from stillhouse.files import write_atomic
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.students.causal_saving import load_causal
from stillhouse.tasks.predictor import Deployed

CLOSE = 1e-4  # of logits, absolute and relative
EXAMPLES = 7  # rows that the exporter traces and compares


def export(folder: Path, format: str, model: Deployed, arm: str | None = None) -> Path:
    """Write ``export/student.<suffix of the format>``, of an arm ``export/<arm>.<suffix>``, checked against the net.

    Args:
        folder: the run folder.
        format: one of ``stillhouse.exporting.formats.names()``, or the model's own ``folder_format``.
        model: its student, or what another arm ships.
        arm: the name of that arm, and then of the file.

    Raises:
        UsageError: unknown format, or the extra is not installed.
        StillhouseError: the exported file does not answer as the student does.
    """
    if format == model.folder_format:
        return export_folder(folder, model, arm)
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


def export_folder(folder: Path, model: Any, arm: str | None = None) -> Path:
    """Write ``export/student/`` (of an arm ``export/<arm>/``), which ``AutoModelForCausalLM`` opens, and compare it.

    Raises:
        StillhouseError: the folder does not answer as the student does.
    """
    out = folder / "export" / (arm or "student")
    model.save_pretrained(out)
    rows = model.encoder.example(EXAMPLES, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = model(rows), load_causal(out).eval()(rows)
    if not torch.allclose(ours, theirs, atol=CLOSE, rtol=CLOSE):
        gap = float((ours - theirs).abs().max())
        raise StillhouseError(
            f"{out} does not answer as the student does: a logit differs by {gap:.3g}. Please report this."
        )
    return out
