"""Services as teachers: what they are asked, and the rows for which one has no answer.

A row that a service refuses, rejects or answers with no class has no answer, and an invented one would be a label of
ours. So the service is asked about all texts before the rows of the run are fixed, and those without an answer are left
out of every part, for teacher and students alike; ``run.json`` says how many. It also keeps a service busy: all
questions are there at once, where a labelling pass would bring them batch by batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from stillhouse.data import Prepared, Rows, Split
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.run.progress import say, stage
from stillhouse.pipeline.teacher.build import build_teacher, kind_of
from stillhouse.teachers import EnsembleTeacher
from stillhouse.teachers.sizes import total

if TYPE_CHECKING:
    from stillhouse.teachers.endpoint.answers import Answered
    from stillhouse.teachers.endpoint.teacher import EndpointTeacher

PARTS = ("train", "valid", "test")
NOTE = "service"  # the key in run.json
SPLIT = "split.npz"
COUNTS = ("scored", "refused", "malformed", "rejected", "calls", "tokens_in", "tokens_out")

Flags = NDArray[np.bool_]


def asks_service(context: RunContext) -> bool:
    """Whether the teacher is a service, or one of several is, so that every new question is paid for."""
    if context.teacher is not None:
        return bool(given_services(context.teacher))
    return kind_of(context.recipe.teacher) == "service"


def given_services(given: Any) -> list[EndpointTeacher]:
    """The services among what came from Python as teacher: itself, or members of a list or of an ensemble."""
    from stillhouse.teachers.endpoint.teacher import EndpointTeacher

    if isinstance(given, EnsembleTeacher):
        given = given.teachers
    members = given if isinstance(given, list | tuple) else [given]
    return [one for one in members if isinstance(one, EndpointTeacher)]


def check_service(context: RunContext) -> None:
    """Refuse what a service cannot be asked, before any question is paid for.

    Raises:
        UsageError: the task has no classes, the data are no texts, or rows have views.
    """
    if not asks_service(context):
        return
    source = context.data.source
    if context.task.link != "softmax":
        raise UsageError(
            f"[teacher.endpoint] gives probabilities of classes, and the task {context.task.name!r} has other outputs. "
            "Name a teacher of this task as `[teacher] name` or `[teacher] file`."
        )
    if source.kind != "text":
        raise UsageError(
            f"[teacher.endpoint] classifies texts, and {source.name!r} is of kind {source.kind}. Name a file of "
            'texts: `[data] text = "texts.csv"`, or take another teacher.'
        )
    if context.views.count > 1:
        raise UsageError(
            f"[views] count = {context.views.count}: each view of a text would be one more paid question to the "
            'service, and a row is left out where any is refused. Write `[views] policy = "none"`, and give it more '
            "texts instead."
        )


def answered_only(context: RunContext) -> RunContext:
    """The context without the rows that a service does not answer; unchanged for every other teacher.

    Each service is asked about all texts of the run, once; a run whose rows are fixed already asks nothing.

    Raises:
        StoppedError: a ceiling is reached, or the service does not answer; the answers so far are kept.
        RejectedError: the service takes none of the texts, or too few rows are left.
        UsageError: there is no key.
    """
    run = context.run
    if not asks_service(context):
        return context
    if NOTE in run.record and (run.folder / SPLIT).exists():
        return keeping(context, kept_before(run.folder, context.data.split))
    found = ask(context)
    ends = np.cumsum([len(getattr(context.data.split, part)) for part in PARTS])[:-1]
    answered = np.logical_and.reduce([one.answered for one in found])
    keep = dict(zip(PARTS, np.split(answered, ends), strict=True))
    left = keeping(context, keep)
    note(run, found, keep)
    return left


def ask(context: RunContext) -> list[Answered]:
    """Ask each service about every text of the three parts, in order; answers of an earlier run are not asked again."""
    texts = [str(text) for part in PARTS for text in context.raw(part)]
    services, different = services_of(context), len(dict.fromkeys(texts))
    title, total = "asking the service", len(services) * different
    with context.run.timed("ask teachers"), stage(title, total, "texts") as advance:
        return [service.prefetch(texts, advance) for service in services]


def services_of(context: RunContext) -> list[EndpointTeacher]:
    """The service of the recipe, or those given from Python."""
    if context.teacher is not None:
        return given_services(context.teacher)
    made = build_teacher(
        context.recipe.teacher,
        None,
        task=context.task,
        spec=context.spec,
        decode=context.data.encoder.decode,
        probe=None,
        layers=(),
        precision="32-true",
        folder=context.run.folder,
    )
    return [cast("EndpointTeacher", made)]


def keeping(context: RunContext, keep: dict[str, Flags]) -> RunContext:
    """The context with only some rows of each part.

    Args:
        context: with all of them.
        keep: for each part, which of its rows stay.

    Raises:
        RejectedError: a part, or a class among the labelled rows, would be empty.
    """
    data = context.data
    rows = {part: getattr(data.split, part)[keep[part]] for part in PARTS}
    labelled = data.split.labelled[np.isin(data.split.labelled, rows["train"])]
    refuse_losses(data, rows, labelled)
    inner: dict[str, Any] = {part: chosen(getattr(data, part), keep[part]) for part in PARTS}
    return replace(context, data=data._replace(split=Split(**rows, labelled=labelled), **inner))


def chosen(rows: Rows, keep: Flags) -> Rows:
    """Some encoded rows."""
    places = np.flatnonzero(keep)
    return Rows(rows.inputs[places], rows.targets[places])


def refuse_losses(data: Prepared, rows: dict[str, NDArray[np.int64]], labelled: NDArray[np.int64]) -> None:
    """Refuse a run in which nothing is left to train on, or to judge by."""
    gone = [part for part in PARTS if len(getattr(data.split, part)) and not len(rows[part])]
    before, after = (set(data.source.targets[some].tolist()) for some in (data.split.labelled, labelled))
    gone += [f"labelled rows of class {data.source.names[c]!r}" for c in sorted(before - after)]
    if gone:
        raise RejectedError(
            f"The service has answered no text of {', '.join(gone)}, so that the run cannot be made. Its refusals "
            "stand in journal.jsonl of the run folder; reword the texts or the class names, or take another model, "
            "into a new [output] dir."
        )


def kept_before(folder: Path, split: Split) -> dict[str, Flags]:
    """Which rows of each part an earlier call of the same run has kept."""
    with np.load(folder / SPLIT, allow_pickle=False) as file:
        return {part: np.isin(getattr(split, part), file[part]) for part in PARTS}


def note(run: RunFolder, found: Sequence[Answered], keep: dict[str, Flags]) -> None:
    """What the services answered and cost, all together, into ``run.json`` and as a line."""
    left_out = {part: int((~flags).sum()) for part, flags in keep.items()}
    counts = {name: sum(getattr(one, name) for one in found) for name in COUNTS}
    cost = total(one.cost for one in found)  # without a price there is no sum
    rows = len(found[0].answered)
    run.note(**{NOTE: {"texts": rows, "left_out": left_out, "cost": cost} | counts})
    price = "" if cost is None else f", cost {cost:.4g}"
    said = ", ".join(f"{counts[name]} {name}" for name in ("refused", "malformed", "rejected"))
    say(
        f"service: {counts['calls']:,} answers, {counts['tokens_in'] + counts['tokens_out']:,} tokens{price}; {said}; "
        f"{sum(left_out.values())} of {rows} rows left out"
    )
