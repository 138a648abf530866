"""How embedders are judged: neighbours of one category, the teacher's neighbours, the teacher's similarities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import RejectedError
from stillhouse.evaluation.context import Context
from stillhouse.evaluation.gate import SHARED, Rule, difference, loss, measure
from stillhouse.evaluation.teacher_gate import SAME_ANSWER
from stillhouse.task import OUTPUTS, TEACHER, Control, Floats, Measure, Question, Record, Statistic
from stillhouse.tasks.controls import CONTROLS, DISTILLED, SIMPLE, SIMPLE_DISTILLED, TEACHERS
from stillhouse.tasks.embedding import measures
from stillhouse.tasks.embedding.contrast import contrast_step
from stillhouse.tasks.embedding.measures import NDCG, PRECISION, RECALL, SPEARMAN
from stillhouse.tasks.judgement import Judge, Prepared

CONTRAST, START = "contrast", "start"
NEIGHBOURS, COSINES = "neighbours", "cosines"  # in a prepared record: int64 (N, 10), float64 (N, pairs a text)


def _found(label: str, *, listed: bool = True) -> Measure:
    return Measure(label, "share", True, (0.0, 1.0), listed=listed)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        PRECISION: _found("precision at 10 by category", listed=False),
        NDCG: _found("nDCG at 10 of the teacher's nearest texts")._replace(unit="", row="value"),
        RECALL: _found("recall at 10 of the teacher's nearest texts")._replace(row="value"),
        SPEARMAN: Measure("rank correlation with the teacher's similarities", "", True, (-1.0, 1.0), listed=True),
    }
)

EMBEDDING_CONTROLS: Mapping[str, Control] = MappingProxyType(
    {
        CONTRAST: Control(
            CONTRAST,
            "Contrast, without the teacher",
            "the same student trained without the teacher, by contrast",
            rows="all",
            labels="none",
            style=("arm-control", "ring"),
            step=contrast_step,
        ),
        SIMPLE: CONTROLS[SIMPLE]._replace(
            sentence="{model}", rows="all", labels="none", when=lambda context: bool(context.recipe.controls.simple)
        ),
        DISTILLED: CONTROLS[DISTILLED]._replace(labels="none"),
        SIMPLE_DISTILLED: CONTROLS[SIMPLE_DISTILLED]._replace(labels="none"),
        START: Control(
            START,
            "Before training",
            "the same student before training",
            rows="all",
            labels="none",
            trained=False,
            style=("arm-reference", "square"),
        ),
    }
)

# Limits that a gate may set, besides those of every task (``evaluation/gate.py``)
CRITERIA: Mapping[str, Rule] = MappingProxyType(
    {
        **SHARED,
        "min_rank_correlation": Rule(measure(SPEARMAN), "bound"),  # -1 to 1
        "min_recall": Rule(measure(RECALL), "bound"),
        "min_ndcg": Rule(measure(NDCG), "bound"),
        "min_precision": Rule(measure(PRECISION), "bound"),
        "max_precision_loss": Rule(loss(difference(TEACHER, PRECISION)), "bound"),
    }
)


class EmbeddingJudge(Judge):
    """Judges vectors (N, D) of texts; targets are categories (N,), -1 where a text has none.

    Where the texts have categories, the headline is the precision at 10 by category, which does not depend on the
    teacher; else it is the nDCG at 10 of the teacher's nearest texts.
    """

    controls = EMBEDDING_CONTROLS
    others = MappingProxyType({TEACHER: TEACHERS[TEACHER]})
    questions = (
        *(Question(DISTILLED, b, "gain", m) for m in (None, NDCG, SPEARMAN) for b in (CONTRAST, SIMPLE, START)),
        Question(DISTILLED, SIMPLE_DISTILLED, "gain"),
        Question(DISTILLED, TEACHER, "loss", PRECISION),
    )
    rivals = (CONTRAST, SIMPLE)
    measures = MEASURES
    headline, part_measure = PRECISION, NDCG
    table = (PRECISION, NDCG, RECALL, SPEARMAN)
    choices = tuple(MEASURES)
    gate_measures = ()
    criteria = CRITERIA

    def check_targets(self, targets: NDArray[Any], names: Sequence[str]) -> None:
        """Check that there are enough texts, and none or enough with a category."""
        texts, labelled = len(targets), int((targets >= 0).sum())
        if texts < measures.LEAST_TEXTS or 0 < labelled < measures.LEAST_TEXTS:
            raise RejectedError(
                f"{texts} held-out texts, {labelled} of them labelled, are too few to find the {measures.NEAREST} "
                f"nearest among them: at least {measures.LEAST_TEXTS} are needed. Set a larger `[data] test`."
            )

    def check_record(self, record: Record, targets: NDArray[Any], names: Sequence[str], rows: NDArray[Any]) -> str:
        """Vectors of any width, finite."""
        return super().check_record(record, targets, range(record[OUTPUTS].shape[1]), rows)  # type: ignore[arg-type]

    def prepare(self, records: Mapping[str, Mapping[str, Record]], valid: Any | None) -> Prepared:
        """Vectors with the ten nearest texts of each and the cosines of the sampled pairs."""
        return {
            arm: {seed: {**record, **_geometry(record[OUTPUTS])} for seed, record in seeds.items()}
            for arm, seeds in records.items()
        }

    def quality(self, record: Record, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Statistic]:
        """Precision by category, where the texts have categories."""
        return {PRECISION: measures.same_category(record[OUTPUTS], targets)} if (targets >= 0).any() else {}

    def fidelity(self, record: Record, teacher: Record, targets: NDArray[Any]) -> dict[str, Statistic]:
        """How well the student finds the teacher's nearest texts, and the rank correlation of the similarities."""
        ndcg, recall = measures.neighbours_found(record[NEIGHBOURS], teacher[NEIGHBOURS])
        offsets = measures.pair_offsets(len(targets))
        ranks = measures.rank_correlation(record[COSINES], teacher[COSINES], offsets)
        return {NDCG: ndcg, RECALL: recall, SPEARMAN: ranks}

    def details(self, context: Context, arm: str) -> dict[str, Any]:
        """D of the vectors."""
        return {"width": int(next(iter(context.records[arm].values()))[OUTPUTS].shape[1])}

    def facts(self, context: Context) -> dict[str, Any]:
        """The number of texts with a category, and the number of pairs of the rank correlation."""
        targets = context.predictions.targets
        pairs = len(targets) * len(measures.pair_offsets(len(targets)))
        return {"labelled_rows": int((targets >= 0).sum()), "pairs": pairs}

    def examine(
        self, teacher: Record, baseline: Record | None, targets: NDArray[Any], names: Sequence[str]
    ) -> dict[str, Any]:
        """No check: there are no labels that an embedder could predict."""
        return {"comparison": None}

    def same_answers(self, together: NDArray[Any], apart: NDArray[Any]) -> bool:
        """Whether no vector of unit length moves by more than a thousandth."""
        moved = np.linalg.norm(measures.unit(together) - measures.unit(apart), axis=1)
        return bool(moved.max(initial=0.0) <= SAME_ANSWER)

    def distance(self, student: Record, teacher: Record) -> Floats:
        """Share of the teacher's ten nearest texts that are not among the student's."""
        found = measures.neighbours_found(*(measures.neighbours(r[OUTPUTS]) for r in (student, teacher)))[1]
        return 1.0 - found.components


def _geometry(vectors: NDArray[Any]) -> dict[str, NDArray[Any]]:
    cosines = measures.pair_cosines(vectors, measures.pair_offsets(len(vectors)))
    return {NEIGHBOURS: measures.neighbours(vectors), COSINES: cosines}
