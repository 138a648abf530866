"""A linear model on TF-IDF as a teacher of texts, or as a member beside a slow one: it reads whole texts at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from stillhouse import students
from stillhouse.data import TextEncoder
from stillhouse.errors import UsageError
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.student.reading import whole_texts
from stillhouse.pipeline.teacher.build import own_kind
from stillhouse.recipe import Member
from stillhouse.teachers import CrossFitted, ModuleTeacher, fold_of
from stillhouse.teachers.crossfit import WHOLE, rows_seen, whole_of
from stillhouse.types import Batch, Outputs, Teacher, has_label


class WholeTexts:
    """A net of token ids that answers whole texts, however few tokens the rows of the run have.

    A view has no text of its own, so it is answered from the tokens that the run's rows have.
    """

    def __init__(self, net: ModuleTeacher, encoder: TextEncoder, parameters: int) -> None:
        self.net, self.encoder = net, encoder
        self.shape, self.nbytes, self.parameters = net.shape, net.nbytes, parameters

    def outputs(self, batch: Batch) -> Outputs:
        """Values float32 (B, *shape)."""
        if batch.raw is None:
            return self.net.outputs(batch)
        return self.net.outputs(batch._replace(inputs=self.encoder.encode(batch.raw)))

    def fingerprint(self) -> str:
        """Hash of the weights and of how texts become tokens."""
        return xxhash.xxh3_128_hexdigest(f"{self.net.fingerprint()} {self.encoder.state()}".encode())


def whole_encoder(teacher: Teacher) -> TextEncoder | None:
    """How a teacher, or a member of it, reads whole texts; None: it reads what the rows of the run hold."""
    members: Sequence[Any] = getattr(teacher, "teachers", [teacher])
    return next((one.encoder for one in map(whole_of, members) if isinstance(one, WholeTexts)), None)


def fit_texts(
    context: RunContext, section: Member, visible: Tensor, weights: Tensor | None, *, folds: int
) -> CrossFitted:
    """Fit the named model on the rows that have a label, and once more without each fold; see ``fold_of``.

    Args:
        context: of the rows that it may learn from.
        section: of the recipe: ``name`` and ``settings`` of a student that is fitted at once to texts.
        visible: labels of the training rows, hidden where it may not see them.
        weights: (N,) how much each row counts; None: all alike.
        folds: their number.

    Raises:
        UsageError: the rows are no texts.
    """
    task, spec, seed = context.task, context.spec, context.recipe.data.seed
    encoder = whole_texts(context.data)
    assigned = fold_of(visible.numpy(), folds, seed, str(section.name), spec.names)
    seen = np.flatnonzero(has_label(visible).numpy())
    ids = encoder.encode(context.data.source.take(context.data.split.train[seen]))
    soft = task.soft_targets(visible[seen], None, spec, 1.0, 0.0)
    settings = {"vocabulary": encoder.vocabulary} | dict(section.settings)

    def fit(rows: np.ndarray) -> WholeTexts:
        some = torch.from_numpy(np.searchsorted(seen, rows))
        net = students.fit_soft(
            str(section.name),
            inputs=ids[some],
            targets=soft[some],
            weights=None if weights is None else weights[torch.from_numpy(rows)],
            settings=settings,
            seed=seed,
            link=task.link,
        )
        teacher = ModuleTeacher(net, task, spec, kind=own_kind(task))
        return WholeTexts(teacher, encoder, int(getattr(net, "size", 0)))

    whole, *others = (fit(rows) for rows in (np.flatnonzero(assigned != WHOLE), *rows_seen(assigned)))
    return CrossFitted(others, assigned, whole)


def refuse_other_rows(name: str, *, text: bool) -> None:
    """Refuse a teacher of texts on rows that are none.

    Raises:
        UsageError: names teachers for such rows.
    """
    if not text:
        raise UsageError(
            f"[teacher] name = {name!r} reads texts, and these rows are none. Take a net of the zoo, or a model of "
            "scikit-learn, such as `extra_trees`."
        )
