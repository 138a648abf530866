"""A service as teacher: what it is asked, and the rows on which it has nothing to say.

A row that a service refuses, rejects or answers with no class has no answer, and an invented one would be a label of
ours. So all texts are asked about before the rows of the run are fixed, and those without an answer are left out of
every part, for teacher and students alike; ``run.json`` says how many.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from stillhouse.data import Prepared, Rows, Split
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.appointing import appoint, kind_of
from stillhouse.pipeline.ingredients import Ingredients
from stillhouse.pipeline.progress import say, stage
from stillhouse.pipeline.run import Run
from stillhouse.recipe import Recipe

if TYPE_CHECKING:
    from stillhouse.teachers.endpoint import EndpointTeacher
    from stillhouse.teachers.endpoint_answers import Answered

PARTS = ("train", "valid", "test")
NOTE = "service"  # the key in run.json
SPLIT = "split.npz"

Flags = NDArray[np.bool_]


def asks_service(recipe: Recipe, have: Ingredients) -> bool:
    """Whether the teacher is a service, whose every new question is paid for."""
    if have.teacher is None:
        return kind_of(recipe.teacher) == "service"
    from stillhouse.teachers.endpoint import EndpointTeacher

    return isinstance(have.teacher, EndpointTeacher)


def check_service(recipe: Recipe, have: Ingredients) -> None:
    """Refuse what a service cannot be asked, before anything is written or paid.

    Raises:
        UsageError: the data are no texts, or rows have views.
    """
    if not asks_service(recipe, have):
        return
    kind = have.data.source.kind
    if kind != "text":
        raise UsageError(
            f"[teacher.endpoint] classifies texts, and {have.data.source.name!r} is of kind {kind}. Name a file of "
            'texts: `[data] text = "texts.csv"`, or take another teacher.'
        )
    if have.views.count > 1:
        raise UsageError(
            f"[views] count = {have.views.count}: each view of a text would be one more paid question to the service, "
            'and a row falls out where any is refused. Write `[views] policy = "none"`, and give it more texts instead.'
        )


def answered_only(run: Run, recipe: Recipe, have: Ingredients) -> Ingredients:
    """The ingredients without the rows that the service does not answer; unchanged for every other teacher.

    The service is asked about all texts of the run, once; a run whose rows are fixed already asks nothing.

    Args:
        run: where answers are kept and counts are noted.
        recipe: of the run.
        have: its ingredients.

    Raises:
        StoppedError: a ceiling is reached, or the service does not answer; what was answered is kept.
        RejectedError: the service takes none of the texts, or too few rows are left.
        UsageError: see ``check_service``; there is no key.
    """
    check_service(recipe, have)
    if not asks_service(recipe, have):
        return have
    if NOTE in run.record and (run.folder / SPLIT).exists():
        return keeping(have, kept_before(run.folder, have.data.split))
    found = ask(run, recipe, have)
    ends = np.cumsum([len(getattr(have.data.split, part)) for part in PARTS])[:-1]
    keep = dict(zip(PARTS, np.split(found.answered, ends), strict=True))
    left = keeping(have, keep)
    note(run, found, keep)
    return left


def ask(run: Run, recipe: Recipe, have: Ingredients) -> Answered:
    """Ask about every text of the three parts, in their order; answers of an earlier run are not asked again."""
    texts = [str(text) for part in PARTS for text in have.raw(part)]
    different = len(dict.fromkeys(texts))
    with run.timed("ask teachers"), stage("asking the service", different, "texts") as advance:
        return service_of(run, recipe, have).prefetch(texts, advance)


def service_of(run: Run, recipe: Recipe, have: Ingredients) -> EndpointTeacher:
    """The service of the recipe, or the one given from Python."""
    if have.teacher is not None:
        return cast("EndpointTeacher", have.teacher)
    made = appoint(
        recipe.teacher,
        None,
        classes=have.data.source.classes,
        decode=have.data.encoder.decode,
        probe=None,
        layers=(),
        precision="32-true",
        folder=run.folder,
    )
    return cast("EndpointTeacher", made)


def keeping(have: Ingredients, keep: dict[str, Flags]) -> Ingredients:
    """The ingredients with only some rows of each part.

    Args:
        have: all of them.
        keep: for each part, which of its rows stay.

    Raises:
        RejectedError: a part, or a class among the labelled rows, would be empty.
    """
    data = have.data
    rows = {part: getattr(data.split, part)[keep[part]] for part in PARTS}
    labelled = data.split.labelled[np.isin(data.split.labelled, rows["train"])]
    refuse_losses(data, rows, labelled)
    inner: dict[str, Any] = {part: chosen(getattr(data, part), keep[part]) for part in PARTS}
    return replace(have, data=data._replace(split=Split(**rows, labelled=labelled), **inner))


def chosen(rows: Rows, keep: Flags) -> Rows:
    """Some encoded rows."""
    places = np.flatnonzero(keep)
    return Rows(rows.inputs[places], rows.targets[places])


def refuse_losses(data: Prepared, rows: dict[str, NDArray[np.int64]], labelled: NDArray[np.int64]) -> None:
    """Refuse a run in which nothing is left to learn from, or to judge by."""
    gone = [part for part in PARTS if len(getattr(data.split, part)) and not len(rows[part])]
    before, after = (set(data.source.labels[some].tolist()) for some in (data.split.labelled, labelled))
    gone += [f"labelled rows of class {data.source.classes[c]!r}" for c in sorted(before - after)]
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


def note(run: Run, found: Answered, keep: dict[str, Flags]) -> None:
    """What the service said and cost, into ``run.json`` and as a line."""
    left_out = {part: int((~flags).sum()) for part, flags in keep.items()}
    counts = {name: getattr(found, name) for name in ("refused", "malformed", "rejected", "calls")}
    spent = {"tokens_in": found.tokens_in, "tokens_out": found.tokens_out, "cost": found.cost}
    texts = {"texts": len(found.answered), "scored": found.scored, "left_out": left_out}
    run.note(**{NOTE: texts | counts | spent})
    price = "" if found.cost is None else f", cost {found.cost:.4g}"
    said = ", ".join(f"{counts[name]} {name}" for name in ("refused", "malformed", "rejected"))
    say(
        f"service: {found.calls:,} answers, {found.tokens_in + found.tokens_out:,} tokens{price}; {said}; "
        f"{sum(left_out.values())} of {len(found.answered)} rows left out"
    )
