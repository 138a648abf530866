"""How several labels for each row are judged, from the log-odds of each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import RejectedError, UsageError, nearest
from stillhouse.evaluation.context import Context
from stillhouse.evaluation.gate import SHARED, Rule, difference, loss, measure, worst
from stillhouse.evaluation.sentences import figure, share_of
from stillhouse.evaluation.teacher_gate import SAME_ANSWER
from stillhouse.task import OUTPUTS, TEACHER, TEMPERATURE, Floats, Measure, Record, Statistic
from stillhouse.tasks.judgement import Judge
from stillhouse.tasks.multilabel import measures


def _share(label: str, row: Any = "effect", *, proportion: bool = True, listed: bool = False) -> Measure:
    return Measure(label, "share", True, (0.0, 1.0), row=row, proportion=proportion, listed=listed)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "micro_f1": _share("micro F1"),
        "macro_f1": _share("macro F1"),
        "auc": _share("area under the ROC curve"),
        "label_accuracy": _share("label accuracy", "value"),
        "subset_accuracy": _share("share of rows with all labels right", "hit"),
        "log_loss": Measure("log loss of a label", "nats", False, row="value"),
        "agreement": _share("agreement with the teacher", "value", listed=True),
        "agreement_f1": _share("micro F1 against the teacher's labels"),
        "kl": Measure("KL divergence from the teacher", "nats", False, row="value"),
        "total_variation": Measure(
            "difference of the probabilities from the teacher's", "", False, (0.0, 1.0), row="value"
        ),
    }
)

# Limits that a gate may set, besides those of every task (``evaluation/gate.py``)
CRITERIA: Mapping[str, Rule] = MappingProxyType(
    {
        **SHARED,
        "max_f1_loss": Rule(loss(difference(TEACHER, "micro_f1")), "bound"),
        "max_label_loss": Rule(loss(worst("labels")), "value"),  # in the label accuracy of the rows that have the label
        "min_macro_f1": Rule(measure("macro_f1"), "bound"),
    }
)


class MultilabelJudge(Judge):
    """Judges log-odds (N, L) of L labels; targets are (N, L) of 0 and 1, NaN where a label is unknown.

    The headline is micro F1, a ratio of sums with one number for each row. Label accuracy mostly counts labels that are
    correctly absent: a student that predicts no label would score high. Macro F1 depends on the rarest labels.
    """

    measures = MEASURES
    headline, part_measure = "micro_f1", "label_accuracy"
    table = ("micro_f1", "macro_f1", "auc", "label_accuracy", "log_loss", "agreement")
    choices = ("micro_f1", "macro_f1", "auc", "label_accuracy", "subset_accuracy", "log_loss")
    gate_measures = ("micro_f1", "log_loss")
    criteria = CRITERIA

    def check_measure(self, name: str, argument: str, names: Sequence[str]) -> None:
        """Check that "auc:" is followed by a label."""
        if name != "auc":
            super().check_measure(name, argument, names)
        elif argument and names and argument not in names:
            raise UsageError(
                f"[evaluation] measure = 'auc:{argument}': no label {argument!r}.{nearest(argument, names)}"
            )

    def check_targets(self, targets: NDArray[Any], names: Sequence[str]) -> None:
        """Check that every row has a known label, or none has one, and that all are 0 or 1."""
        if targets.ndim != 2 or targets.shape[1] != len(names):
            raise RejectedError(f"The targets have the shape {targets.shape}, but there are {len(names)} labels.")
        known = ~np.isnan(targets)
        if not np.isin(targets[known], (0, 1)).all():
            raise RejectedError("The labels of a row must be 0, 1, or missing, but there are other numbers among them.")
        missing = int((~known).all(1).sum())
        if 0 < missing < len(targets):
            raise RejectedError(f"{missing} test rows have no known label and cannot be judged: leave them out.")

    def quality(self, record: Record, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Statistic]:
        """See ``measures.quality``."""
        return measures.quality(record[OUTPUTS], targets.astype(np.float64), names)

    def fidelity(self, record: Record, teacher: Record, targets: NDArray[Any]) -> dict[str, Statistic]:
        """See ``measures.fidelity``."""
        return measures.fidelity(record[OUTPUTS], teacher[OUTPUTS])

    def parts(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, dict[str, Floats]]:
        """The rows that have each label."""
        return {"labels": {name: (targets[:, k] == 1).astype(np.float64) for k, name in enumerate(names)}}

    def details(self, context: Context, arm: str) -> dict[str, Any]:
        """The temperatures that were fitted, and the log loss without them."""
        fitted = {seed: record for seed, record in context.records[arm].items() if TEMPERATURE in record}
        if not fitted:
            return {}
        temperatures = {seed: float(record[TEMPERATURE][0]) for seed, record in fitted.items()}
        if not context.tested:
            return {"temperatures": temperatures}
        targets, names = context.predictions.targets.astype(np.float64), context.predictions.names
        found = [measures.quality(fitted[s][OUTPUTS] * t, targets, names) for s, t in temperatures.items()]
        return {
            "temperatures": temperatures,
            "unfitted": {"log_loss": context.interval("log_loss", [one["log_loss"] for one in found])},
        }

    def alarm(self, context: Context) -> str:
        """The same labels for all rows, or no better than chance."""
        said = [record[OUTPUTS] >= 0 for record in context.records[context.student].values()]
        same = [bool((x == x[:1]).all()) for x in said]
        targets = context.predictions.targets
        if any(same) and (targets != targets[:1]).any():
            which = said[same.index(True)][0]
            named = ", ".join(repr(n) for n, yes in zip(context.predictions.names, which, strict=True) if yes)
            what = f"the labels {named}" if named else "no label"
            return f"The student gives every test row {what}{share_of(sum(same), len(same))}."
        areas = [s["auc"] for s in context.quality(context.student).values()]
        found = context.interval("auc", areas) if all(s.rows for s in areas) else {"low": None}
        if found["low"] is None or found["low"] > 0.5:
            return ""
        return (
            "The test rows do not show that the student is better than chance: the mean area under the ROC curve is "
            f"{figure(found)}, and chance is 50.0 %."
        )

    def same_answers(self, together: NDArray[Any], apart: NDArray[Any]) -> bool:
        """No probability differs by more than a thousandth."""
        return bool(np.abs(_probabilities(together) - _probabilities(apart)).max(initial=0.0) <= SAME_ANSWER)

    def distance(self, student: Record, teacher: Record) -> Floats:
        """Difference of the probabilities, 0 to 1, the mean over the labels."""
        gap: Floats = np.abs(_probabilities(student[OUTPUTS]) - _probabilities(teacher[OUTPUTS])).mean(1)
        return gap


def _probabilities(log_odds: NDArray[Any]) -> Floats:
    from scipy.special import expit

    found: Floats = expit(log_odds.astype(np.float64))
    return found
