"""Defaults of a task's judgement: the members of ``task.Judgement`` that most tasks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.evaluation import teacher_gate
from stillhouse.evaluation.gate import SHARED, Rule
from stillhouse.task import OUTPUTS, Control, Floats, Judgement, Measure, Question, Record, Statistic
from stillhouse.tasks.controls import CONTROLS, QUESTIONS, RIVALS, TEACHERS

Prepared = dict[str, dict[str, Record]]


class Judge(Judgement):
    """The judgement of a task whose students are trained by labels, by a teacher, or both."""

    controls: Mapping[str, Control] = CONTROLS
    others: Mapping[str, Control] = TEACHERS
    questions: tuple[Question, ...] = QUESTIONS
    rivals: tuple[str, ...] = RIVALS
    criteria: Mapping[str, Rule] = SHARED
    logged: Mapping[str, Measure] = MappingProxyType({})

    def measure(self, name: str) -> Measure:
        """The measure of a name; "rmse:price" has the label "RMSE of price"."""
        base, _, of = name.partition(":")
        found = self.measures[base]
        return found._replace(label=f"{found.label} of {of}") if of else found

    def check_measure(self, name: str, argument: str, names: Sequence[str]) -> None:
        """Refuse anything behind ":"."""
        if argument:
            raise UsageError(f"[evaluation] measure = '{name}:{argument}': write `measure = \"{name}\"`.")

    def record(self, outputs: Tensor) -> Record:
        """The outputs themselves, float32."""
        return {OUTPUTS: outputs.detach().float().cpu().numpy()}

    def check_record(self, record: Record, targets: NDArray[Any], names: Sequence[str], rows: NDArray[Any]) -> str:
        """Outputs of the shape (N, names), finite."""
        outputs, shape = record[OUTPUTS], (len(targets), len(names))
        if outputs.shape != shape:
            return f" has the shape {outputs.shape}, but there are {shape[0]} rows with {shape[1]} outputs each."
        bad = np.flatnonzero(~np.isfinite(outputs).all(1))
        first = rows[bad[:5]].tolist()
        return f": {len(bad)} rows are NaN or infinite, the first are rows {first}." if len(bad) else ""

    def prepare(self, records: Mapping[str, Mapping[str, Record]], valid: Any | None) -> Prepared:
        """The records with their outputs as float64."""
        return {
            arm: {seed: {**r, OUTPUTS: r[OUTPUTS].astype(np.float64)} for seed, r in seeds.items()}
            for arm, seeds in records.items()
        }

    def statistic(self, name: str, record: Record, targets: NDArray[Any], names: Sequence[str]) -> Statistic | None:
        """Every measure is computed anyway."""
        return None

    def scale(self, name: str, targets: NDArray[Any]) -> float:
        """The margin is in the units of the measure."""
        return 1.0

    def parts(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, dict[str, Floats]]:
        """No parts except the groups that the user names."""
        return {}

    def details(self, context: Any, arm: str) -> dict[str, Any]:
        """Nothing else."""
        return {}

    def facts(self, context: Any) -> dict[str, Any]:
        """Nothing else."""
        return {}

    def alarm(self, context: Any) -> str:
        """Nothing."""
        return ""

    def examine(
        self, teacher: Record, baseline: Record | None, targets: NDArray[Any], names: Sequence[str]
    ) -> dict[str, Any]:
        """The comparison with the baseline."""
        compared = None if baseline is None else teacher_gate.compare(self, teacher, baseline, targets, names)
        return {"comparison": compared}

    def problems(self, finding: Mapping[str, Any]) -> list[dict[str, str]]:
        """No findings except those of every task."""
        return []

    def same_answers(self, together: NDArray[Any], apart: NDArray[Any]) -> bool:
        """Whether no output differs by more than a thousandth of its standard deviation over the rows."""
        spread = together.reshape(len(together), -1).std(0).max(initial=0.0)
        difference = np.abs(together.astype(np.float64) - apart).max(initial=0.0)
        return bool(difference <= teacher_gate.SAME_ANSWER * spread)
