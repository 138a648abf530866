"""What made rows are judged against: the same student on real rows with the best free views, and on free makers' rows.

Each is a variant of the run: other training rows or views, the same number of answers of the same teacher, and the same
steps. Their stores are beside that of the run.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from stillhouse.data import Prepared, Views
from stillhouse.data.corpus.prepare import unused
from stillhouse.data.encoders.made import kept_rows
from stillhouse.pipeline.made.training import real_of
from stillhouse.pipeline.run.context import Given, MadePart, RunContext
from stillhouse.pipeline.run.progress import stage
from stillhouse.pipeline.setup.views import make_views
from stillhouse.recipe import Views as ViewsTable
from stillhouse.store import Store
from stillhouse.task import ALL_ROWS, FREE_ROWS, FRESH_ROWS, REAL_ROWS, TEACHER

if TYPE_CHECKING:
    from stillhouse.pipeline.teacher.labeling import RunTeacher

# The views that gained most on rows of a kind; see docs/makers.md.
BEST = {"image": "affine", "table": "munge", "array": "munge", "text": "words"}


def variants_of(context: RunContext, given: Given, made: Sequence[MadePart] = ()) -> dict[str, RunContext]:
    """The variants of a run, by name: with rows that its teacher is not asked about, and of a run with made rows.

    Args:
        context: of the run, as it was set up: rows of free makers stand in for those that are trained.
        given: what came from Python.
        made: the rows of the run, where rounds of a maker were left out: free makers then make as few.
    """
    found: dict[str, RunContext] = {}
    if any(control.variant == FRESH_ROWS for control in context.task.controls.values()):
        found[FRESH_ROWS] = replace(context, data=unused(context.data))
    if not context.made:
        return found
    context = as_many(context, made)
    answers = len(context.data.train.targets) * context.views.count
    if context.real_rows:
        found[REAL_ROWS] = with_views(context, given, real_of(context), answers)
    if not all(part.free for part in context.made):
        found[FREE_ROWS] = context
    whole = context.whole
    if whole is not None and len(whole.train.targets) > context.real_rows and context.recipe.controls.all_labels:
        found[ALL_ROWS] = with_views(context, given, whole, answers)
    return found


def as_many(context: RunContext, made: Sequence[MadePart]) -> RunContext:
    """The run with at most as many rows of each entry as these parts have."""
    kept = np.ones(len(context.data.train.targets), bool)
    for part, own in zip(context.made, made, strict=False):
        kept[part.start + own.stop - own.start : part.stop] = False
    if kept.all():
        return context
    split = context.data.split
    data = kept_rows(context.data, replace(split, train=split.train[kept]))
    pool = None if context.views.pool is None else data.train.inputs
    return replace(context, data=data, made=context.made_among(kept), views=replace(context.views, pool=pool))


def with_views(context: RunContext, given: Given, data: Prepared, answers: int) -> RunContext:
    """The run with other rows and the best free views of their kind, as many as make up the number of answers."""
    rows, policy = len(data.train.targets), BEST[data.source.kind]
    count = -(-answers // rows)
    views: Views
    if count == 1:
        views = Views("none", 1, 0.0, context.recipe.data.seed)
    else:
        recipe = context.recipe.model_copy(update={"views": ViewsTable(policy=policy, count=count)})
        views = make_views(recipe, given._replace(views=None), data)
    return replace(context, data=data, views=views, whole=None, made=())


def ask(teacher: RunTeacher, name: str, context: RunContext) -> Store:
    """The teacher's answers to the rows of a variant, in a store of its own."""
    own = copy.copy(teacher)
    own.context, own.arm = context, f"{TEACHER}_{name}"
    if name == ALL_ROWS:
        own.__dict__["teacher"] = teacher.of_all_rows()  # a built one stands in the place of the cached
    rows = len(context.data.train.targets)
    title = f"The teacher answers {rows:,} rows for the comparison, {context.views.count:,} views each"
    with context.run.timed("ask teachers"), stage(title, rows, "rows") as advance:
        return own.ask(advance)
