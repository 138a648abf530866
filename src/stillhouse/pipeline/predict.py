"""The answers of a run's student to a file of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillhouse.data import read_inputs
from stillhouse.data.reader import read_image_inputs
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.load import load


def predict(folder: Path | str, rows: Path | str, out: Path | str) -> int:
    """Answer each row of a file, in input order.

    Args:
        folder: the run folder.
        rows: .csv, .tsv or .parquet for tables; .npz for arrays and images (or a CSV of flat values); an image or a
            folder of them; .csv, .tsv, .jsonl or .parquet for texts.
        out: CSV: of a classifier ``class`` and one ``p_<class>`` for each class; of a regression ``prediction``,
            ``low`` and ``high``, or ``prediction_<target>`` for several targets; of several labels ``labels`` and
            ``p_<label>``; after the column ``file`` for image files. Of an embedder float32 (N, D) as .npy, as
            "vectors" of an .npz, or as the column ``vector`` of a .parquet.

    Returns:
        The number of rows.

    Raises:
        UsageError: ``out`` is a folder, or no kind of file in which such answers are written.
        RejectedError: the file cannot be read as rows of this kind, or some rows cannot be used; names them.
    """
    if Path(out).is_dir():
        raise UsageError(f"--out {out} is a folder. Name a file in it: `--out {Path(out) / 'answers.csv'}`.")
    model, path = load(folder), Path(rows)
    if not path.exists():
        raise RejectedError(f"{path} does not exist. Give a file with the rows to predict.")
    images = read_image_inputs(path, model.encoder)
    raw: Any
    raw, names = images if images is not None else (read_inputs(path, model.encoder, column=model.column), None)
    model.write_answers(raw, Path(out), names)
    return len(raw)
