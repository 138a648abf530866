"""The report of one run: every section that its files allow, in the order in which a reader asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillhouse.reporting import (
    calibration,
    explanation,
    gallery,
    provenance,
    quality,
    robustness,
    summary,
    teacher,
    training,
)
from stillhouse.reporting.folder import RunFiles, read
from stillhouse.reporting.render import page
from stillhouse.reporting.wording import count, timed


def write(folder: Path) -> Path:
    """Write ``report.html`` into a run folder from the run folder's own files; no model and no data are needed.

    Args:
        folder: a run folder with at least ``scores.json``; a section whose files are absent is left out.

    Returns:
        The path of the page.

    Raises:
        UsageError: the run was not judged yet, or by another version.
        DamagedError: a file of the run cannot be read.
        StillhouseError: the page cannot be written.
    """
    return page("report.html.j2", folder / "report.html", **sections(read(folder)))


def sections(run: RunFiles) -> dict[str, Any]:
    """Return all that the template shows; an absent section is empty or None."""
    values = {
        "title": title(run),
        "subtitle": subtitle(run),
        "verdict": summary.verdict(run),
        "warnings": summary.warnings(run),
        "saw": summary.saw(run),
        "tiles": summary.tiles(run),
        "table": summary.table(run),
        "table_note": table_note(run),
        "seeds": summary.seeds(run),
        "comparisons": summary.comparisons(run),
        "comparisons_note": summary.comparisons_note(run),
        "curves": training.learning_curves(run),
        "shares": training.shares(run),
        "costs": provenance.cost_plots(run),
        "cost_rows": provenance.cost_rows(run),
        "confusion": quality.confusions(run),
        "calibration": calibration.calibration(run),
        "harm": quality.harm(run),
        "fidelity": quality.fidelity(run),
        "gate": teacher.gate(run),
        "explanation": explanation.explanation(run),
        "robustness": robustness.robustness(run),
        "gallery": gallery.cards(run),
        "command": provenance.command(run),
        "made": provenance.made(run),
        "facts": provenance.facts(run),
        "recipe": run.recipe,
        "confidence": summary.confidence(run),
    }
    return values | {"contents": contents(values)}


def title(run: RunFiles) -> str:
    """Return what the run is called: its data, or its folder."""
    data = run.run.get("data")
    named = data.get("name") if isinstance(data, dict) else None
    return str(named or run.folder.resolve().name)


def subtitle(run: RunFiles) -> str:
    """Return the size of the experiment in a few words."""
    rows, seeds, classes = run.scores.get("test_rows"), run.scores.get("seeds", []), run.classes
    parts = [f"{count(rows)} test rows" if rows else "", f"{len(classes)} classes" if classes else ""]
    parts.append(f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''}" if seeds else "")
    return " · ".join(p for p in parts if p)


def table_note(run: RunFiles) -> str:
    """Return how the figures of the table are to be read."""
    seeds = len(run.scores.get("seeds", []))
    interval = f"{summary.confidence(run)} interval"
    several = f"Students: mean of {seeds} seeds. Small figures: {interval} over seeds and test rows."
    one = f"One seed. Small figures: {interval} over the test rows."
    return f"{several if seeds > 1 else one} {timed(run.costs)}".strip()


def contents(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the anchors and names of the sections that are there."""
    return [(anchor, name) for key, anchor, name in SECTIONS if values.get(key)]


SECTIONS = (
    ("table", "table", "Models"),
    ("comparisons", "comparisons", "Comparisons"),
    ("gate", "teacher", "Teacher"),
    ("curves", "training", "Training"),
    ("costs", "cost", "Cost"),
    ("confusion", "confusion", "Confusion"),
    ("calibration", "calibration", "Calibration"),
    ("harm", "harm", "Gains and losses"),
    ("fidelity", "fidelity", "Fidelity"),
    ("explanation", "explanation", "Handed over"),
    ("robustness", "robustness", "Robustness"),
    ("gallery", "gallery", "Disagreements"),
    ("facts", "provenance", "Provenance"),
)
