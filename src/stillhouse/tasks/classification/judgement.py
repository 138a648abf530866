"""How classifiers are judged: from log-probabilities to accuracy and similar measures, calibration and fidelity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.targets import UNLABELLED
from stillhouse.errors import RejectedError, UsageError
from stillhouse.evaluation.context import Context, as_json
from stillhouse.evaluation.gate import SHARED, Figure, Rule, difference, entry, loss, worst
from stillhouse.evaluation.statistics import mean
from stillhouse.evaluation.teacher_gate import SAME_ANSWER
from stillhouse.task import OUTPUTS, TEACHER, TEMPERATURE, Control, Floats, Measure, Record, Statistic
from stillhouse.tasks.classification import calibration, collapse, fidelity, gate_findings, quality, sensitivity
from stillhouse.tasks.controls import CONTROLS, LABELS_ONLY, TEACHERS
from stillhouse.tasks.judgement import Judge, Prepared

FLOOR = float(np.log(np.finfo(np.float32).tiny))  # a probability of 0 counts as 1.2e-38, so that losses stay finite
SUM_TOLERANCE = 1e-2  # of a row's probabilities: float16 answers of 1,000 classes still pass, logits do not
TEMPERED = "labels_only_tempered"
BETTER_ACCURACY = ("more accurate", "less accurate")


def _share(label: str, row: Any = "effect", *, higher: bool = True, listed: bool = False) -> Measure:
    return Measure(label, "share", higher, (0.0, 1.0), row=row, proportion=True, listed=listed)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "accuracy": _share("accuracy", "hit")._replace(comparative=BETTER_ACCURACY),
        "balanced_accuracy": _share("balanced accuracy"),
        "macro_f1": _share("macro F1"),
        "log_likelihood": Measure("log-likelihood", "nats", True, (-np.inf, 0.0), row="value"),
        "nll": Measure("negative log-likelihood", "nats", False, row="value"),
        "brier": Measure("Brier score", "", False, (0.0, 2.0), row="value"),
        "auc": _share("area under the ROC curve"),
        "aurc": Measure("area under the risk-coverage curve", "", False, (0.0, 1.0)),
        "sensitivity": _share("sensitivity"),
        "agreement": _share("agreement with the teacher", "value", listed=True),
        "agreement_teacher_right": _share("agreement where the teacher is right"),
        "agreement_teacher_wrong": _share("agreement where the teacher is wrong"),
        "negative_flips": _share("negative flips: only the teacher is right", "value", higher=False),
        "positive_flips": _share("positive flips: only the student is right", "value"),
        "rank_correlation": Measure("rank correlation of the classes", "", True, (-1.0, 1.0), row="value"),
        "total_variation": Measure("total variation to the teacher", "", False, (0.0, 1.0), row="value"),
        "kl": Measure("KL divergence from the teacher", "nats", False, row="value"),
        "kl_teacher_right": Measure("KL where the teacher is right", "nats", False),
        "kl_teacher_wrong": Measure("KL where the teacher is wrong", "nats", False),
    }
)


def _ece(scores: Mapping[str, Any]) -> Figure:
    """The calibration error, a share: removing the bias may move the end of an interval beyond 1."""
    found = entry(scores).get("calibration", {}).get("ece")
    if not found:
        return Figure(None)
    value, low, high = (None if found[key] is None else min(found[key], 1.0) for key in ("value", "low", "high"))
    return Figure(value, low, high)


# Limits that a gate may set, besides those of every task (``evaluation/gate.py``)
CRITERIA: Mapping[str, Rule] = MappingProxyType(
    {
        **SHARED,
        "max_accuracy_loss": Rule(loss(difference(TEACHER, "accuracy")), "bound"),
        "max_class_loss": Rule(loss(worst("classes")), "value"),
        "max_ece": Rule(_ece, "bound"),
    }
)


def floored(log_probs: NDArray[np.floating]) -> Floats:
    """Log-probabilities as float64 with a floor, so that losses stay finite where a probability is exactly 0."""
    return np.maximum(log_probs.astype(np.float64), FLOOR)


class ClassificationJudge(Judge):
    """Judges log-probabilities (N, C) of C classes; targets are (N,) in [0, C)."""

    measures = MEASURES
    headline = part_measure = "accuracy"
    table = ("accuracy", "nll", "agreement")
    choices = ("accuracy", "balanced_accuracy", "macro_f1", "log_likelihood", "auc", "brier", "sensitivity")
    gate_measures = ("accuracy", "nll")
    criteria = CRITERIA
    others: Mapping[str, Control] = MappingProxyType(
        {
            **TEACHERS,
            TEMPERED: CONTROLS[LABELS_ONLY]._replace(
                name=TEMPERED, label="Labels only, temperature fitted", style=("arm-control", "square")
            ),
        }
    )

    def measure(self, name: str) -> Measure:
        """The measure of a name; "sensitivity:sick@0.95" names a class and a specificity."""
        base, _, argument = name.partition(":")
        if base != "sensitivity":
            return super().measure(name)
        of, _, at = argument.rpartition("@")
        label = f"sensitivity to {of} at a specificity of {100 * float(at):g} %" if of else "sensitivity"
        return MEASURES[base]._replace(label=label)

    def check_measure(self, name: str, argument: str, names: Sequence[str]) -> None:
        """Check that a sensitivity has a class and a specificity, and that "auc" has two classes."""
        if name == "sensitivity":
            sensitivity.parse(argument, names)
            return
        super().check_measure(name, argument, names)
        if name == "auc" and len(names) not in (0, 2):
            raise UsageError(
                f"[evaluation] measure = 'auc' is for two classes, but there are {len(names)}: write "
                f'`measure = "balanced_accuracy"`, or `measure = "sensitivity:{names[0]}@0.95"`.'
            )

    def check_targets(self, targets: NDArray[Any], names: Sequence[str]) -> None:
        """Every row has a class, or none has one."""
        if (targets == UNLABELLED).all():
            return
        if not (targets.min() >= 0 and targets.max() < len(names)):
            raise RejectedError(
                f"A target is outside 0 ... {len(names) - 1}, the {len(names)} classes; "
                "rows without a label cannot be judged: leave them out."
            )

    def check_record(self, record: Record, targets: NDArray[Any], names: Sequence[str], rows: NDArray[Any]) -> str:
        """Log-probabilities: the probabilities of each row add up to 1."""
        values, shape = record[OUTPUTS], (len(targets), len(names))
        if values.shape != shape:
            return f" has the shape {values.shape}, but there are {shape[0]} rows and {shape[1]} classes."
        probabilities = np.exp(values.astype(np.float64))
        bad = np.flatnonzero(~(np.abs(probabilities.sum(1) - 1) <= SUM_TOLERANCE))
        if not len(bad):
            return ""
        return (
            f": {len(bad)} rows are not log-probabilities (NaN, or probabilities that do not add up to 1), "
            f"the first are rows {rows[bad[:5]].tolist()}. Give log_softmax of the logits."
        )

    def prepare(self, records: Mapping[str, Mapping[str, Record]], valid: Any | None) -> Prepared:
        """Log-probabilities with a floor, and the control at the temperature that fits the validation rows.

        Where students ship with a temperature of their own, the control has it already.
        """
        found: Prepared = {
            arm: {seed: {**record, OUTPUTS: floored(record[OUTPUTS])} for seed, record in seeds.items()}
            for arm, seeds in records.items()
        }
        ships_one = any(TEMPERATURE in record for seeds in records.values() for record in seeds.values())
        if valid is not None and len(valid.rows) and LABELS_ONLY in found and not ships_one:
            answers = valid.outputs(LABELS_ONLY)
            fitted = {
                s: calibration.fit_temperature(floored(answers[s]), valid.targets)
                for s in found[LABELS_ONLY]
                if s in answers
            }
            tempered: dict[str, Record] = {
                s: {
                    OUTPUTS: calibration.temper(found[LABELS_ONLY][s][OUTPUTS], t),
                    TEMPERATURE: np.full(len(found[LABELS_ONLY][s][OUTPUTS]), t),
                }
                for s, t in fitted.items()
            }
            found |= {TEMPERED: tempered} if tempered else {}
        return found

    def quality(self, record: Record, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Statistic]:
        """See ``quality.quality``."""
        return quality.quality(record[OUTPUTS], targets)

    def fidelity(self, record: Record, teacher: Record, targets: NDArray[Any]) -> dict[str, Statistic]:
        """See ``fidelity.fidelity``."""
        return fidelity.fidelity(record[OUTPUTS], teacher[OUTPUTS], targets)

    def statistic(self, name: str, record: Record, targets: NDArray[Any], names: Sequence[str]) -> Statistic | None:
        """Log-likelihood, and the sensitivity to a class."""
        base, _, argument = name.partition(":")
        log_probs = record[OUTPUTS]
        if base == "log_likelihood":
            return mean(np.take_along_axis(log_probs, targets[:, None], 1)[:, 0])
        if base != "sensitivity":
            return None
        of, specificity = sensitivity.parse(argument, names)
        which = names.index(of)
        # Two classes: the log-odds, which still differ where probabilities round to 1.
        scores = log_probs[:, which] - log_probs[:, 1 - which] if len(names) == 2 else log_probs[:, which]
        return sensitivity.sensitivity(scores, targets == which, specificity)

    def parts(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, dict[str, Floats]]:
        """The rows of each class."""
        return {"classes": {name: (targets == c).astype(np.float64) for c, name in enumerate(names)}}

    def details(self, context: Context, arm: str) -> dict[str, Any]:
        """Calibration, the upper limits of agreement, the temperatures that were fitted, and the figures without."""
        records, targets = context.records[arm], context.predictions.targets
        nets, found = {seed: record[OUTPUTS] for seed, record in records.items()}, dict[str, Any]()
        if context.tested:
            errors = {seed: {"ece": gate_findings.own_calibration(x, targets)["ece"]} for seed, x in nets.items()}
            found = {"calibration": _calibration(context, list(nets.values())), "seeds": errors}
        if reference := context.reference(arm):
            found["fidelity"] = {"ceiling": _ceiling(context, arm, reference)}
        if any(TEMPERATURE in record for record in records.values()):
            found["temperatures"] = {seed: float(record[TEMPERATURE][0]) for seed, record in records.items()}
            found |= {"unfitted": _unfitted(context, records)} if context.tested and arm != TEMPERED else {}
        return found

    def alarm(self, context: Context) -> str:
        """One class for all rows, or no better than chance."""
        return collapse.alarm(context)

    def examine(
        self, teacher: Record, baseline: Record | None, targets: NDArray[Any], names: Sequence[str]
    ) -> dict[str, Any]:
        """The order of the classes, the comparison with the baseline, and the teacher's calibration."""
        log_probs = floored(teacher[OUTPUTS])
        return {
            "class_order": gate_findings.class_order(log_probs, targets, names),
            **super().examine(teacher, baseline, targets, names),
            "calibration": None if baseline is None else gate_findings.own_calibration(log_probs, targets),
        }

    def problems(self, finding: Mapping[str, Any]) -> list[dict[str, str]]:
        """A finding if another order of the classes fits better."""
        order = finding.get("class_order") or {}
        if not order.get("suspect"):
            return []
        named = ", ".join(f"{t!r} {s!r}" for t, s in list(order["moved"].items())[:5])
        found = (
            f"It seems to answer in another order of the classes: it calls {named}. In that order "
            f"{100 * order['best_accuracy']:.1f} % of {order['rows']:,} labelled rows would be right; as given, "
            f"{100 * order['accuracy']:.1f} % are."
        )
        return [{"finding": found, "cure": "List the classes in its order as `[data] classes = [...]`."}]

    def same_answers(self, together: NDArray[Any], apart: NDArray[Any]) -> bool:
        """No probability differs by more than a thousandth."""
        return bool(np.abs(np.exp(floored(together)) - np.exp(floored(apart))).max(initial=0.0) <= SAME_ANSWER)

    def distance(self, student: Record, teacher: Record) -> Floats:
        """Total variation of the probabilities, 0 to 1."""
        gap: Floats = np.abs(np.exp(teacher[OUTPUTS]) - np.exp(student[OUTPUTS])).sum(1) * 0.5
        return gap


