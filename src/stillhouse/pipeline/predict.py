"""The answers of a run's student to a file of rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.data import read_inputs
from stillhouse.errors import RejectedError, UsageError

if TYPE_CHECKING:
    from pandas import DataFrame


def predict_file(model: Any, rows: Path | str, out: Path | str) -> int:
    """Write the answers to the rows of a file, in input order; see ``stillhouse.predict``.

    Args:
        model: the task's predictor.
        rows: a file of rows.
        out: a file for the answers.

    Returns:
        The number of rows.

    Raises:
        UsageError: ``out`` is no kind of file in which such answers are written.
        RejectedError: the file cannot be read as rows of this kind, or some rows cannot be used; names them.
    """
    raw, names = read_file(model, Path(rows))
    model.write_answers(raw, Path(out), names)
    return len(raw)


def predict_table(model: Any, rows: Path | str) -> DataFrame:
    """The answers to the rows of a file as a table, in input order; of image files with the column ``file``.

    Raises:
        RejectedError: as ``predict_file``.
    """
    raw, names = read_file(model, Path(rows))
    table: DataFrame = model.table(raw, names)
    return table


def check_out(out: Path | str, rows: Path | str) -> None:
    """Refuse to write answers over a folder, or over the rows.

    Raises:
        UsageError: ``out`` is one of these.
    """
    target, source = Path(out), Path(rows)
    if target.is_dir():
        raise UsageError(f"--out {out} is a folder. Name a file in it: `--out {target / 'answers.csv'}`.")
    if target.exists() and source.exists() and target.samefile(source):
        other = target.with_name(f"{target.name.split('.')[0]}-answers.csv")
        raise UsageError(f"--out {out} is the file of the rows, which would be lost. Name another: `--out {other}`.")


def read_file(model: Any, path: Path) -> tuple[Any, Sequence[str] | None]:
    """Raw rows of a file as the student's encoder takes them, and of image files their names."""
    if not path.exists():
        raise RejectedError(f"{path} does not exist. Give a file with the rows to predict.")
    found = read_inputs(path, model.encoder, column=model.column or None)
    return found.rows, found.files
