"""The rows of a run: what [data] names, or the user's own, read, divided and encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stillhouse.data import Prepared, Source, Split, choose_labelled, from_torch, prepare, read, split
from stillhouse.data.cells import first_five
from stillhouse.data.encoders.made import fewer, kept_rows
from stillhouse.data.reading.files import read_text_inputs
from stillhouse.data.splits.groups import code_groups
from stillhouse.data.splits.order import code_order
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.run.folder import ROWS, check_folder
from stillhouse.pipeline.teacher.build import text_options
from stillhouse.recipe import Data, Recipe
from stillhouse.task import Task
from stillhouse.types import withheld


def parts_of(data: Any) -> tuple[Any, Any, Any]:
    """The user's own training, validation and test data.

    Raises:
        UsageError: they are not three, or training or test is None.
    """
    if not isinstance(data, tuple | list) or len(data) != 3 or data[0] is None or data[2] is None:
        raise UsageError(
            "data must be the three parts (train, valid, test), each a dataset, a loader or a pair (x, y). Only valid "
            "may be None: `data=((x, y), None, (x_test, y_test))`. A file is named by a table laid over [data]: "
            '`data={"path": "table.csv", "target": "label"}`.'
        )
    return data[0], data[1], data[2]


def unlabelled(found: Prepared, judged: bool) -> Prepared:
    """The same rows without labels; where there are some, the source keeps them for the judgement alone."""
    source = found.source if judged else replace(found.source, targets=np.full(len(found.source), -1), names=())
    train, valid, test = (part._replace(targets=withheld(part.targets)) for part in found[3:])
    split_ = replace(found.split, labelled=found.split.train[:0])
    return Prepared(source, split_, found.encoder, train, valid, test)


class Read(NamedTuple):
    """The rows of a run."""

    data: Prepared  # that the student and its controls may use
    whole: Prepared | None  # where these are fewer than there are: all, for a teacher that is trained here
    fingerprint: str


def read_rows(recipe: Recipe, data: Any, task: Task, *, as_is: bool, cells: bool = False, ready: bool) -> Read:
    """Read, divide and encode the rows of [data], or the user's own.

    Args:
        recipe: of the run.
        data: from Python, or None.
        task: of the run.
        as_is: whether the user's own module gets the user's own numbers.
        cells: whether the teacher is shown the user's own cells.
        ready: whether the teacher comes trained; else it is trained on rows that the student may not use.
    """
    wanted, fixed = recipe.data, recipe.data.rows
    if (own := task.prepared(recipe)) is not None:
        return Read(own, None, own.source.fingerprint())
    if fixed and ready:  # nobody here has seen the other rows, so no encoder is fitted to them
        found, fingerprint = prepared_rows(recipe, data, task, as_is=as_is, cells=cells, rows=fixed)
        return Read(found, None, fingerprint)
    whole, fingerprint = prepared_rows(recipe, data, task, as_is=as_is, cells=cells, rows=None)
    if fixed is None:
        return Read(whole, None, fingerprint)
    parts = fewer(whole.source, whole.split, fixed, wanted.labels, wanted.seed)
    seen = whole.split if not fixed else replace(whole.split, labelled=parts.labelled)
    return Read(kept_rows(whole, parts), whole._replace(split=seen), fingerprint)


def prepared_rows(
    recipe: Recipe, data: Any, task: Task, *, as_is: bool, cells: bool, rows: int | None
) -> tuple[Prepared, str]:
    """The rows and their fingerprint; ``rows``: how many are for training, None for all."""
    wanted, folder = recipe.data, rows_folder(recipe)

    def some(source: Source, parts: Split) -> Split:
        return parts if rows is None else fewer(source, parts, rows, wanted.labels, wanted.seed)

    if data is not None:
        source, own = read_parts(recipe, data, task, recipe.evaluation.groups, original=cells)
        check_parts(source, own, wanted)
        own = replace(own, labelled=choose_labelled(source, own.train, labels=wanted.labels, seed=wanted.seed))
        options = text_options(wanted.model_copy(update={"text": Path()}), recipe.teacher)
        as_given = replace(source, as_is=as_is and source.as_is)
        return prepare(as_given, some(source, own), options, folder, wanted.weight), source.fingerprint(
            side_names(wanted)
        )
    source = read_source(wanted, task, recipe.evaluation.groups, folder, original=cells)
    # The file's content belongs to the run's identity: the same recipe over changed rows is another run.
    parts = some(source, divide(source, wanted))
    prepared = prepare(source, parts, text_options(wanted, recipe.teacher), folder, wanted.weight)
    return prepared, source.fingerprint(side_names(wanted))


def read_again(recipe: Recipe, data: Any, task: Task, keep: str) -> Source:
    """The rows of a run as they are read now, with one more column kept beside the inputs."""
    if data is None:
        return read_source(recipe.data, task, [keep], rows_folder(recipe))
    return read_parts(recipe, data, task, [keep])[0]


def read_parts(
    recipe: Recipe, data: Any, task: Task, keep: Sequence[str], *, original: bool = False
) -> tuple[Source, Split]:
    """The user's own data from Python and its parts, as the settings of [data] say."""
    wanted, sides = recipe.data, side_names(recipe.data)
    return from_torch(
        *parts_of(data),
        wanted.classes,
        no_label=wanted.no_label,
        read_targets=task.read_targets,
        original=original,
        drop=[*wanted.drop, *sides],
        keep=[*sides, *keep],
        types=wanted.types,
    )