def _calibration(context: Context, nets: list[Floats]) -> dict[str, Any]:
    targets, confidence = context.predictions.targets, context.confidence
    pairs = [(np.exp(net.max(1)), (net.argmax(1) == targets).astype(np.float64)) for net in nets]
    top = [calibration.squared_error(sure, right) for sure, right in pairs]
    by_class = [calibration.class_squared_error(net, targets) for net in nets]
    return {
        "ece": as_json(calibration.root_interval(top, confidence)),
        "ece_plain": float(np.mean([calibration.plain_error(sure, right) for sure, right in pairs])),
        "class_ece": as_json(calibration.root_interval(by_class, confidence)),
        "bins": calibration.BINS,
        "reliability": calibration.reliability_curve(nets, targets, confidence),
        "risk_coverage": calibration.risk_coverage_curve(nets, targets),
    }


def _unfitted(context: Context, records: Mapping[str, Record]) -> dict[str, Any]:
    """Log-loss and calibration error of an arm at the confidence that it had before its temperature was fitted."""
    targets = context.predictions.targets
    nets = [calibration.temper(record[OUTPUTS], 1 / float(record[TEMPERATURE][0])) for record in records.values()]
    top = [calibration.squared_error(np.exp(x.max(1)), (x.argmax(1) == targets).astype(np.float64)) for x in nets]
    return {
        "nll": context.interval("nll", [quality.quality(x, targets)["nll"] for x in nets]),
        "ece": as_json(calibration.root_interval(top, context.confidence)),
    }


def _ceiling(context: Context, arm: str, reference: str) -> dict[str, float | None]:
    """Upper limits of agreement: that of two seeds of this arm, and that of a second teacher."""
    tops = {a: next(iter(context.records[a].values()))[OUTPUTS].argmax(1) for a in context.teachers}
    other = next((a for a in tops if a != reference), None)
    nets = {seed: record[OUTPUTS] for seed, record in context.records[arm].items()}
    return {
        "between_seeds": fidelity.agreement_between(nets),
        "second_teacher": float((tops[reference] == tops[other]).mean()) if other else None,
    }
