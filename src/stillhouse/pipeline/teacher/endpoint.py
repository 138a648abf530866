"""Services as teachers: what they are asked, and which rows have no answer.

A row that a service refuses, rejects or answers with no class has no answer; an invented one would be a label of ours.
So the service is asked about all texts at once, before the rows of the run are fixed. Rows without an answer are left
out of every part, for the teacher and the students; ``run.json`` says how many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillhouse import hashes
from stillhouse.archives import open_npz
from stillhouse.data import Prepared, Split
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.run.progress import say, stage
from stillhouse.pipeline.teacher.build import SERVICE as NOTE
from stillhouse.pipeline.teacher.build import kind_of, service
from stillhouse.pipeline.teacher.served import served_model
from stillhouse.teachers import EnsembleTeacher
from stillhouse.teachers.sizes import total

if TYPE_CHECKING:
    from stillhouse.teachers.endpoint.answers import Answered
    from stillhouse.teachers.endpoint.teacher import EndpointTeacher

PARTS = ("train", "valid", "test")
SPLIT = "split.npz"
SHOWN = 10  # rows that a warning names
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
        UsageError: the task has no classes, the data are no texts, rows have views, or a setting is wrong.
    """
    if not asks_service(context):
        return
    if context.task.streamed:
        served_model(context)  # refuses a wrong address or codec
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
            'service. Write `[views] policy = "none"`, and give it more texts instead.'
        )
    if context.teacher is None:
        service(context)  # refuses a wrong address, prompt or class name


def answered_only(context: RunContext) -> RunContext:
    """The context without the rows that a service does not answer; unchanged for every other teacher.

    Each service is asked about all texts of the run, once; a run whose rows are fixed already asks nothing.

    Raises:
        StoppedError: a ceiling is reached, or the service does not answer; the answers so far are kept.
        RejectedError: the service takes none of the texts, or too few rows are left.
        UsageError: there is no key.
    """
    run = context.run
    if not asks_service(context) or context.task.streamed:  # a window that is refused stops the run
        return context
    if NOTE in run.record and (run.folder / SPLIT).exists():
        hashes.check(run.folder / SPLIT)
        with open_npz(run.folder / SPLIT) as file:
            return keeping(context, {p: np.isin(getattr(context.data.split, p), file[p]) for p in PARTS})
    found = ask(context)
    ends = np.cumsum([len(getattr(context.data.split, part)) for part in PARTS])[:-1]
    answered = np.logical_and.reduce([one.answered for one in found])
    keep = dict(zip(PARTS, np.split(answered, ends), strict=True))
    left = keeping(context, keep)
    note(run, found, keep, rows_of(context))
    return left


def ask(context: RunContext) -> list[Answered]:
    """Ask each service about every text of the three parts, in order; answers of an earlier run are not asked again."""
    texts = [str(text) for part in PARTS for text in context.raw(part)]
    services = [service(context)] if context.teacher is None else given_services(context.teacher)
    different = len(set(texts))
    title, total = "asking the service", len(services) * different
    with context.run.timed("ask teachers"), stage(title, total, "texts") as advance:
        return [one.prefetch(texts, advance, rows_of(context)) for one in services]


def rows_of(context: RunContext) -> list[int]:
    """The numbers of the texts in the data, in the order in which they are asked."""
    return [int(row) for part in PARTS for row in getattr(context.data.split, part)]


def keeping(context: RunContext, keep: dict[str, Flags]) -> RunContext:
    """The context with only the rows of each part that ``keep`` flags.

    Raises:
        RejectedError: a part, or a class among the labelled rows, would be empty.
    """
    data = context.data
    rows = {part: getattr(data.split, part)[keep[part]] for part in PARTS}
    labelled = data.split.labelled[np.isin(data.split.labelled, rows["train"])]
    refuse_losses(data, rows, labelled)
    places = {part: np.flatnonzero(keep[part]) for part in PARTS}
    inner: dict[str, Any] = {part: getattr(data, part).take(places[part]) for part in PARTS}
    left = data._replace(split=Split(**rows, labelled=labelled), **inner)
    return replace(context, data=left, made=context.made_among(np.asarray(keep["train"], bool)))


def refuse_losses(data: Prepared, rows: dict[str, NDArray[np.int64]], labelled: NDArray[np.int64]) -> None:
    """Refuse a run in which nothing is left to train on, or to judge by."""
    gone = [part for part in PARTS if len(getattr(data.split, part)) and not len(rows[part])]
    before, after = (set(data.source.targets[some].tolist()) for some in (data.split.labelled, labelled))
    gone += [f"labelled rows of class {data.source.names[c]!r}" for c in sorted(before - after)]
    if gone:
        raise RejectedError(
            f"The service has answered no text of {', '.join(gone)}, so the run cannot continue. Its refusals are in "
            "journal.jsonl of the run folder. Reword the texts or the class names, or use another model, with a new "
            "[output] dir."
        )


def warnings(record: Mapping[str, Any]) -> list[str]:
    """What the page says of a service that has changed while it was asked.

    Args:
        record: run.json.
    """
    found: dict[str, Any] = record.get(NOTE, {})
    rows: list[int] = found.get("drifted", [])
    if not rows:
        return []
    changed = [f"{name} {', then '.join(map(repr, told))}" for name, told in found["told"].items() if len(told) > 1]
    more = f" and {len(rows) - SHOWN:,} more, all in run.json" if len(rows) > SHOWN else ""
    return [
        f"The service changed while it was asked: {'; '.join(changed)}. {len(rows):,} of {found['texts']:,} rows have "
        f"answers of a later one (rows {', '.join(map(str, rows[:SHOWN]))}{more}), so the student learned from more "
        "than one teacher."
    ]


def note(run: RunFolder, found: Sequence[Answered], keep: dict[str, Flags], numbers: Sequence[int]) -> None:
    """Write what all services together answered and cost into ``run.json`` and as a line."""
    left_out = {part: int((~flags).sum()) for part, flags in keep.items()}
    counts = {name: sum(getattr(one, name) for one in found) for name in COUNTS}
    cost = total(one.cost for one in found)  # without a price there is no sum
    rows = len(found[0].answered)
    told: dict[str, list[str]] = {}
    for one in found:
        for name, values in one.told.items():
            told[name] = list(dict.fromkeys([*told.get(name, []), *values]))
    drifted = np.flatnonzero(np.logical_or.reduce([one.drifted for one in found]))
    marked = sorted(numbers[int(place)] for place in drifted)
    run.note(**{NOTE: {"texts": rows, "left_out": left_out, "cost": cost, "told": told, "drifted": marked} | counts})
    price = "" if cost is None else f", cost {cost:.4g}"
    said = ", ".join(f"{counts[name]} {name}" for name in ("refused", "malformed", "rejected"))
    say(
        f"service: {counts['calls']:,} answers, {counts['tokens_in'] + counts['tokens_out']:,} tokens{price}; {said}; "
        f"{sum(left_out.values())} of {rows} rows left out"
    )
