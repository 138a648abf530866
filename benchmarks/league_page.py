"""From hits on test rows to the league's table: gaps recovered with intervals, and each method against hinton."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import NamedTuple

import numpy as np
from benchmarks.league_entries import HINTON, NOT_APPLICABLE, TRIALS
from benchmarks.league_plot import Line, Panel, draw
from numpy.typing import NDArray

from stillhouse.evaluation.resampling import Interval, RowResamples, Statistic, two_level
from stillhouse.evaluation.verdict import Difference, compare, holm
from stillhouse.files import write_atomic

Floats = NDArray[np.float64]
CONFIDENCE, MARGIN, RESAMPLES = 0.95, 0.01, 4000
TITLES = {
    "mnist5k": "MNIST-5k: 200 labels and a pool of 3,800 rows",
    "mnist1d": "MNIST-1D: 4,000 labels, convolutions teach a perceptron",
}


class Row(NamedTuple):
    """One entry of one world, played."""

    name: str
    family: str
    setting: str
    valid: float  # accuracy of the chosen trial on validation rows
    hits: list[str]  # by seed, 1 for each test row that is right


class WorldResult(NamedTuple):
    """All that was played in one world."""

    name: str
    rows: list[Row]
    labels_only: list[str]
    teacher: str
    parameters: dict[str, int]
    lr: float
    seconds: float  # of one core
    failed: list[str]


class Judged(NamedTuple):
    """A row of the table."""

    row: Row
    accuracy: float
    gap: Interval
    against_hinton: Difference
    p: float  # of no difference to hinton, Holm's over the world


def as_array(hits: Sequence[str]) -> Floats:
    """(S, N), 1 where right."""
    return np.array([[int(c) for c in line] for line in hits], dtype=np.float64)


def gap_recovered(distilled: Floats, scratch: Floats, teacher: Floats, resamples: RowResamples) -> Interval:
    """(distilled - scratch) / (teacher - scratch) with its two-level interval.

    A ratio is no mean over rows; it is written as itself plus each row's first-order effect, so that resampling the
    effects is resampling the ratio to first order.

    Args:
        distilled: (S, N), 1 where right.
        scratch: (S, N), the same seeds.
        teacher: (1, N).
        resamples: of the N rows.
    """
    whole = teacher.mean() - scratch.mean()
    ratio = (distilled.mean() - scratch.mean()) / whole
    effects = ratio + ((distilled - scratch) - ratio * (teacher - scratch)) / whole
    return two_level(resamples.sample([Statistic(seed, effects.shape[1]) for seed in effects]), CONFIDENCE)


def judge(result: WorldResult) -> list[Judged]:
    """Every row with its figures, the most recovered first."""
    scratch, teacher = as_array(result.labels_only), as_array([result.teacher])
    resamples = RowResamples(scratch.shape[1], RESAMPLES)
    played = {row.name: as_array(row.hits) for row in result.rows}
    against = {n: compare(hits, played[HINTON], resamples, MARGIN, CONFIDENCE) for n, hits in played.items()}
    others = [n for n in played if n != HINTON]
    adjusted = dict(zip(others, holm([against[n].p for n in others]), strict=True))
    found = [
        Judged(
            row,
            float(played[row.name].mean()),
            gap_recovered(played[row.name], scratch, teacher, resamples),
            against[row.name],
            adjusted.get(row.name, 1.0),
        )
        for row in result.rows
    ]
    return sorted(found, key=lambda judged: -judged.gap.value)


def write_page(out: Path, results: Sequence[WorldResult], *, steps: int, seeds: int, only: Sequence[str] = ()) -> None:
    """Write ``league.md`` and ``league.svg``; where only some play, ``league_some.md`` without a picture."""
    tables = [(result, judge(result)) for result in results]
    worlds = "".join(_world(result, table) for result, table in tables)
    if only:
        write_atomic(out / "league_some.md", (_head_of_some(results, steps, seeds, only) + worlds).encode())
        return
    write_atomic(out / "league.md", (_head(results, steps, seeds) + worlds).encode())
    panels = [Panel(TITLES[result.name], [_line(judged) for judged in table]) for result, table in tables]
    write_atomic(out / "league.svg", draw(panels).encode())


def _line(judged: Judged) -> Line:
    return Line(judged.row.name, *judged.gap, reference=judged.row.name == HINTON)


def _head(results: Sequence[WorldResult], steps: int, seeds: int) -> str:
    hours = sum(result.seconds for result in results) / 3600
    versions = ", ".join(f"{name} {version(name)}" for name in ("stillhouse", "torch", "numpy", "mnist1d"))
    out = "; ".join(f"{name} {why}" for name, why in NOT_APPLICABLE.items())
    return f"""# The league

Every applicable method in two small worlds, equally tuned. Written by `python -m benchmarks.league --steps {steps}
--seeds {seeds}` in {hours:.1f} hours of one core, with {versions}, Python {python_version()}.

