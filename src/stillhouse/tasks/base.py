"""What most tasks have in common; a task overrides what is its own (``stillhouse.task.Task``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.recipe import MethodEntry, Recipe
from stillhouse.task import OUTPUTS, Control, Floats, Measure, OutputSpec, Question, Record, Section

SAME_ANSWER = 1e-3  # largest change, as a share of the answers' spread, that rounding may explain


class BaseTask:
    """Defaults of the protocol."""

    name: str
    controls: Mapping[str, Control]
    questions: tuple[Question, ...]
    measures: Mapping[str, Measure]
    headline: str
    shipped = "distilled"
    baseline = "labels_only"
    method: tuple[Mapping[str, Any], ...]
    fits: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    criteria: Mapping[str, Any]
    supervised = True
    shift_invariant = False
    gates = True
    explains = True
    full = False

    def settle(self, recipe: Recipe) -> Recipe:
        """The recipe with the default method where it names none."""
        if recipe.method:
            return recipe
        return recipe.model_copy(update={"method": [MethodEntry.model_validate(dict(one)) for one in self.method]})

    def place_method(self, entry: MethodEntry) -> MethodEntry:
        """The entry as it is."""
        return entry

    def output_spec(self, targets: NDArray[Any], names: Sequence[str]) -> OutputSpec | None:
        """One output a name."""
        return OutputSpec((len(names),), tuple(names))

    def any_targets(self, targets: Tensor) -> Tensor:
        """Targets with 0 in place of what is not known."""
        return targets.nan_to_num(0.0) if targets.is_floating_point() else targets.clamp(min=0)

    def normalize(self, outputs: Tensor) -> Tensor:
        """The values as they are."""
        return outputs.float()

    def same_answers(self, together: NDArray[Any], apart: NDArray[Any]) -> bool:
        """Whether no answer moved by more than a small share of the answers' spread."""
        spread = max(float(np.std(together)), 1e-12)
        return bool(np.abs(together - apart).max(initial=0.0) <= SAME_ANSWER * spread)

    def record(self, outputs: Tensor) -> Record:
        """The outputs themselves."""
        return {OUTPUTS: outputs.numpy()}

    def distance(self, student: Record, teacher: Record) -> Floats:
        """Euclidean distance of the outputs."""
        gap = np.asarray(student[OUTPUTS], np.float64) - np.asarray(teacher[OUTPUTS], np.float64)
        return np.asarray(np.sqrt((gap.reshape(len(gap), -1) ** 2).sum(1)))

    def explanation(self, records: Any, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """Nothing of its own."""
        return {}

    def spec_of_card(self, card: Mapping[str, Any]) -> OutputSpec:
        """One output a name of the card."""
        return OutputSpec((len(card["names"]),), tuple(card["names"]))

    def hub_net(self, found: Any, names: Sequence[str], tune: str, seed: int) -> Any:
        """Refuse: a task that takes models of the hub says how.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"[teacher] hub: a run of the task {self.name!r} takes no model of the hub. Give another teacher, such as "
            "a module from Python or a file."
        )
