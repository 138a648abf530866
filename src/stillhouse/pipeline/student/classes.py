"""A student that keeps some of its teacher's classes: targets and answers in its own."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from stillhouse.data import Rows
from stillhouse.functional.kept_classes import kept_listed, kept_logits, kept_shaped, kept_targets
from stillhouse.types import Batch, Outputs, Sparse

Answer = Callable[[Batch], Outputs]


def kept_sparse(found: Sparse, table: Tensor) -> Sparse:
    """Some classes of a teacher, in the student's; a sample may then hold the class of the rest more than once."""
    if found.log_tail is None:
        return found._replace(indices=kept_targets(found.indices, table))
    listed, shape = (found.indices, found.log_probs, found.log_tail), None
    if found.tail_shape is None:
        indices, log_probs, tail = kept_listed(*listed, table)
    else:
        indices, log_probs, tail, shape = kept_shaped(*listed, found.tail_shape, table)
    return found._replace(indices=indices, log_probs=log_probs, log_tail=tail, tail_shape=shape)


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
            return found._replace(sparse=kept_sparse(found.sparse, here))

        return answer
