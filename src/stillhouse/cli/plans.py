"""``stillhouse plan``: what a recipe will cost."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from stillhouse.cli.shared import console, say
from stillhouse.data.columns import columns_line
from stillhouse.reporting.figures import Interval, difference, written
from stillhouse.task import Task

PAYS = {
    "likely": "Distilling is likely to pay",
    "unlikely": "Distilling is not likely to pay",
    "open": "The pilot cannot tell whether distilling pays",
}


def show_plan(told: dict[str, Any], task: Task) -> None:
    """Write a plan: lines, then one table, then what a pilot has found."""
    rows, seconds, store = told["rows"], told["seconds"], told["store"]
    say(
        f"rows: {rows['train']:,} for training ({rows['labelled']:,} keep their label), {rows['valid']:,} for "
        f"validation, {rows['test']:,} for the test; views a row: {told['views']}"
    )
    if rows["made"]:
        say(f"made rows: {rows['made']:,} of the rows for training; they have no label")
    if told["columns"]:
        say(columns_line(told["columns"]))
    for teacher in told["teachers"]:
        size = "" if teacher["parameters"] is None else f", {teacher['parameters']:,} parameters"
        pace = "" if teacher["tokens_a_second"] is None else f", {teacher['tokens_a_second']:,.0f} tokens a second"
        say(f"{teacher['arm']}: {teacher['name']}{size}{pace}{'' if teacher['ready'] else ', to be trained first'}")
    say(f"teacher calls: {told['teacher_calls']:,} rows")
    say(f"fits: {told['fits']} students of {told['steps'] // told['fits']:,} steps, {told['workers']} side by side")
    if told["advice"] is not None:
        say(told["advice"])
    timed = [f"{name} {'not known before it is done' if s is None else f'{s:,.1f} s'}" for name, s in seconds.items()]
    say(f"memory: about {told['memory'] / (1 << 20):,.0f} MiB resident at the peak of one process")
    say(f"estimated: {', '.join(timed)}")
    console().print(codecs_table(store))
    if store["probe_tokens"]:
        say(f"Gradient error of an untrained student, on {store['probe_tokens']:,} tokens of your own texts.")
        if store["best"] != store["codec"]:
            say(f'Smallest within the same bytes: {store["best"]}. Write `[store] codec = "{store["best"]}"`.')
    if store["codecs"][0]["gradient_error"] is None:
        say("The gradient error of each codec is not known before the teacher is trained: plan again then.")
    if "pilot" in told:
        for line in pilot_lines(told["pilot"], task):
            say(line)


def pilot_lines(found: dict[str, Any], task: Task) -> list[str]:
    """What a pilot has found, in sentences."""
    measure = task.measure(found["measure"])
    figure = written(measure, found["figure"])
    lines = [
        f"\nPilot: one seed, {found['steps']:,} steps, {found['calls']:,} teacher calls, {found['seconds']:,.1f} s; "
        f"validation {measure.label} of the distilled student: {figure} ({found['rows']:,} rows)."
    ]
    for rival in found["against"]:
        value, ends = difference(measure, Interval(rival["value"], rival["low"], rival["high"]))
        lines.append(f"- against {rival['label'].lower()}: {value} (interval {ends})")
    run = found["run"]
    lines.append(
        f"{PAYS[found['verdict']]}. The intervals are of one net each on validation rows, and the run may differ. "
        f"To find out for certain: {run['calls']:,} more teacher calls and about {run['seconds']:,.0f} s for "
        f"{found['seeds']} seeds of {run['steps']:,} steps."
    )
    return lines


def codecs_table(store: dict[str, Any]) -> Table:
    """One line for each codec; the recipe's own is marked."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    of_tokens = store["codecs"][0]["bytes_a_token"] is not None
    of = "token" if of_tokens else "row"
    for heading in ("", "kept as", f"bytes a {of}", "bytes in all", "gradient error", f"worst {of}", "bound"):
        shown.add_column(heading, justify="left" if heading in ("", "kept as") else "right", no_wrap=True)
    for codec in store["codecs"]:
        figures = [codec[name] for name in ("gradient_error", "worst_row", "bound")]
        shown.add_row(
            "*" if codec["codec"] == store["codec"] else "",
            codec["codec"],
            f"{codec['bytes_a_token']:,.0f}" if of_tokens else f"{codec['bytes_a_row']:,}",
            f"{codec['bytes']:,}",
            *("" if value is None else f"{100 * value:.3g} %" for value in figures[:2]),
            "" if figures[2] is None else f"{figures[2]:.3g}",
        )
    return shown
