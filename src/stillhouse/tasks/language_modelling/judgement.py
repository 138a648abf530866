"""How language models are judged: by the text, in bits per byte, and by their teacher, token by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError
from stillhouse.evaluation.context import Context
from stillhouse.evaluation.gate import SHARED, Rule, difference, loss, measure
from stillhouse.task import TEACHER, Floats, Measure, Record, Statistic
from stillhouse.tasks.judgement import Judge, Prepared
from stillhouse.tasks.language_modelling import arms, records
from stillhouse.tasks.language_modelling.measures import (
    ACCEPTANCE,
    AGREEMENT,
    BITS,
    KL,
    LOSS,
    MEASURES,
    fidelity,
    quality,
    quantiles,
)

SAME = 1e-2  # nats: the largest change of a log-probability that rounding of float32 may explain
SAME_WINDOW = 1e-2  # nats a token: the KL over a window that half precision in another batch may explain

CRITERIA: Mapping[str, Rule] = {
    **SHARED,
    "max_bits_per_byte": Rule(measure(BITS), "bound"),
    "max_bits_per_byte_loss": Rule(loss(difference(TEACHER, BITS)), "bound"),
    "max_kl": Rule(measure(KL), "bound"),
}


class LanguageJudge(Judge):
    """Judges sums over documents; targets are int64 (D,), the counted tokens of each document."""

    controls, others = arms.CONTROLS, arms.TEACHERS
    questions, rivals = arms.QUESTIONS, (arms.TEXT_ONLY, arms.SAME_COMPUTE)
    measures = MEASURES
    logged: Mapping[str, Measure] = {"loss": MEASURES[LOSS]}
    headline, part_measure = BITS, LOSS
    table = (BITS, LOSS, KL, ACCEPTANCE, AGREEMENT)
    choices = (BITS, LOSS, KL, ACCEPTANCE, AGREEMENT)
    gate_measures = (BITS, LOSS)
    criteria = CRITERIA

    def record(self, outputs: Tensor) -> Record:
        """Refuse: a net is recorded beside its teacher, see ``stream``."""
        raise RejectedError("A language model is recorded beside its teacher. Use `Task.stream`.")

    def check_targets(self, targets: NDArray[Any], names: Sequence[str]) -> None:
        """Check that there are documents to resample."""
        if len(targets) < 2:
            raise RejectedError(
                f"The test has {len(targets)} document, and an interval needs several. Give more texts; "
                "or write the parts of a long one, such as its chapters, as lines of a .jsonl file."
            )

    def check_record(self, record: Record, targets: NDArray[Any], names: Sequence[str], rows: NDArray[Any]) -> str:
        """Sums that are finite."""
        bad = ~np.isfinite(np.stack([record[name] for name in records.SUMS], 1)).all(1)
        if not bad.any():
            return ""
        return f": the sums of {int(bad.sum())} documents are NaN or infinite, the first begins in row {rows[bad][0]}."

    def prepare(self, records: Mapping[str, Mapping[str, Record]], valid: Any | None) -> Prepared:
        """The records."""
        return {arm: dict(seeds) for arm, seeds in records.items()}

    def quality(self, record: Record, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Statistic]:
        """See ``measures.quality``."""
        return quality(record)

    def fidelity(self, record: Record, teacher: Record, targets: NDArray[Any]) -> dict[str, Statistic]:
        """See ``measures.fidelity``: the record was made beside the teacher's answers."""
        return fidelity(record)

    def details(self, context: Context, arm: str) -> dict[str, Any]:
        """Quantiles of the KL from the teacher, by seed."""
        if arm == TEACHER:
            return {}
        return {"kl_quantiles": {seed: quantiles(one) for seed, one in context.records[arm].items()}}

    def facts(self, context: Context) -> dict[str, Any]:
        """Documents, tokens and bytes of the test."""
        first = next(iter(context.records[TEACHER].values()))
        return {
            "documents": len(first[records.TOKENS]),
            "tokens": int(first[records.TOKENS].sum()),
            "bytes": int(first[records.BYTES].sum()),
        }

    def same_answers(self, together: NDArray[Any], apart: NDArray[Any]) -> bool:
        """Whether no log-probability above -20 differs by more than rounding, or no window by more than that of bf16.

        A bfloat16 product of another batch size rounds otherwise: log-probabilities of rare tokens then move by tenths,
        and the distribution by 0.002 nats.
        """
        likely = together > -20.0
        if bool((np.abs(together - apart)[likely] <= SAME).all()):
            return True
        gap = np.where(likely, np.exp(together) * (together - apart), 0.0).sum(-1)
        return bool((gap.mean(-1) <= SAME_WINDOW).all() and np.isfinite(gap).all())

    def distance(self, student: Record, teacher: Record) -> Floats:
        """KL from the teacher in nats a token."""
        found: Floats = student[records.KL] / np.maximum(student[records.TOKENS], 1)
        return found