**These are small worlds**: students of some four thousand parameters, {steps} steps, 1,000 test rows, one draw of the
labelled rows, one teacher. An order of methods found here need not hold for another size, data set or budget; a method
that does nothing here may do much where its paper tried it.

*Gap recovered* = (distilled - labels only) / (teacher - labels only), in accuracy on test rows: 0 % is the same student
trained on its labels alone, 100 % the teacher. Intervals are of 95 %, over {seeds} seeds and the test rows
(`docs/statistics.md`). *Against hinton* is the paired difference in points of accuracy; a method is said to differ from
hinton where that interval excludes 0 and Holm's p over all methods of the world is at most 0.05.

All have the same budget: {steps} steps of {128} rows, the same optimiser, order of rows and initial students, and
{TRIALS} trials on validation rows: the share of the gradient norm that the method gets beside the labels
(`[training] balance = "gradient"`), times one knob of its own (temperature, layer, or what its paper tunes); hinton's
knob is its temperature. The learning rate is the one that is best for labels only. Tuning has its own split, its own
teacher and its own seed; the final fits train on all training rows, and test rows are touched once.
Label smoothing is the control without a teacher; function matching is hinton on mixup views without labels, here with
the same short schedule as the rest, though it is meant for a long one.
Not played: {out}. Born-again generations and teacher assistants are runs of several teachers, not methods, and are not
played either. Methods that came later stand on [a page of their own](league_some.md).

![Gap recovered by each method in both worlds](league.svg)
"""


def _head_of_some(results: Sequence[WorldResult], steps: int, seeds: int, only: Sequence[str]) -> str:
    hours = sum(result.seconds for result in results) / 3600
    return f"""# Methods that came after the league

Written by `python -m benchmarks.league --steps {steps} --seeds {seeds} --only {" ".join(only)}` in {hours:.1f} hours of
one core: the worlds, the tuning and the words are those of [the league](league.md), and hinton plays again beside them.
"""


def _world(result: WorldResult, table: Sequence[Judged]) -> str:
    scratch, teacher = as_array(result.labels_only).mean(), as_array([result.teacher]).mean()
    lines = [
        f"\n## {TITLES[result.name]}\n",
        f"Labels only {100 * scratch:.1f} %, teacher {100 * teacher:.1f} % of the test rows right; student "
        f"{result.parameters['student']:,} parameters, teacher {result.parameters['teacher']:,}; learning rate "
        f"{result.lr:g}.\n",
        *_statements(table, result),
        "\n| method | family | accuracy % | gap recovered % | against hinton, points | p | chosen on validation rows |",
        "|---|---|---|---|---|---|---|",
        *map(_table_row, table),
    ]
    return "\n".join(lines) + "\n"


def _statements(table: Sequence[Judged], result: WorldResult) -> list[str]:
    """What the figures say, in words."""
    helps = [j.row.name for j in table if j.gap.low > 0]
    harms = [j.row.name for j in table if j.gap.high < 0]
    unclear = [j.row.name for j in table if j.gap.low <= 0 <= j.gap.high]
    above = [j.row.name for j in table if _differs(j) and j.against_hinton.interval.value > 0]
    below = [j.row.name for j in table if _differs(j) and j.against_hinton.interval.value < 0]
    others = len(table) - 1
    said = [
        f"* Better than labels only ({len(helps)} of {len(table)}): {_listed(helps)}.",
        f"* Not told apart from labels only: {_listed(unclear)}.",
        f"* Worse than labels only: {_listed(harms)}.",
        f"* Better than well-tuned hinton ({len(above)} of {others}): {_listed(above)}.",
        f"* Worse than well-tuned hinton ({len(below)} of {others}): {_listed(below)}. "
        f"The other {others - len(above) - len(below)} are not told apart from it.",
    ]
    return said + ([f"* Training failed: {_listed(result.failed)}."] if result.failed else [])


def _differs(judged: Judged) -> bool:
    low, high = judged.against_hinton.interval.low, judged.against_hinton.interval.high
    return judged.p <= 1 - CONFIDENCE and not low <= 0 <= high


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _table_row(judged: Judged) -> str:
    row, gap, against = judged.row, judged.gap, judged.against_hinton.interval
    own = row.name == HINTON
    difference = "-" if own else f"{100 * against.value:+.1f} [{100 * against.low:+.1f}, {100 * against.high:+.1f}]"
    p = "-" if own or math.isnan(judged.p) else f"{judged.p:.3f}"
    recovered = f"{100 * gap.value:.0f} [{100 * gap.low:.0f}, {100 * gap.high:.0f}]"
    name = f"**{row.name}**" if own else row.name
    accuracy = f"{100 * judged.accuracy:.1f}"
    return f"| {name} | {row.family} | {accuracy} | {recovered} | {difference} | {p} | {row.setting} |"
