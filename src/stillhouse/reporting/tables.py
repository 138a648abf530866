"""Several runs as one table for a paper: plain numbers as CSV, written figures as LaTeX or Markdown."""

from __future__ import annotations

import csv
import io
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.errors import UsageError, nearest
from stillhouse.plain_text import cell as marked
from stillhouse.reporting.compare import care, names
from stillhouse.reporting.figures import Interval, between, difference, interval, spelled, titled, written
from stillhouse.reporting.folder import RunFiles, Words, read
from stillhouse.reporting.wording import ABSENT, MINUS, count, milliseconds, number

SIZES = ("parameters", "ms_1", "ms_64")
LATEX = {  # characters that LaTeX reads as commands
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    MINUS: "$-$",
}  # fmt: skip


def table(folders: Sequence[Path], tasks: Sequence[Words], format: str) -> str:
    """Write the models of several judged runs as a table, a line for each model of each run.

    Args:
        folders: the run folders, in the order of the table.
        tasks: of the runs.
        format: "csv": numbers as in ``scores.json``, each measure with the ends of its interval and the standard
            deviation over the seeds; "latex" (with booktabs) or "markdown": figures as the report writes them.

    Raises:
        UsageError: no folder, another format, or a run that was not judged yet.
        DamagedError: a file of a run cannot be read.
    """
    if format not in FORMATS:
        raise UsageError(f"There is no table format {format!r}.{nearest(format, FORMATS)}")
    if not folders:
        raise UsageError("A table needs at least one run folder: `stillhouse compare A B --csv`.")
    runs = dict(zip(names(folders), (read(f, task) for f, task in zip(folders, tasks, strict=True)), strict=True))
    return FORMATS[format](runs)


def measures_of(runs: Mapping[str, RunFiles]) -> dict[str, RunFiles]:
    """The measures of the table with a run that has each; the headlines first."""
    found: dict[str, RunFiles] = {}
    for run in runs.values():
        found.setdefault(run.headline, run)
    for run in runs.values():
        for key in run.main_measures:
            found.setdefault(key, run)
    return found


def gain(run: RunFiles, arm: str) -> dict[str, Any]:
    """The comparison with the first rival and the run's verdict, where an arm is the student that it is about."""
    first = next(iter(run.comparisons), {})
    return {**first, "verdict": run.scores.get("verdict")} if arm == run.student and first else {}


def as_csv(runs: Mapping[str, RunFiles]) -> str:
    """A header, and a line of plain numbers for each model; what is not known is empty."""
    measures = measures_of(runs)
    ends = ("", "_low", "_high", "_sd")
    heads = ["run", "model", "labels", "seeds", "test_rows", *(key + end for key in measures for end in ends)]
    lines = [[*heads, "gain", "gain_low", "gain_high", "gain_over", "gain_measure", "verdict", *SIZES]]
    for name, run in runs.items():
        for arm in run.shown_arms:
            model, compared = run.models[arm], gain(run, arm)
            line = [name, arm, run.scores.get("saw", {}).get(arm, {}).get("labels"), len(model.get("seeds", {}))]
            line.append(run.scores.get("test_rows"))
            for key in measures:
                line += [*_numbers(run.figure(arm, key)), _deviation(model, key)]
            line += [*_numbers(interval(compared.get("difference")))]
            line += [compared.get(key) for key in ("b", "measure", "verdict")] + [model.get(key) for key in SIZES]
            lines.append(line)
    return csv_of(lines)


