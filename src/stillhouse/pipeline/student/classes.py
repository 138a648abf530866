"""A student that keeps some of its teacher's classes: targets and answers in its own."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from stillhouse.data import Rows
from stillhouse.functional.kept_classes import kept_listed, kept_logits, kept_targets
from stillhouse.types import Batch, Outputs

Answer = Callable[[Batch], Outputs]


class Classes:
    """The classes of a student, by its attribute ``table`` (see ``functional.kept_classes``); without one, all."""

    def __init__(self, student: nn.Module) -> None:
        found = getattr(student, "table", None)
        self.table: Tensor | None = found.cpu() if isinstance(found, Tensor) else None

    def targets(self, targets: Tensor) -> Tensor:
        """Targets in the student's classes."""
        return targets if self.table is None else kept_targets(targets, self.table)

    def rows(self, rows: Rows | None) -> Rows | None:
        """Rows with such targets."""
        return rows if rows is None else rows._replace(targets=self.targets(rows.targets))

    def answer(self, ask: Answer) -> Answer:
        """A teacher's answers in the student's classes."""
        table = self.table
        if table is None:
            return ask

        def answer(batch: Batch) -> Outputs:
            found = ask(batch)
            here = table.to(batch.inputs.device)
            if found.sparse is None:
                return found._replace(values=kept_logits(found.values, here))
            assert found.sparse.log_tail is not None  # sampled classes are of no such student
            listed = kept_listed(found.sparse.indices, found.sparse.log_probs, found.sparse.log_tail, here)
            return found._replace(
                sparse=found.sparse._replace(indices=listed[0], log_probs=listed[1], log_tail=listed[2])
            )

        return answer