def rows_folder(recipe: Recipe) -> Path | None:
    """Where the rows of a run wait on disk; None: in memory.

    Raises:
        UsageError: the run folder holds something else.
    """
    if not recipe.data.on_disk:
        return None
    check_folder(recipe.output.dir)
    return recipe.output.dir / ROWS


def read_source(
    wanted: Data, task: Task, groups: Sequence[str] = (), on_disk: Path | None = None, *, original: bool = False
) -> Source:
    """What [data] names."""
    if not task.supervised and wanted.target is None:
        return unlabelled_texts(wanted)
    sides = side_names(wanted)
    columns = wanted.path is not None or wanted.text is not None
    if sides and not columns:
        raise UsageError(
            "[data] group, order and weight name columns of a table or of a file of texts. Remove these lines."
        )
    return read(
        name=wanted.name,
        path=wanted.path,
        arrays=wanted.arrays,
        images=wanted.images,
        text=wanted.text,
        column=wanted.column,
        target=wanted.target,
        header=wanted.header,
        drop=wanted.drop if wanted.text is not None else [*wanted.drop, *sides],
        keep=list(dict.fromkeys([*sides, *groups])) if columns else [],
        types=wanted.types,
        classes=wanted.classes,
        no_label=wanted.no_label,
        original=original,
        on_disk=on_disk,
        read_targets=task.read_targets,
    )


def unlabelled_texts(wanted: Data) -> Source:
    """Texts of a file without a column of labels; each has the same class, so that they can be divided."""
    path = Path(str(wanted.text))
    raw = read_text_inputs(path, wanted.column, header=wanted.header)
    return Source(raw, np.zeros(len(raw), np.int64), ("text",), "text", path.stem, ())


def divide(source: Source, wanted: Data) -> Split:
    """Draw the splits; a group stays on one side and the latest rows come last, where the recipe asks for it."""
    sides: dict[str, np.ndarray] = {}
    for key, name in (("groups", wanted.group), ("order", wanted.order)):
        if name is not None:
            sides[key] = side_column(source, name, key)
    return split(source, labels=wanted.labels, valid=wanted.valid, test=wanted.test, seed=wanted.seed, **sides)


def side_names(wanted: Data) -> list[str]:
    """The columns that divide, order or weigh the rows; they are no inputs."""
    return [name for name in (wanted.group, wanted.order, wanted.weight) if name is not None]


def check_parts(source: Source, parts: Split, wanted: Data) -> None:
    """Hold the parts that the user gave against [data] group and order.

    Raises:
        RejectedError: a group has rows in two parts, or a later part begins before an earlier one ends.
    """
    named = {"training": parts.train, "validation": parts.valid, "test": parts.test}
    for (first, a), (second, b) in combinations(named.items(), 2):
        if wanted.group is not None:
            groups = code_groups(source.kept[wanted.group], len(source), "The frame")
            if (shared := np.isin(groups[a], groups[b])).any():
                raise RejectedError(
                    f"[data] group = {wanted.group!r}: {first_five(shared)} of the {first} data belong to groups that "
                    f"the {second} data hold too. Put each group into one part, or remove the line."
                )
        if wanted.order is not None and len(a) and len(b):
            times = code_order(source.kept[wanted.order], len(source), "The frame")
            if (late := times[a] >= times[b].min()).any():
                raise RejectedError(
                    f"[data] order = {wanted.order!r}: {first_five(late)} of the {first} data are not earlier than the "
                    f"first of the {second} data. Divide the rows in time, or remove the line."
                )


def side_column(source: Source, name: str, key: str) -> np.ndarray:
    """The cells of a column by which rows are divided, kept beside the inputs or among them."""
    if name in source.kept:
        return source.kept[name]
    if not isinstance(source.raw, np.ndarray) and name in source.raw.columns:
        found: np.ndarray = source.raw[name].to_numpy()
        return found
    raise UsageError(
        f"[data] {key.removesuffix('s')} = {name!r}: {source.name!r} has no such column. Name one of the file's."
    )
