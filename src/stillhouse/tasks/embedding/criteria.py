"""The limits that a gate may set a run of embedders; a gate file is read as ``gate.py`` says.

min_rank_correlation = 0.6   # with the teacher's similarities of pairs, -1 to 1
min_recall = 0.4             # share of the teacher's ten nearest texts among the student's
min_ndcg = 0.4               # the same, the nearest counting more
min_precision = 0.3          # share of the ten nearest texts that have a text's category
max_precision_loss = 0.05    # of that share, against the teacher
min_gain = 0.05              # of the headline's measure, over the same student trained by contrast
min_verdict = "better"
max_latency_ratio = 0.5      # milliseconds for one text, student over teacher
max_bytes = 8_000_000        # of the student's weights
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stillhouse.evaluation.gate import BYTES, Figure, Reader, Rule, negated
from stillhouse.tasks.embedding.scores import NDCG, PRECISION, RECALL, SPEARMAN, STUDENT, TEACHER


def _measure(name: str) -> Reader:
    """Read a measure of the distilled student."""

    def read(scores: Mapping[str, Any]) -> Figure:
        found = scores.get("models", {}).get(STUDENT, {}).get("measures", {}).get(name)
        return Figure(**found) if found else Figure(None, about=f"the run has no {name}: its texts have no categories")

    return read


def _difference(scores: Mapping[str, Any], other: str) -> Figure:
    """The first comparison of the distilled student with another arm: that of the headline's measure."""
    for comparison in scores.get("comparisons", ()):
        if (comparison["a"], comparison["b"]) == (STUDENT, other):
            return Figure(**comparison["difference"], about=comparison["measure"])
    return Figure(None, about=f"the run has no comparison of {STUDENT} with {other}")


def _gain(scores: Mapping[str, Any]) -> Figure:
    return _difference(scores, "contrast")


def _precision_loss(scores: Mapping[str, Any]) -> Figure:
    return negated(_difference(scores, TEACHER))


def _latency_ratio(scores: Mapping[str, Any]) -> Figure:
    costs = scores.get("costs", {})
    student, teacher = (costs.get(side, {}).get("ms_1") for side in ("student", "teacher"))
    return Figure(student / teacher if student is not None and teacher else None)


CRITERIA: Mapping[str, Rule] = {
    "min_rank_correlation": (_measure(SPEARMAN), "bound"),
    "min_recall": (_measure(RECALL), "bound"),
    "min_ndcg": (_measure(NDCG), "bound"),
    "min_precision": (_measure(PRECISION), "bound"),
    "max_precision_loss": (_precision_loss, "bound"),
    "min_gain": (_gain, "bound"),
    "max_latency_ratio": (_latency_ratio, "value"),
    "max_bytes": BYTES,
}
