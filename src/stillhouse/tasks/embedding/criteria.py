"""Limits that a gate may set for a run of embedders, besides those of every task (``evaluation/gate.py``).

min_rank_correlation = 0.6   # with the teacher's similarities of pairs, -1 to 1
min_recall = 0.4             # share of the teacher's ten nearest texts among the student's
min_ndcg = 0.4               # the same, the nearest counting more
min_precision = 0.3          # share of the ten nearest texts that have a text's category
max_precision_loss = 0.05    # of that share, against the teacher
"""

from __future__ import annotations

from collections.abc import Mapping

from stillhouse.evaluation.gate import SHARED, Rule, difference, loss, measure
from stillhouse.task import TEACHER
from stillhouse.tasks.embedding.measures import NDCG, PRECISION, RECALL, SPEARMAN

CRITERIA: Mapping[str, Rule] = {
    **SHARED,
    "min_rank_correlation": Rule(measure(SPEARMAN), "bound"),
    "min_recall": Rule(measure(RECALL), "bound"),
    "min_ndcg": Rule(measure(NDCG), "bound"),
    "min_precision": Rule(measure(PRECISION), "bound"),
    "max_precision_loss": Rule(loss(difference(TEACHER, PRECISION)), "bound"),
}
