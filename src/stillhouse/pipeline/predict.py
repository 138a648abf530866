"""The answers of a run's student to a file of rows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.data import read_inputs
from stillhouse.data.files.textfile import text_lines
from stillhouse.errors import RejectedError, UsageError
from stillhouse.files import is_standard_output
from stillhouse.tasks.predictor import as_csv

if TYPE_CHECKING:
    from pandas import DataFrame

RUN_FOLDERS = ("data", "export", "fits", "store", "student", "teacher")
RUN_FILES = (".json", ".jsonl", ".npz", ".onnx", ".safetensors", ".toml")


def predict_file(model: Any, rows: Path | str, out: Path | str) -> int:
    """Write the answers to the rows of a file, in input order; see ``stillhouse.predict``.

    Args:
        model: the task's predictor.
        rows: a file of rows.
        out: a file for the answers; `-` is standard output, and there each kind of answer is CSV.

    Returns:
        The number of rows.

    Raises:
        UsageError: ``out`` is no kind of file in which such answers are written.
        RejectedError: the file cannot be read as rows of this kind, or some rows cannot be used; names them.
    """
    raw, names = read_file(model, Path(rows))
    if is_standard_output(out):
        sys.stdout.write(as_csv(model.table(raw, names)))
    else:
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


def check_out(
    out: Path | str, reads: Sequence[Path | str] = (), runs: Sequence[Path] = (), flag: str = "--out"
) -> None:
    """Refuse to write over a folder, over what is read, or over a file of a run; links and case are seen through.

    Args:
        out: a file that the user named; standard output is always free.
        reads: files and folders that the command reads.
        runs: run folders that it reads.
        flag: that names it.

    Raises:
        UsageError: ``out`` is one of these.
    """
    target = Path(out)
    if is_standard_output(target) or not target.exists():
        return
    if target.is_dir():
        raise UsageError(f"{flag} {out} is a folder. Name a file in it: `{flag} {target / 'answers.csv'}`.")
    free = target.with_name(f"{target.name.split('.')[0]}-new{''.join(target.suffixes[-1:]) or '.csv'}")
    if any(_holds(Path(source), target) for source in reads):
        raise UsageError(f"{flag} {out} is read by this command and would be lost. Name another file: `{flag} {free}`.")
    for run in runs:
        if target.resolve().is_relative_to(run.resolve()) and _of_run(target.resolve().relative_to(run.resolve())):
            raise UsageError(f"{flag} {out} is a file of the run {run}, which would be damaged. Name another file.")


def _holds(source: Path, target: Path) -> bool:
    """Whether an existing file is a source, or in it where this is a folder."""
    if not source.exists():
        return False
    return source.samefile(target) or (source.is_dir() and target.resolve().is_relative_to(source.resolve()))


def _of_run(name: Path) -> bool:
    """Whether a file of this name in a run folder is the run's own."""
    return name.parts[0] in RUN_FOLDERS or name.suffix in RUN_FILES or name.name == "report.html"


def read_file(model: Any, path: Path) -> tuple[Any, Sequence[str] | None]:
    """Raw rows of a file as the student's encoder takes them, and of image files their names."""
    if not path.exists():
        raise RejectedError(f"{path} does not exist. Give a file with the rows to predict.")
    if model.lines_are_rows and path.suffix == ".txt":
        lines = [line.rstrip("\r\n") for _, line in text_lines(path)]
        return [line for line in lines if line.strip()], None
    found = read_inputs(path, model.encoder, column=model.column or None)
    return found.rows, found.files
