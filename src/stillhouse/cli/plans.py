"""``stillhouse plan``: what a recipe will cost."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from stillhouse.cli.shared import console, say
from stillhouse.data.columns import columns_line


def show_plan(told: dict[str, Any]) -> None:
    """Write a plan: lines, then one table."""
    rows, seconds, store = told["rows"], told["seconds"], told["store"]
    say(
        f"rows: {rows['train']:,} for training ({rows['labelled']:,} keep their label), {rows['valid']:,} for "
        f"validation, {rows['test']:,} for the test; views a row: {told['views']}"
    )
    if told["columns"]:
        say(columns_line(told["columns"]))
    for teacher in told["teachers"]:
        size = "" if teacher["parameters"] is None else f", {teacher['parameters']:,} parameters"
        say(f"{teacher['arm']}: {teacher['name']}{size}{'' if teacher['ready'] else ', to be trained first'}")
    say(f"teacher calls: {told['teacher_calls']:,} rows")
    say(f"fits: {told['fits']} students of {told['steps'] // told['fits']:,} steps, {told['workers']} side by side")
    timed = [f"{name} {'not known before it is done' if s is None else f'{s:,.1f} s'}" for name, s in seconds.items()]
    say(f"estimated: {', '.join(timed)}")
    console().print(codecs_table(store))
    if store["codecs"][0]["gradient_error"] is None:
        say("The gradient error of each codec is not known before the teacher is trained: plan again then.")


def codecs_table(store: dict[str, Any]) -> Table:
    """One line for each codec; the recipe's own is marked."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "kept as", "bytes a row", "bytes in all", "gradient error", "worst row", "bound"):
        shown.add_column(heading, justify="left" if heading in ("", "kept as") else "right", no_wrap=True)
    for codec in store["codecs"]:
        figures = [codec[name] for name in ("gradient_error", "worst_row", "bound")]
        shown.add_row(
            "*" if codec["codec"] == store["codec"] else "",
            codec["codec"],
            f"{codec['bytes_a_row']:,}",
            f"{codec['bytes']:,}",
            *("" if value is None else f"{100 * value:.3g} %" for value in figures[:2]),
            "" if figures[2] is None else f"{figures[2]:.3g}",
        )
    return shown
