"""Defaults that most tasks share, besides the judgement; a task overrides its own parts (``stillhouse.task.Task``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.methods.base import KINDS, Method
from stillhouse.recipe import MethodEntry, Recipe
from stillhouse.students import Member, simple_candidates
from stillhouse.task import Floats, Link, OutputSpec, Section, Streamed
from stillhouse.tasks.judgement import Judge
from stillhouse.types import Teacher


class BaseTask(Judge):
    """A task that trains with labels, names each output, and checks the teacher first."""

    method: tuple[Mapping[str, Any], ...]
    teachers: Any
    link: Link
    reads = ""
    fits: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    supervised = True
    binds = False
    shift_invariant = False
    stored = "values"
    gates = True
    explains = True
    full = False
    surrogate = False
    marks_words = False
    streamed = False
    own_text: Any = None
    nets: tuple[str, ...] = ()
    samples: Any = None
    influence: Any = None

    @property
    def shipped(self) -> str:
        """The student of the first question."""
        return self.questions[0].a

    @property
    def baseline(self) -> str:
        """The student that the first question compares it with."""
        return self.questions[0].b

    def settle(self, recipe: Recipe) -> Recipe:
        """The recipe, with the default method if it names none; refuses to balance classes that there are not."""
        if recipe.on_policy.steps is not None and self.own_text is None:
            raise UsageError("[on_policy]: the students of this task write no text. Remove the section.")
        if recipe.training.class_weight == "balanced":
            self.balanced(torch.empty(0, dtype=torch.int64), None)
        if recipe.method:
            return recipe
        return recipe.model_copy(update={"method": [MethodEntry.model_validate(dict(one)) for one in self.method]})

    def place_method(self, entry: MethodEntry) -> MethodEntry:
        """The entry, unchanged."""
        return entry

    def matches(self, method: Method) -> bool:
        """Whether what it needs of outputs, if anything, is what this task's are."""
        return method.needs & KINDS <= {self.reads}

    def prepared(self, recipe: Recipe) -> Any:
        """None: rows are read as everywhere."""
        return None

    def students(self, recipe: Recipe, spec: OutputSpec, data: Any) -> Any:
        """None: students are built as everywhere."""
        return None

    def build_net(self, card: Mapping[str, Any]) -> nn.Module:
        """No card of a net is this task's own."""
        raise NotImplementedError(f"the task {self.name} builds no nets of its own")

    def ready_teacher(self, section: Any, spec: OutputSpec, data: Any, device: Any) -> Any:
        """None: a teacher is read as everywhere."""
        return None

    def stream(
        self,
        nets: Mapping[str, Callable[[Tensor], Tensor]],
        data: Any,
        part: str,
        most: int | None,
        advance: Callable[[int], None],
    ) -> Streamed:
        """No task but a streamed one is asked for this."""
        raise NotImplementedError(f"the task {self.name} holds the outputs of all rows")

    def output_spec(self, targets: NDArray[Any], names: Sequence[str]) -> OutputSpec | None:
        """One output for each name."""
        return OutputSpec((len(names),), tuple(names))

    def whole_outputs(self, outputs: Tensor, width: int) -> Tensor:
        """One number a row (B,) as (B, 1); others unchanged."""
        return outputs.unsqueeze(1) if outputs.ndim == 1 else outputs

    def draft(self, recipe: Any, model: Any, **settings: Any) -> dict[str, Any]:
        """Refuse: only a language model writes text.

        Raises:
            UsageError: always.
        """
        raise UsageError("The students of this run write no text, so none can be a draft. Name a language model's run.")

    def check_student(self, outputs: Tensor, spec: OutputSpec) -> None:
        """The answer of the task's teachers."""
        self.teachers.check_student(outputs, spec)

    def bind(self, targets: NDArray[Any], names: Sequence[str]) -> Self:
        """Nothing is fitted."""
        return self

    def enter(self, targets: Tensor) -> Tensor:
        """The targets, unchanged."""
        return targets

    def enter_teacher(self, teacher: Teacher) -> Teacher:
        """The teacher, unchanged."""
        return teacher

    def any_targets(self, targets: Tensor) -> Tensor:
        """Targets with 0 in place of unknown values."""
        return targets.nan_to_num(0.0) if targets.is_floating_point() else targets.clamp(min=0)

    def simple_models(self, shape: tuple[int, ...], outputs: int, text: bool, taught: bool) -> tuple[Member, ...]:
        """Those for outputs of this kind, whether labels or a teacher's answers."""
        return simple_candidates(shape, text, self.link, outputs)

    def temperature(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> float | None:
        """None: values have no confidence."""
        return None

    def balanced(self, targets: Tensor, weights: Tensor | None) -> Tensor:
        """Refuse: a row of this task does not have one class."""
        raise UsageError(
            f'[training] class_weight = "balanced" is for one class of each row, and a row of the task {self.name!r} '
            'has none. Remove the line; `[data] weight = "column"` weights the rows of every task.'
        )

    def normalize(self, outputs: Tensor) -> Tensor:
        """The values, unchanged."""
        return outputs.float()

    def judged(self, outputs: NDArray[Any]) -> Floats:
        """The outputs as float64."""
        return outputs.astype(np.float64)

    def explanation(self, records: Any, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """No sections of its own."""
        return {}
