"""The medical part of a page: sensitivity at fixed specificity, calibration, groups; from the run folder's files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from benchmarks.examples.clinical import (
    RESAMPLES,
    Share,
    difference,
    exact,
    resampled,
    sensitivities,
    threshold_at,
)
from benchmarks.examples.markdown import bullets, table, with_interval
from numpy.typing import NDArray

from stillhouse.evaluation.predictions import Predictions
from stillhouse.evaluation.resampling import Interval, Sample, share
from stillhouse.pipeline.evaluation.groups import MISSING
from stillhouse.reporting import changes
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.wording import count, percent, points
from stillhouse.tasks.classification.report import calibration

SPECIFICITY = 0.95
ARMS = ("teacher", "teacher_same", "labels_only", "distilled", "all_labels", "distilled_same")
NAMED = {"teacher": "the teacher", "labels_only": "the student of the labels alone"}
ONE = ("teacher", "labels_only", "distilled")  # of which one net is looked at with its threshold


def figures(run: RunFiles, classes: Sequence[str]) -> str:
    """All of it, as Markdown."""
    test, valid = (Predictions.load(run.folder / f"predictions{part}.npz") for part in ("", "_valid"))
    parts = [f"## Sensitivity at a specificity of {percent(SPECIFICITY, 0)}"]
    for name in classes:
        parts += ranked(run, test, name)
        parts += thresholds(run, test, valid, name)
    parts += [*calibrated(run), *groups(run, test, valid, classes)]
    return "\n\n".join(parts)


def scores(predictions: Predictions, name: str, seeds: str) -> list[NDArray[np.float64]]:
    """The probability of a class, by each net of an arm."""
    column = predictions.names.index(name)
    return [np.exp(logs[:, column].astype(np.float64)) for logs in predictions.outputs(seeds).values()]


def ranked(run: RunFiles, test: Predictions, name: str) -> Iterator[str]:
    """How well the probability of a class ranks the test rows, with no threshold chosen."""
    positive = test.targets == test.names.index(name)
    weights = resampled(positive, RESAMPLES)
    arms = [a for a in run.in_order(test.records) if a in ARMS]
    found = {a: sensitivities(scores(test, name, a), positive, SPECIFICITY, weights) for a in arms}
    yield f"### {name.capitalize()}: {count(int(positive.sum()))} of {count(len(positive))} test rows"
    rows = []
    for a in arms:
        against = "" if a == "distilled" else in_points(difference(found["distilled"], found[a]))
        rows.append([run.arm(a).label, in_percent(sensitivity(found[a])), against])
    yield table(["On the test rows' own ROC curve", "Sensitivity", "Distilled less this, points"], rows)
    yield bullets(told(difference(found["distilled"], found[b]), name, NAMED[b]) for b in NAMED)


def sensitivity(sample: Sample) -> Interval:
    """The mean over the seeds with its interval; seeds do not multiply the cases, so that one net's cases count."""
    return share(Sample(sample.seeds, sample.replicates, sample.cubes, max(sample.rows // len(sample.seeds), 1)), 0.95)


def in_percent(found: Interval) -> str:
    """A share with its interval."""
    return with_interval(percent(found.value), f"{percent(found.low)} to {percent(found.high)}")


def in_points(found: Interval) -> str:
    """A difference of shares with its interval."""
    return with_interval(points(found.value), f"{points(found.low)} to {points(found.high)}")


def told(found: Interval, name: str, other: str) -> str:
    """A difference in words: what is lost is said as loudly as what is gained."""
    if found.low <= 0 <= found.high:
        return f"Against {other}: no difference in how many {name} rows are found is clear of chance."
    word = "fewer" if found.high < 0 else "more"
    size, low, high = (points(abs(x)).lstrip("+") for x in (found.value, found.low, found.high))
    low, high = (high, low) if found.high < 0 else (low, high)
    return (
        f"**Against {other}, the distilled student finds {word} of the {name} rows**: {size} points {word} "
        f"(95 % interval {low} to {high})."
    )


def thresholds(run: RunFiles, test: Predictions, valid: Predictions, name: str) -> Iterator[str]:
    """What the shipped student does at the threshold that the validation rows choose."""
    index = test.names.index(name)
    rows = []
    for a in ONE:
        cut = cutoff(valid, name, a)
        said, positive = first(test, name, a) > cut, test.targets == index
        hits, right = int((said & positive).sum()), int((~said & ~positive).sum())
        rows.append(
            [run.arm(a).label, shown(exact(hits, int(positive.sum()))), shown(exact(right, int((~positive).sum())))]
        )
    chosen = f"Threshold of {percent(SPECIFICITY, 0)} specificity on the validation rows; first seed"
    yield table([chosen, "Sensitivity on the test rows", "Specificity on the test rows"], rows)


def first(predictions: Predictions, name: str, seeds: str) -> NDArray[np.float64]:
    """The probability of a class by the arm's first net, which is the one that is shipped."""
    return scores(predictions, name, seeds)[0]


def cutoff(valid: Predictions, name: str, seeds: str) -> float:
    """The threshold of an arm's first net, from the validation rows."""
    return threshold_at(first(valid, name, seeds), valid.targets == valid.names.index(name), SPECIFICITY)


def shown(share: Share) -> str:
    """A share with its exact interval."""
    if not share.of:
        return "no case"
    value = percent(share.hits / share.of)
    return f"{value} ({share.hits} of {share.of:,}; {percent(share.low)} to {percent(share.high)})"


def calibrated(run: RunFiles) -> Iterator[str]:
    """The calibration figures of the report."""
    found = calibration.SECTION.values(run)
    if found:
        yield "## Calibration"
        rows = [
            [row["label"], *(c and with_interval(c["value"], c["interval"]) for c in row["cells"])]
            for row in found["rows"]
        ]
        yield table(["", *found["heads"][1:]], rows)


def groups(run: RunFiles, test: Predictions, valid: Predictions, classes: Sequence[str]) -> Iterator[str]:
    """Sensitivity in each group at the thresholds above, and the change of accuracy as the report judges it."""
    if not (run.folder / "groups.npz").exists():
        return
    with np.load(run.folder / "groups.npz", allow_pickle=False) as file:
        columns = {str(name): values for name, values in zip(file["names"], file["values"], strict=True)}
    yield "## Groups"
    for column, values in columns.items():
        rows = [
            [str(group), *(in_group(test, valid, name, values == group) for name in classes)]
            for group in sorted(set(map(str, values)), key=place)
        ]
        yield table([f"Distilled, by {column}", *(f"Sensitivity, {name}" for name in classes)], rows)
    for part in (changes.changes(run, {"classes": "class"}) or {}).get("groups", []):
        if part["first"] != "Class":
            yield table(
                [part["caption"], "Points", part["last"]],
                [[r["name"], with_interval(r["difference"], r["interval"]), r["word"]] for r in _all(part)],
            )


def place(group: str) -> tuple[bool, bool, float, str]:
    """Where a group stands in a table: quarters of numbers from low to high, other names by letter, gaps last."""
    number = re.search(r"-?\d+(\.\d+)?", group)
    return group == MISSING, not group.startswith("up to "), float(number[0]) if number else 0.0, group


def in_group(test: Predictions, valid: Predictions, name: str, inside: NDArray[np.bool_]) -> str:
    """Sensitivity of the shipped student among the rows of one group."""
    positive = (test.targets == test.names.index(name)) & inside
    said = first(test, name, "distilled") > cutoff(valid, name, "distilled")
    return shown(exact(int((said & positive).sum()), int(positive.sum())))


def _all(part: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [*part["rows"], *part["folded"]]
    return rows
