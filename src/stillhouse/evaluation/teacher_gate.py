"""Whether a teacher is fit to teach, asked before anything is distilled from it.

The rule: on the validation rows the teacher must have more rows right than the student trained on the labels alone, or
as many and a better likelihood. Point estimates decide, not intervals: validation rows are often few, so that an
interval would let nearly every teacher pass or nearly none, and the price of an error is one flag, not a wrong verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.evaluation import calibration
from stillhouse.evaluation.predictions import Floats, Integers

LEVEL = 1e-3  # of the claim that the classes stand in another order, over all orders together
SAME_ANSWER = 1e-3  # largest change of a probability that rounding may explain when a row is asked in other company


def compare(teacher: Floats, control: Floats, targets: Integers) -> dict[str, Any]:
    """Teacher and labels-only student on the same rows.

    Args:
        teacher: (N, C) log-probabilities, finite.
        control: (N, C), the same of the student.
        targets: (N,) in [0, C).

    Returns:
        ``rows``; ``accuracy`` and ``nll`` (nats) of ``teacher`` and ``labels_only``; ``better``.
    """
    accuracy = {n: float((x.argmax(1) == targets).mean()) for n, x in _pair(teacher, control)}
    nll = {n: float(-np.take_along_axis(x, targets[:, None], 1).mean()) for n, x in _pair(teacher, control)}
    better = (accuracy["teacher"], -nll["teacher"]) > (accuracy["labels_only"], -nll["labels_only"])
    return {"rows": len(targets), "accuracy": accuracy, "nll": nll, "better": better}


def _pair(teacher: Floats, control: Floats) -> tuple[tuple[str, Floats], ...]:
    return ("teacher", teacher), ("labels_only", control)


def class_order(log_probs: Floats, targets: Integers, classes: Sequence[str]) -> dict[str, Any]:
    """Ask whether another order of the classes would fit the labels far better.

    The best order is that of the largest assignment in the confusion matrix. It is suspected where, of the rows of the
    classes that it moves, at least twice as many are right in it as in the given order, and so many that chance, over
    all the ways to move that many classes, is below one in a thousand (exact binomial, union bound).

    Args:
        log_probs: (N, C) of the teacher.
        targets: (N,) in [0, C).
        classes: C names.

    Returns:
        ``rows``, ``accuracy``, ``best_accuracy``, ``moved`` (by class, the class under whose name the teacher answers
        it), ``suspect``.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import binom

    size = len(classes)
    counts = np.bincount(targets * size + log_probs.argmax(1), minlength=size * size).reshape(size, size)
    true, said = linear_sum_assignment(counts, maximize=True)
    moved = {int(t): int(s) for t, s in zip(true, said, strict=True) if t != s and counts[t].any()}
    gained, kept = (sum(int(counts[t, s]) for t, s in pairs) for pairs in (moved.items(), ((t, t) for t in moved)))
    ways = float(size) ** len(moved)
    chance = float(binom.sf(gained - 1, gained + kept, 0.5)) * ways if moved else 1.0
    rows = max(len(targets), 1)
    return {
        "rows": len(targets),
        "accuracy": float(np.trace(counts)) / rows,
        "best_accuracy": float(counts[true, said].sum()) / rows,
        "moved": {str(classes[t]): str(classes[s]) for t, s in moved.items()},
        "suspect": bool(gained >= 2 * max(kept, 1) and chance <= LEVEL),
    }


def own_calibration(log_probs: Floats, targets: Integers) -> dict[str, float]:
    """The teacher's calibration error, debiased (``ece``) and as it is usually printed (``ece_plain``)."""
    sure, right = np.exp(log_probs.max(1)), (log_probs.argmax(1) == targets).astype(np.float64)
    squared = calibration.squared_error(sure, right).value
    return {"ece": float(np.sqrt(max(squared, 0.0))), "ece_plain": calibration.plain_error(sure, right)}


def same_answers(together: Floats, apart: Floats) -> bool:
    """Whether rows get the same probabilities in any company; where batch statistics are awake they do not.

    Args:
        together: (N, C) log-probabilities of the rows in one batch.
        apart: (N, C), the same rows asked in other batches.
    """
    return bool(np.abs(np.exp(together) - np.exp(apart)).max(initial=0.0) <= SAME_ANSWER)


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


OVERLAPS = (("test", "train"), ("test", "labelled"), ("test", "valid"), ("valid", "train"))


def problems(finding: Mapping[str, Any]) -> list[dict[str, str]]:
    """What speaks against this teacher: ``finding`` and ``cure``, a sentence each; none where nothing does."""
    found = []
    order, against = finding.get("class_order") or {}, finding.get("comparison")
    if order.get("suspect"):
        named = ", ".join(f"{t!r} {s!r}" for t, s in list(order["moved"].items())[:5])
        found.append(
            {
                "finding": f"It seems to answer in another order of the classes: it calls {named}; in that order it "
                f"would have {_percent(order['best_accuracy'])} of {order['rows']:,} labelled rows right, as it is "
                f"given {_percent(order['accuracy'])}.",
                "cure": "List the classes in its order as `[data] classes = [...]`.",
            }
        )
    if finding.get("steady") is False:
        found.append(
            {
                "finding": "Its answer to a row depends on the rows beside it, so that what is kept would not be what "
                "it says: layers that use the statistics of the batch are awake.",
                "cure": "Put these into eval mode in its own `forward`.",
            }
        )
    if against and not against["better"]:
        found.append({"finding": _not_better(against), "cure": "Give a better teacher."})
    return found


def _not_better(against: Mapping[str, Any]) -> str:
    accuracy, nll = against["accuracy"], against["nll"]
    more = round((accuracy["labels_only"] - accuracy["teacher"]) * against["rows"])
    rows = "as many rows" if more == 0 else f"{more:,} row{'' if more == 1 else 's'} more"
    return (
        f"On the {against['rows']:,} validation rows it has {_percent(accuracy['teacher'])} right (negative "
        f"log-likelihood {nll['teacher']:.3f}), and the student trained on the labels alone "
        f"{_percent(accuracy['labels_only'])} ({nll['labels_only']:.3f}), {rows}: it has nothing to teach that the "
        "labels do not tell already."
    )


def warnings(finding: Mapping[str, Any]) -> list[str]:
    """What a reader of the judgement must know of the teacher and of the rows, a sentence each."""
    found = [f"The teacher was accepted in spite of this. {p['finding']}" for p in finding["problems"]]
    if finding.get("comparison") is None:
        found.append(f"Whether the teacher is better than the labels-only student was not checked: {finding['why']}.")
    shared = finding["leakage"]
    if shared["test_in_train"]:
        found.append(
            f"{shared['test_in_train']:,} of {shared['test_rows']:,} test rows have the very inputs of a training row "
            f"({shared['test_in_labelled']:,} of a labelled one): on these, memory counts as skill. Remove duplicates."
        )
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
