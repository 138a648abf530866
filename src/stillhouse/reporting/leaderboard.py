"""The leaderboard of a tournament: for the terminal, the report, CSV and LaTeX, from ``leaderboard.json``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.reporting.figures import written
from stillhouse.reporting.folder import OTHER_STYLE, RunFiles, Words, read_json
from stillhouse.reporting.tables import csv_of, latex_row
from stillhouse.reporting.wording import Arm, count, decimal, milliseconds, several
from stillhouse.task import Measure

if TYPE_CHECKING:
    from rich.table import Table

FILE = "leaderboard.json"
WON = ("arm-distilled", "disc")  # of the mark of the winner
COSTS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("ms_1", "ms, 1 row", milliseconds),
    ("bytes", "bytes", count),
    ("seconds", "seconds of training", lambda value: decimal(value, 1)),
)

Told = Mapping[str, Any]  # the contents of leaderboard.json


def read_leaderboard(folder: Path) -> dict[str, Any]:
    """The leaderboard of a run folder; empty where no tournament chose its recipe."""
    return read_json(folder / FILE)


def name_of(entry: Told) -> str:
    """What stands first in the line of a candidate or a rival: "12", "Labels only"."""
    return str(entry["number"]) if "number" in entry else str(entry["words"])


def as_csv(told: Told) -> str:
    """A header, and a line of plain numbers for each candidate and rival; what is not known is empty."""
    measures = list(dict.fromkeys(name for entry in told["candidates"] for name in entry["figures"]))
    keys = ["number", "arm", "words", "state"]
    costs = ["ms_1", "ms_64", "bytes", "parameters", "seconds"]
    lines = [[*keys, *(f"valid_{name}" for name in measures), *costs, "front", "winner", "why"]]
    for entry in told["candidates"]:
        figures = [entry["figures"].get(name) for name in measures]
        rest = [str(entry[key]).lower() for key in ("front", "winner")]
        lines.append([*map(entry.get, keys), *figures, *map(entry.get, costs), *rest, entry.get("why")])
    return csv_of(lines)


def cells(entry: Told, measure: Measure, name: str) -> list[str]:
    """The figure and the costs of a line, as they are written."""
    value = entry["figures"].get(name)
    figure = str(entry["state"]) if value is None else written(measure, value)
    return [figure, *(write(entry.get(key)) for key, _, write in COSTS)]


def heads(measure: Measure) -> list[str]:
    """The heads of these cells."""
    return [f"validation {measure.label}", *(title for _, title, _ in COSTS)]


def as_latex(told: Told, task: Words) -> str:
    """A tabular with booktabs; an asterisk marks the Pareto front of figure and milliseconds."""
    measure = task.measure(told["measure"])
    lines = [
        [name_of(entry) + ("*" if entry["front"] else ""), setting_of(entry), *cells(entry, measure, told["measure"])]
        for entry in told["candidates"]
    ]
    top = [r"\begin{tabular}{ll" + "r" * (len(COSTS) + 1) + "}", r"\toprule"]
    top += [latex_row(["", "Setting", *heads(measure)]), r"\midrule"]
    return "\n".join([*top, *map(latex_row, lines), r"\bottomrule", r"\end{tabular}", ""])


def setting_of(entry: Told) -> str:
    """What a candidate was, or which simple model a rival is."""
    return str(entry["words"]) if "number" in entry else str(entry.get("setting", ""))


def as_table(told: Told, task: Words, most: int = 20) -> Table:
    """The leaderboard for a terminal: the winner, all rivals and the best candidates.

    Args:
        told: the leaderboard.
        task: of the run.
        most: candidates that are shown.
    """
    from rich.table import Table

    measure = task.measure(told["measure"])
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("")
    table.add_column("setting", overflow="fold")
    for head in heads(measure):
        table.add_column(head, justify="right")
    shown = [entry for entry in told["candidates"] if "number" in entry][:most]
    for entry in told["candidates"]:
        if "number" not in entry or entry in shown:
            first = name_of(entry) + (" *" if entry["front"] else "")
            style = "bold" if entry["winner"] else None
            table.add_row(first, setting_of(entry), *cells(entry, measure, told["measure"]), style=style)
    return table


def notes(told: Told, task: Words) -> list[str]:
    """What is to be said under a leaderboard."""
    won = next(entry for entry in told["candidates"] if entry["winner"])
    measure, name = task.measure(told["measure"]), told["measure"]
    ended = [entry for entry in told["candidates"] if "number" in entry]
    early = sum(entry["state"] == "stopped early" for entry in ended)
    failed = [entry for entry in ended if entry["state"] == "failed"]
    said = [
        f"{several(len(ended), 'candidate')} and {several(len(told['candidates']) - len(ended), 'rival')} on "
        f"{several(told['rows'], 'validation row')}, one net each ({told['sampler']}); {early} stopped early by "
        "successive halving. "
        "An asterisk marks the Pareto front of figure and milliseconds.",
        f"{_won(told, won, name)} and is trained again with other seeds; the best of many is flattered by these rows, "
        "so its verdict is that of the test rows.",
    ]
    if (ahead := _ahead(told, won, name)) is not None:
        said.append(
            f"On these rows a rival is no worse than every candidate: {ahead['words']}, with "
            f"{written(measure, ahead['figures'][name])} against {written(measure, won['figures'][name])}."
        )
    return [*said, *(f"Candidate {one['number']} failed: {one['why']}" for one in failed)]


def _won(told: Told, won: Told, name: str) -> str:
    """Why the winner won; a better candidate may be too large, too slow, or take too long to train."""
    sign = 1 if told["higher"] else -1
    better = [
        str(one["number"])
        for one in told["candidates"]
        if "number" in one and sign * one["figures"].get(name, -sign * math.inf) > sign * won["figures"][name]
    ]
    if not better:
        return f"Candidate {won['number']} has the best figure of the candidates"
    which = f"Candidate {better[0]} has" if len(better) == 1 else f"Candidates {', '.join(better)} have"
    return (
        f"{which} a better figure but would break [student.budget], or the run would not end in time; candidate "
        f"{won['number']} has the best figure of the others"
    )


def _ahead(told: Told, won: Told, name: str) -> Told | None:
    """The best rival, where it is at least as good as the winner."""
    sign = 1 if told["higher"] else -1
    rivals = [entry for entry in told["candidates"] if "number" not in entry and name in entry["figures"]]
    best = max(rivals, key=lambda entry: sign * entry["figures"][name], default=None)
    return best if best and sign * best["figures"][name] >= sign * won["figures"][name] else None


def arm_of(run: RunFiles, entry: Told) -> Arm:
    """The mark of a line in charts, with its name."""
    if "number" not in entry:
        return run.arm(entry["arm"])
    css, shape = WON if entry["winner"] else OTHER_STYLE
    return Arm(f"Candidate {entry['number']}", css, shape)
