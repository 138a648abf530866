"""The leaderboard of a tournament: every candidate and rival with its validation figure and its costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stillhouse.files import write_atomic, write_json
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.tuning.candidate import DONE
from stillhouse.recipe import Limits
from stillhouse.reporting.leaderboard import FILE, as_csv, as_latex

CSV, LATEX = "leaderboard.csv", "leaderboard.tex"
FILES = (FILE, CSV, LATEX)


class Row(NamedTuple):
    """A candidate, or a rival."""

    number: int | None  # of a candidate
    arm: str | None  # of a rival
    words: str
    state: str
    figures: Mapping[str, float]  # on validation rows; the first is that of the verdict; more is better
    bytes: int | None = None
    ms_1: float | None = None
    ms_64: float | None = None
    parameters: int | None = None
    unit: str | None = None
    seconds: float | None = None  # of training
    why: str | None = None  # it failed
    setting: str | None = None  # of a rival that is a simple model: which it is

    @property
    def value(self) -> float | None:
        """The first figure."""
        return next(iter(self.figures.values()), None)


def row_of(name: int | str, facts: Mapping[str, Any] | None) -> Row | None:
    """The row of a candidate's number or of a rival's arm; None: it has not ended."""
    if facts is None:
        return None
    number, arm = (name, None) if isinstance(name, int) else (None, name)
    kept = ("words", "state", "bytes", "ms_1", "ms_64", "parameters", "unit", "seconds", "why", "setting")
    known = {key: facts[key] for key in kept if key in facts}
    return Row(number=number, arm=arm, figures=facts.get("figures", {}), **known)


def best_of(rows: Sequence[Row], budget: Limits) -> Row | None:
    """The winner: the best by its figures; of equals the smallest, then the first. None: none is within the budget."""
    able = [row for row in rows if row.number is not None and row.state == DONE and within(row, budget)]
    return min(able, key=lambda row: ([-x for x in row.figures.values()], row.bytes, row.number), default=None)


def within(row: Row, budget: Limits) -> bool:
    """Whether a student is within [student.budget]; nodes of trees are no parameters."""
    pairs = [(row.bytes, budget.bytes), (row.ms_1, budget.latency_ms)]
    pairs += [] if row.unit else [(row.parameters, budget.parameters)]
    return all(limit is None or (figure is not None and figure <= limit) for figure, limit in pairs)


def on_front(row: Row, rows: Sequence[Row]) -> bool:
    """Whether no other is at least as good and as fast, and better in one of the two."""
    if row.value is None or row.ms_1 is None:
        return False
    others = [(one.value, one.ms_1) for one in rows if one.value is not None and one.ms_1 is not None]
    return not any(
        value >= row.value and ms <= row.ms_1 and (value, ms) != (row.value, row.ms_1) for value, ms in others
    )


def write_leaderboard(folder: Path, context: RunContext, rows: Sequence[Row], winner: Row, sampler: str) -> None:
    """Write the leaderboard of a study, the best first: JSON, CSV and LaTeX."""
    order = sorted(rows, key=lambda row: (row.value is None, [-x for x in row.figures.values()], row.number or 0))
    measure = next(iter(winner.figures))
    told: dict[str, Any] = {
        "schema": 1,
        "measure": measure,
        "higher": context.task.measure(measure).higher,
        "rows": len(context.data.valid.targets),
        "sampler": sampler,
        "candidates": [
            {key: value for key, value in row._asdict().items() if value is not None}
            | {"figures": {k: v if context.task.measure(k).higher else -v for k, v in row.figures.items()}}
            | {"front": on_front(row, rows), "winner": row is winner or row == winner}
            for row in order
        ],
    }
    write_json(folder / FILE, told)
    write_atomic(folder / CSV, as_csv(told).encode())
    write_atomic(folder / LATEX, as_latex(told, context.task).encode())