def csv_of(lines: Iterable[Sequence[Any]]) -> str:
    """Lines of CSV; texts that a spreadsheet would compute are marked, and None is an empty cell."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows(["" if value is None else marked(value) for value in line] for line in lines)
    return file.getvalue()


def _numbers(figure: Interval | None) -> list[float | None]:
    return [None] * 3 if figure is None else [figure.value, figure.low, figure.high]


def _deviation(model: Mapping[str, Any], key: str) -> float | None:
    """Standard deviation of a measure over the seeds; None of a single net."""
    values = [value for seed in model.get("seeds", {}).values() if (value := number(seed.get(key))) is not None]
    return statistics.stdev(values) if len(values) > 1 else None


def lines_of(runs: Mapping[str, RunFiles]) -> tuple[list[str], list[list[str]], list[str]]:
    """Heads, cells and notes of a table for readers; a column that no model fills is left out."""
    measures = measures_of(runs)
    heads = ["Run", "Model", "Labels", *(_head(run, key) for key, run in measures.items())]
    heads += ["Gain", "Verdict", "Parameters", "ms, 1 row", "ms, 64 rows"]
    lines = []
    for name, run in runs.items():
        for arm in run.shown_arms:
            model, saw = run.models[arm], run.scores.get("saw", {}).get(arm, {})
            figures = [_figure(run, arm, key) for key in measures]
            sizes = [
                write(model.get(key)) for key, write in zip(SIZES, (count, milliseconds, milliseconds), strict=True)
            ]
            lines.append([name, run.arm(arm).label, count(saw.get("labels")), *figures, *_gain(run, arm), *sizes])
    kept = [i for i in range(len(heads)) if i < 2 or any(line[i] not in (ABSENT, "") for line in lines)]
    shown = [[line[i] for i in kept] for line in lines]
    return [heads[i] for i in kept], shown, _notes(runs)


def _head(run: RunFiles, key: str) -> str:
    measure = run.measure(key)
    return f"{titled(measure)} (%)" if measure.unit == "share" else titled(measure)


def _figure(run: RunFiles, arm: str, key: str) -> str:
    measure, figure = run.measure(key), run.figure(arm, key)
    ends = between(measure, figure) if key == run.headline else ""
    value = written(measure, figure).removesuffix(" %")
    return f"{value} ({ends})" if ends else value


def _gain(run: RunFiles, arm: str) -> list[str]:
    compared = gain(run, arm)
    figure, measure = interval(compared.get("difference")), run.measure(run.headline)
    if figure is None:
        return ["", ""]
    value, ends = difference(measure, figure)
    return [f"{value} ({ends})", spelled(str(compared.get("verdict", "")), compared.get("margin"), measure)]


def _notes(runs: Mapping[str, RunFiles]) -> list[str]:
    confidence = " / ".join(dict.fromkeys(run.confidence for run in runs.values()))
    over = dict.fromkeys(run.arm(run.control).label.lower() for run in runs.values() if run.control)
    note = f"In brackets: {confidence} intervals over test rows and seeds. Gain: over {' / '.join(over)}."
    return [note, *(care(list(runs.values())) if len(runs) > 1 else [])]


def as_markdown(runs: Mapping[str, RunFiles]) -> str:
    """A table of Markdown with its notes below."""
    heads, lines, notes = lines_of(runs)
    rule = ["---" if i < 2 else "---:" for i in range(len(heads))]
    rows = [heads, rule, *([_in_markdown(cell) for cell in line] for line in lines)]
    return "\n".join(["| " + " | ".join(row) + " |" for row in rows] + ["", *notes, ""])


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", " ".join(text.split()))


def as_latex(runs: Mapping[str, RunFiles]) -> str:
    """A tabular with booktabs; a rule between the runs, its notes as comments."""
    heads, lines, notes = lines_of(runs)
    rows = []
    for before, line in zip([None, *lines], lines, strict=False):
        same = before is not None and before[0] == line[0]
        if before is not None and not same:
            rows.append(r"\midrule")
        rows.append(latex_row(["" if same else line[0], *line[1:]]))
    notes = [f"% {' '.join(note.split())}" for note in notes]
    start = [*notes, rf"\begin{{tabular}}{{ll{'r' * (len(heads) - 2)}}}", r"\toprule", latex_row(heads), r"\midrule"]
    return "\n".join([*start, *rows, r"\bottomrule", r"\end{tabular}", ""])


def latex_row(cells: Sequence[str]) -> str:
    """One line of a tabular, its texts escaped."""
    return " & ".join("".join(LATEX.get(c, c) for c in " ".join(cell.split())) for cell in cells) + r" \\"


FORMATS: Mapping[str, Callable[[Mapping[str, RunFiles]], str]] = {
    "csv": as_csv,
    "latex": as_latex,
    "markdown": as_markdown,
}
