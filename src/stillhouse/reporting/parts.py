"""What the macros of the templates take: lines of tables, charts with their notes, legends, one form each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stillhouse.reporting.charts import Series, axis_row, row_scale, swatch
from stillhouse.reporting.figures import Interval, difference, difference_ticks, interval, spelled
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.svg import Scale
from stillhouse.reporting.wording import Arm, p_value, tone
from stillhouse.task import Measure

Cell = str | dict[str, str]  # a figure, or a figure with its interval, or words as {"text": ...}


def head(arm: Arm) -> dict[str, str]:
    """Return the head of an arm's column."""
    return {"swatch": swatch(arm), "label": arm.label}


def line(label: str, cells: Sequence[Cell], *, arm: Arm | None = None, main: bool = False, small: str = "") -> Any:
    """Return one line of a table.

    Args:
        label: what stands before the cells.
        cells: one for each further column.
        arm: whose mark stands before the label.
        main: whether the line is the one that the page is about.
        small: what follows the label in small letters.
    """
    return {"label": label, "cells": list(cells), "swatch": swatch(arm) if arm else "", "main": main, "small": small}


def arm_line(run: RunFiles, name: str, cells: Sequence[Cell]) -> Any:
    """Return the line of an arm; that of a simple model says which it is."""
    model = run.scores.get("saw", {}).get(name, {}).get("model")
    small = f": {model}" if model else ""
    return line(run.arm(name).label, cells, arm=run.arm(name), main=name == run.student, small=small)


def chart(title: str, svg: str, note: str = "") -> dict[str, str]:
    """Return a chart with its title and what is to be said under it."""
    return {"title": title, "svg": svg, "note": note}


def legend(arms: Iterable[Arm]) -> list[dict[str, str]]:
    """Return the marks and names of several arms."""
    return [head(arm) for arm in arms]


def series(arm: Arm, points: Sequence[tuple[float, Interval]]) -> Series:
    """Return an arm's figures over some quantity as a line with a band."""
    xs, figures = [x for x, _ in points], [figure for _, figure in points]
    return Series(arm, arm.label, xs, [f.value for f in figures], [f.low for f in figures], [f.high for f in figures])


class Forest:
    """Differences of one measure on a common axis: a line each, and the axis under them."""

    def __init__(
        self, measure: Measure, entries: Sequence[tuple[dict[str, Any], Interval]], margins: Sequence[float] = ()
    ) -> None:
        """Find the axis of the differences of ``entries``, each as scores.json has it and its interval."""
        self.measure, self.entries, self.margins = measure, entries, margins
        self.scale: Scale = row_scale([figure for _, figure in entries], (0.0, *margins))

    def shown(self, rows: list[dict[str, Any]], confidence: str, last: str = "Verdict") -> dict[str, Any]:
        """Return what the macro of such a table takes."""
        unit = "Points" if self.measure.unit == "share" else "Difference"
        axis = axis_row(self.scale, difference_ticks(self.measure))
        return {"rows": rows, "axis": axis, "unit": unit, "last": last, "confidence": confidence}

    def row(self, entry: dict[str, Any], figure: Interval, plot: str, margin: Any, **words: str) -> dict[str, Any]:
        """Return one line; ``words`` are its ``name``, what it is ``against``, and others that a section reads."""
        value, ends = difference(self.measure, figure)
        word = str(entry.get("verdict", ""))
        shown = {"difference": value, "interval": ends, "plot": plot, "word": spelled(word, margin, self.measure)}
        colour = tone(word, str(entry.get("asks", "loss")))
        return {"against": "", "p": p_value(entry.get("p"))} | shown | {"tone": colour} | words


def with_figures(entries: Iterable[dict[str, Any]], key: str | None = None) -> list[tuple[dict[str, Any], Interval]]:
    """Return the entries that have a figure, each with it; it stands under ``key``, or is the entry itself."""
    return [(e, figure) for e in entries if (figure := interval(e.get(key) if key else e))]
