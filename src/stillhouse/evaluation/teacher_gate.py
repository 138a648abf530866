"""Whether a teacher is good enough, checked before anything is distilled from it; the part that all tasks share.

The rule: a teacher that is measurably worse on the validation rows than the student trained without it is refused: the
test of their paired difference, by the first of the task's measures that the rows define (``task.gate_measures``). One
that is not better, by these measures in turn, gets a warning: on a hundred rows 93 right against 95 tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.evaluation.context import as_json
from stillhouse.evaluation.resampling import RowResamples
from stillhouse.evaluation.sentences import name as spoken
from stillhouse.evaluation.verdict import compare as paired
from stillhouse.task import SINGLE, TEACHER, Judgement, Measure, Record, Statistic

SAME_ANSWER = 1e-3  # largest change of a probability that rounding may explain when a row is asked in another batch
CONFIDENCE, RESAMPLES = 0.95, 2000  # of the comparison with the baseline
OVERLAPS = (("test", "train"), ("test", "labelled"), ("test", "valid"), ("valid", "train"))


def compare(
    task: Judgement, teacher: Record, baseline: Record, targets: NDArray[Any], names: Sequence[str]
) -> dict[str, Any]:
    """Teacher and baseline on the same rows.

    Returns:
        ``rows``; of each measure of the gate that the rows define, the figures of teacher and baseline by arm;
        ``better``, by the figures; ``worse``, by the test of the first measure's paired difference, which is
        ``difference`` with its 95 % interval.
    """
    arms = {TEACHER: teacher, task.questions[0].b: baseline}
    found = {arm: measured(task, record, targets, names) for arm, record in arms.items()}
    defined = [m for m in task.gate_measures if all(found[arm][m].rows for arm in arms)]
    figures = {m: {arm: float(found[arm][m].components.mean()) for arm in arms} for m in defined}
    ours, theirs = (
        [by_arm[arm] * (1 if task.measure(m).higher else -1) for m, by_arm in figures.items()] for arm in arms
    )
    facts = {"rows": len(targets), **figures, "better": ours > theirs}
    return facts | (_tested(task, defined[0], [found[arm] for arm in arms], len(targets)) if defined else {})


def measured(
    task: Judgement, record: Record, targets: NDArray[Any], names: Sequence[str], asked: str | None = None
) -> dict[str, Statistic]:
    """The measures of one net against the targets, with the one that is asked for."""
    prepared = task.prepare({TEACHER: {SINGLE: record}}, None)[TEACHER][SINGLE]
    found = task.quality(prepared, targets, names)
    if asked and asked not in found and (extra := task.statistic(asked, prepared, targets, names)):
        found |= {asked: extra}
    return found


def _tested(task: Judgement, name: str, found: Sequence[Mapping[str, Statistic]], rows: int) -> dict[str, Any]:
    """The paired difference of two nets, above zero where the first is better, and whether it is measurably worse."""
    a, b = (of_arm[name].components[None] for of_arm in found)
    counting = min(of_arm[name].rows for of_arm in found)
    resamples = RowResamples(rows, RESAMPLES)
    difference = paired(a, b, resamples, 0.0, CONFIDENCE, measure=task.measure(name), rows=counting)
    interval = difference.interval
    worse = difference.p <= 1 - CONFIDENCE and interval.high < 0
    return {"worse": bool(worse), "difference": {"measure": name, **as_json(interval)}}


def leakage(hashes: Mapping[str, NDArray[np.uint64]]) -> dict[str, int]:
    """Count the test and validation rows whose inputs are also training rows.

    Args:
        hashes: content of each row of the parts ``train``, ``valid``, ``test`` and ``labelled``.

    >>> parts = {"train": [1, 2, 3], "labelled": [1], "valid": [9], "test": [1, 2, 2, 7]}
    >>> leakage({name: np.array(rows, np.uint64) for name, rows in parts.items()})["test_in_train"]
    3
    """
    shared = {f"{a}_in_{b}": int(np.isin(hashes[a], hashes[b]).sum()) for a, b in OVERLAPS}
    return {"test_rows": len(hashes["test"]), "valid_rows": len(hashes["valid"]), **shared}


def problems(task: Judgement, finding: Mapping[str, Any]) -> list[dict[str, str]]:
    """Findings against this teacher: ``finding`` and ``cure``, a sentence each."""
    found = task.problems(finding)
    if finding.get("steady") is False:
        found.append(
            {
                "finding": "Its answer to a row depends on the other rows of the batch, so the stored outputs would "
                "not be its outputs: layers that use the statistics of the batch are in training mode.",
                "cure": "Set these layers to eval mode in its own `forward`.",
            }
        )
    against = finding.get("comparison")
    if against and against.get("worse", not against["better"]):
        has = _both(task, against)
        found.append({"finding": f"{has} It adds nothing to the labels.", "cure": "Give a better teacher."})
    return found


def _both(task: Judgement, against: Mapping[str, Any]) -> str:
    """The figures of teacher and baseline in a sentence."""
    baseline = task.questions[0].b
    theirs, ours = (_figures(task, against, arm) for arm in (TEACHER, baseline))
    return f"On the {against['rows']:,} validation rows it has {theirs}; {spoken(task, baseline, {})} has {ours}."


def _figures(task: Judgement, against: Mapping[str, Any], arm: str) -> str:
    """The measures of the gate in words: "accuracy 85.0 % (negative log-likelihood 0.432)"."""
    found = [(task.measure(name), against[name][arm]) for name in task.gate_measures if name in against]
    first, *rest = [f"{m.label} {_written(m, x)}" for m, x in found]
    return first + (f" ({', '.join(rest)})" if rest else "")


def in_sample(
    task: Judgement, train: tuple[Record, NDArray[Any]], valid: tuple[Record, NDArray[Any]], names: Sequence[str]
) -> dict[str, Any] | None:
    """The first measure of the gate on training and on validation rows; None where one side does not define it.

    Args:
        task: of the run.
        train: records and targets of training rows, as the teacher will answer them for the student.
        valid: the same of validation rows.
        names: of classes or targets.

    Returns:
        ``measure``, ``train``, ``valid``, and ``suspect``: the error on training rows is less than half of that on
        validation rows, and the difference is more than three standard errors.
    """
    key, found = task.gate_measures[0], []
    for record, targets in (train, valid):
        found.append(measured(task, record, targets, names)[key])
    if not all(one.rows > 1 for one in found):
        return None
    measure = task.measure(key)
    there, here = (float(one.components.mean()) for one in found)
    seen, unseen = (abs(measure.bounds[1] - x) if measure.higher else x for x in (there, here))
    error = float(np.sqrt(sum(one.components.var(ddof=1) / len(one.components) for one in found)))
    suspect = seen < unseen / 2 and unseen - seen > 3 * error
    return {"measure": key, "train": there, "valid": here, "suspect": bool(suspect)}


def in_sample_warnings(task: Judgement, finding: Mapping[str, Any]) -> list[str]:
    """A warning about a teacher that answers training rows from memory."""
    found = finding.get("in_sample")
    if not (found and found["suspect"]):
        return []
    measure = task.measure(found["measure"])
    there, here = (_written(measure, found[side]) for side in ("train", "valid"))
    cure = (
        "Let each row be answered by a model that has not seen it: name a teacher that is trained here, with "
        '`[teacher] name = "random_forest"` and `folds = 5`; or give the unfitted model to `stillhouse.Distiller`.'
        if finding["handed_over"]
        else "Set `[teacher] folds = 5`: each row is then answered by a net that has not seen it."
    )
    return [
        f"The teacher seems to have been fitted on these training rows: its {measure.label} is {there} there and "
        f"{here} on validation rows. The student then learns labels from memory, not what the teacher knows. {cure}"
    ]


def _written(measure: Measure, value: float) -> str:
    return f"{100 * value:.1f} %" if measure.unit == "share" else f"{value:.3f}"


def warnings(task: Judgement, finding: Mapping[str, Any]) -> list[str]:
    """Warnings about the teacher and the rows for readers of the judgement, one sentence each."""
    found = [f"The teacher was accepted in spite of this finding: {p['finding']}" for p in finding["problems"]]
    found += in_sample_warnings(task, finding)
    against = finding.get("comparison")
    if against and not against["better"] and not against.get("worse", True):
        found.append(
            f"It could not be shown that the teacher is better than its student without it. {_both(task, against)}"
        )
    if against is None:
        baseline = spoken(task, task.questions[0].b, {})
        found.append(f"It was not checked whether the teacher is better than {baseline}: {finding['why']}.")
    shared = finding["leakage"]
    if shared["test_in_train"]:
        found.append(
            f"{shared['test_in_train']:,} of {shared['test_rows']:,} test rows have the same inputs as a training row "
            f"({shared['test_in_labelled']:,} as a labelled one): on these, memorising looks like skill. Remove "
            "duplicates."
        )
    return found
