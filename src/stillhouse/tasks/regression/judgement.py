"""How regressors are judged: the share of the targets' variance that is explained, and errors in the targets' units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import RejectedError, UsageError, nearest
from stillhouse.evaluation.context import Context
from stillhouse.evaluation.gate import SHARED, Rule, difference, loss, measure
from stillhouse.evaluation.sentences import figure, share_of
from stillhouse.task import OUTPUTS, TEACHER, Floats, Measure, Record, Statistic
from stillhouse.tasks.judgement import Judge, Prepared
from stillhouse.tasks.regression import conformal, measures

FLAT = 1e-4  # of the targets' standard deviation: values that differ by less are the same
RADIUS = "radius"  # in a prepared record: half-widths (N, K) of the conformal intervals

MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "r2": Measure("explained variance (R2)", "share", True, (-np.inf, 1.0)),
        "rmse": Measure("RMSE", "target", False),
        "mae": Measure("mean absolute error", "target", False, row="value"),
        "spearman": Measure("rank correlation", "", True, (-1.0, 1.0)),
        "rse": Measure("squared error over the targets' variance", "share", False, row="value"),
        "coverage": Measure(
            f"coverage of {100 * conformal.LEVEL:g} % intervals",
            "share",
            True,
            (0.0, 1.0),
            row="value",
            proportion=True,
        ),
        "width": Measure(f"width of {100 * conformal.LEVEL:g} % intervals", "target", False, row="value"),
        "r2_teacher": Measure("teacher's variance explained (R2)", "share", True, (-np.inf, 1.0), listed=True),
        "rmse_teacher": Measure("RMSE to the teacher", "target", False),
        "mae_teacher": Measure("mean absolute difference from the teacher", "target", False, row="value"),
        "spearman_teacher": Measure("rank correlation with the teacher", "", True, (-1.0, 1.0)),
    }
)

# Figures of training, where targets are standardised
LOGGED: Mapping[str, Measure] = MappingProxyType(
    {
        "mse": Measure("mean squared error (in variances of the target)", "", False),
        "mae": Measure("mean absolute error (in standard deviations of the target)", "", False),
    }
)

# Limits that a gate may set, besides those of every task (``evaluation/gate.py``)
CRITERIA: Mapping[str, Rule] = MappingProxyType(
    {
        **SHARED,
        "max_r2_loss": Rule(loss(difference(TEACHER, "r2")), "bound"),
        "max_rmse": Rule(measure("rmse"), "bound"),  # in the target's units
        "min_coverage": Rule(measure("coverage"), "value"),
    }
)


class RegressionJudge(Judge):
    """Judges values (N, K) of K targets in the user's units; targets are (N, K), NaN where a row does not have one."""

    measures, logged = MEASURES, LOGGED
    headline, part_measure = "r2", "rse"
    table = ("r2", "rmse", "mae", "spearman", "coverage", "width")
    choices = ("r2", "rmse", "mae", "spearman")
    gate_measures = ("r2", "mae")
    criteria = CRITERIA

    def check_measure(self, name: str, argument: str, names: Sequence[str]) -> None:
        """Check that one of several targets follows ":"."""
        if argument and names and (argument not in names or len(names) == 1):
            raise UsageError(
                f"[evaluation] measure = '{name}:{argument}': the run has no target {argument!r} among several."
                f'{nearest(argument, names)} For the mean over the targets, write `measure = "{name}"`.'
            )

    def check_targets(self, targets: NDArray[Any], names: Sequence[str]) -> None:
        """Check that every row has a target."""
        if targets.ndim != 2 or targets.shape[1] != len(names):
            raise RejectedError(f"The targets have the shape {targets.shape}, but there are {len(names)} target names.")
        missing = int(np.isnan(targets).all(1).sum())
        if missing or np.isinf(targets).any():
            raise RejectedError(
                f"{missing} test rows have no target, and {int(np.isinf(targets).any(1).sum())} have an infinite one: "
                "they cannot be judged. Leave them out."
            )

    def prepare(self, records: Mapping[str, Mapping[str, Record]], valid: Any | None) -> Prepared:
        """Values, and the half-widths of conformal intervals, which are fitted on validation rows alone."""
        found = super().prepare(records, valid)
        if valid is None or not len(valid.rows):
            return found
        for arm, seeds in found.items():
            answers = valid.outputs(arm)
            for seed, record in seeds.items():
                if seed in answers:
                    radius = conformal.half_width(answers[seed], valid.targets)
                    seeds[seed] = {**record, RADIUS: np.broadcast_to(radius, record[OUTPUTS].shape)}
        return found

    def quality(self, record: Record, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Statistic]:
        """See ``measures.quality``."""
        return measures.quality(record[OUTPUTS], targets.astype(np.float64), names, record.get(RADIUS))

    def fidelity(self, record: Record, teacher: Record, targets: NDArray[Any]) -> dict[str, Statistic]:
        """See ``measures.fidelity``."""
        return measures.fidelity(record[OUTPUTS], teacher[OUTPUTS])

    def scale(self, name: str, targets: NDArray[Any]) -> float:
        """The standard deviation of the test targets, for measures in their units; the mean over several targets."""
        if self.measure(name).unit != "target":
            return 1.0
        return float(np.nanstd(targets.astype(np.float64), axis=0).mean())

    def parts(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, dict[str, Floats]]:
        """For one target: the quarters of the test rows by its size."""
        if len(names) > 1:
            return {}
        values = targets[:, 0].astype(np.float64)
        edges = np.unique(np.quantile(values, [0.25, 0.5, 0.75]))
        quarter = np.searchsorted(edges, values)
        ends = [f"{edge:.4g}" for edge in edges]
        titles = [f"up to {ends[0]}", *(f"above {low}" for low in ends)]
        return {"quarters": {t: (quarter == i).astype(np.float64) for i, t in enumerate(titles)}}

    def details(self, context: Context, arm: str) -> dict[str, Any]:
        """The half-widths of the conformal intervals, by seed and target."""
        radii = {s: r[RADIUS][0] for s, r in context.records[arm].items() if RADIUS in r}
        names = context.predictions.names
        if not radii:
            return {}
        halves = {
            seed: {n: float(x) if np.isfinite(x) else None for n, x in zip(names, radius, strict=True)}
            for seed, radius in radii.items()
        }
        return {"intervals": {"level": conformal.LEVEL, "half_widths": halves}}

    def alarm(self, context: Context) -> str:
        """The same values for all rows, or no better than their mean."""
        values = [record[OUTPUTS] for record in context.records[context.student].values()]
        spread = np.nanstd(context.predictions.targets.astype(np.float64), axis=0)
        flat = sum(bool((x.std(0) <= FLAT * spread).all()) for x in values)
        if flat and (spread > 0).any():
            return f"The student predicts the same value for every test row{share_of(flat, len(values))}."
        found = context.interval("r2", [s["r2"] for s in context.quality(context.student).values()])
        if found["value"] is None or found["low"] is None or found["low"] > 0:
            return ""
        return (
            "The test rows do not show that the student predicts better than the mean of the targets: R2 is "
            f"{figure(found)}."
        )

    def distance(self, student: Record, teacher: Record) -> Floats:
        """Absolute difference in standard deviations of the teacher's values; the mean over the targets."""
        ours, theirs = (np.asarray(r[OUTPUTS], np.float64) for r in (student, teacher))
        spread = theirs.std(0)
        gap: Floats = (np.abs(ours - theirs) / np.where(spread > 0, spread, 1.0)).mean(1)
        return gap
