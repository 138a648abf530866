"""From a recipe, or from the user's own objects, to what a run is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from torch import Tensor, nn

from stillhouse import methods
from stillhouse.data import Prepared, Source, Split, Views, choose_labelled, from_torch, prepare, read, split
from stillhouse.errors import UsageError
from stillhouse.methods.base import Method
from stillhouse.pipeline.context import TASK, Ingredients
from stillhouse.pipeline.masked_lm_views import Guesses, check_model, folder_digest
from stillhouse.pipeline.run.folder import ROWS, check_folder
from stillhouse.pipeline.student.factory import check_student, fitted_name, make_students
from stillhouse.pipeline.teacher.build import check_folds, identity, kind_of, ready, text_options, token_embedding
from stillhouse.pipeline.teacher.selection import asked_only
from stillhouse.pipeline.validate import check_codec, check_disagreement
from stillhouse.recipe import Data, MethodEntry, Recipe
from stillhouse.task import OutputSpec
from stillhouse.teachers import EnsembleTeacher

NEIGHBOURS = 8  # of each word or place, among which the view "masked" draws


def gather(recipe: Recipe, *, teacher: Any, student: Any, data: Any, allow_code: bool) -> Ingredients:
    """Read the data, draw the splits, and find who teaches and who learns.

    Raises:
        UsageError: the recipe names what does not exist, or code without leave.
        RejectedError: the data cannot be used.
    """
    kind = kind_of(recipe.teacher, teacher)
    check_folds(recipe.teacher, teacher, same_teacher=recipe.controls.same_teacher)
    # The user's own module gets the user's own numbers; nets of ours get standardised ones.
    own = isinstance(teacher, nn.Module) or student is not None
    prepared, parts = gather_data(recipe, data, as_is=own)
    parts |= contents(recipe)
    encoder, shape, classes = prepared.encoder, tuple(prepared.train.inputs.shape[1:]), len(prepared.source.classes)
    vocabulary = getattr(encoder, "vocabulary", None)
    made = make_students(
        recipe.student, student, shape=shape, classes=classes, vocabulary=vocabulary, allow_code=allow_code
    )
    made.probe = prepared.train.inputs[:64]
    if student is not None:
        own_net = made.begin()
        parts["student"] = xxhash.xxh3_64_hexdigest(repr(own_net).encode())
        check_student(own_net, made.probe, classes)
    if teacher is not None:
        parts["teacher"] = identity(teacher, TASK, OutputSpec((classes,)))
    entries = recipe.method
    checked = make_methods(entries)
    if any("features" in m.needs or "embedding" in m.needs for _, m, _ in checked):
        refuse_features(recipe, kind, teacher)
    check_codec(recipe.store, checked)
    fitted = fitted_name(recipe, made.card)
    check_disagreement(recipe, kind == "members" or isinstance(teacher, EnsembleTeacher), checked, fitted)
    have = Ingredients(
        prepared, make_views(recipe, prepared), made, lambda: make_methods(entries), teacher, parts, fitted
    )
    if recipe.teacher.calls is None:
        return have
    if not ready(recipe.teacher, teacher):
        raise UsageError(
            "[teacher] calls says which rows a ready teacher is asked about; one that is trained here needs them all. "
            "Take it out, or give `[teacher] file`, hub or endpoint."
        )
    return asked_only(have, recipe.teacher.calls, recipe.teacher.ask)


def make_views(recipe: Recipe, prepared: Prepared) -> Views:
    """The views of a run, with all that their policy needs to know of the data."""
    wanted, encoder = recipe.views, prepared.encoder
    check_model(wanted.policy, wanted.model, encoder)
    told: dict[str, Any] = {}
    if wanted.policy == "munge":
        told["column_groups"] = getattr(encoder, "column_groups", ())
    if prepared.source.kind == "text":
        told |= {"mask_id": getattr(encoder, "mask_id"), "special_ids": getattr(encoder, "special_ids")}  # noqa: B009
    if wanted.policy == "masked":
        if wanted.model is not None:
            told["guesser"] = Guesses(wanted.model, encoder, NEIGHBOURS, recipe.output.dir)
        else:
            told["neighbours"] = neighbours(recipe, told.get("special_ids", ()))
    return Views(
        wanted.policy,
        wanted.count if wanted.policy != "none" else 1,
        wanted.strength,
        recipe.data.seed,
        fill=encoder.fill,
        columns=encoder.noise_columns,
        pool=prepared.train.inputs,
        **told,
    )


def neighbours(recipe: Recipe, special_ids: tuple[int, ...]) -> Tensor:
    """The words near each word, by the token embeddings of a hub teacher, int64 (V, k)."""
    from stillhouse.data.views.tokens import token_neighbours

    return token_neighbours(token_embedding(recipe.teacher), NEIGHBOURS, special_ids=special_ids)


def parts_of(data: Any) -> tuple[Any, Any, Any]:
    """The user's own training, validation and test data.

    Raises:
        UsageError: they are not three, or training or test is None.
    """
    if not isinstance(data, tuple | list) or len(data) != 3 or data[0] is None or data[2] is None:
        raise UsageError(
            "data must be the three parts (train, valid, test), each a dataset, a loader or a pair (x, y). Only valid "
            "may be None: `data=((x, y), None, (x_test, y_test))`."
        )
    return data[0], data[1], data[2]


def gather_data(recipe: Recipe, data: Any, *, as_is: bool) -> tuple[Prepared, dict[str, str]]:
    """The rows, from the recipe's [data] or from the user's own datasets."""
    wanted = recipe.data
    if data is not None:
        train, valid, test = parts_of(data)
        source, own = from_torch(train, valid, test, classes=wanted.classes)
        own = replace(own, labelled=choose_labelled(source, own.train, labels=wanted.labels, seed=wanted.seed))
        options = text_options(wanted.model_copy(update={"text": Path()}), recipe.teacher)
        ready = replace(source, as_is=as_is and source.as_is)
        return prepare(ready, own, options, rows_folder(recipe)), {"data": source.fingerprint()}
    source = read_source(wanted, recipe.evaluation.groups, rows_folder(recipe))
    drawn = divide(source, wanted)
    # The file's content belongs to the run's identity: the same recipe over changed rows is another run.
    options = text_options(wanted, recipe.teacher)
    return prepare(source, drawn, options, rows_folder(recipe)), {"data": source.fingerprint()}


def rows_folder(recipe: Recipe) -> Path | None:
    """Where the rows of a run wait on disk; None: in memory.

    Raises:
        UsageError: the run folder holds something else.
    """
    if not recipe.data.on_disk:
        return None
    check_folder(recipe.output.dir)
    return recipe.output.dir / ROWS


def read_source(wanted: Data, groups: Sequence[str] = (), on_disk: Path | None = None) -> Source:
    """What [data] names."""
    sides = [name for name in (wanted.group, wanted.order) if name is not None]
    columns = wanted.path is not None or wanted.text is not None
    if sides and not columns:
        raise UsageError("[data] group and order name columns of a table or of a file of texts. Take them out.")
    return read(
        name=wanted.name,
        path=wanted.path,
        arrays=wanted.arrays,
        images=wanted.images,
        text=wanted.text,
        column=wanted.column,
        target=wanted.target,
        header=wanted.header,
        drop=wanted.drop if wanted.group is None or wanted.text is not None else [*wanted.drop, wanted.group],
        keep=list(dict.fromkeys([*sides, *groups])) if columns else [],
        types=wanted.types,
        classes=wanted.classes,
        on_disk=on_disk,
    )


def divide(source: Source, wanted: Data) -> Split:
    """Draw the splits; no group on two sides, the latest rows last, where the recipe says so."""
    sides: dict[str, np.ndarray] = {}
    for key, name in (("groups", wanted.group), ("order", wanted.order)):
        if name is not None:
            sides[key] = side_column(source, name, key)
    return split(source, labels=wanted.labels, valid=wanted.valid, test=wanted.test, seed=wanted.seed, **sides)


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


def contents(recipe: Recipe) -> dict[str, str]:
    """Hashes of the files a recipe names beside the data: other contents are another run."""
    found: dict[str, str] = {}
    teachers = [recipe.teacher, *recipe.teacher.member]
    named = [(f"teacher file {i}", t.file) for i, t in enumerate(teachers)]
    named += [("student start", recipe.student.start), ("tokenizer", recipe.data.tokenizer)]
    for what, path in named:
        if path is not None and path.is_file():
            found[what] = xxhash.xxh3_64_hexdigest(path.read_bytes())
    for i, teacher in enumerate(teachers):
        if teacher.hub is not None and Path(teacher.hub).is_dir():
            found[f"teacher hub {i}"] = folder_digest(Path(teacher.hub))
        elif teacher.hub is not None:
            found[f"teacher hub {i}"] = f"{teacher.hub}@{getattr(teacher, 'revision', None)}"
    if recipe.views.model is not None and recipe.views.model.is_dir():
        found["views model"] = folder_digest(recipe.views.model)
    return found


def make_methods(entries: Sequence[MethodEntry]) -> list[tuple[str, Method, float]]:
    """Fresh methods with their weights; a method that stands twice gets a number behind its name."""
    made: list[tuple[str, Method, float]] = []
    for entry in entries:
        before = sum(name.split("#")[0] == entry.name for name, _, _ in made)
        name = f"{entry.name}#{before + 1}" if before else entry.name
        made.append((name, methods.make(entry.name, **entry.settings), entry.weight))
    return made


def refuse_features(recipe: Recipe, kind: str, teacher: Any) -> None:
    """Only nets have hidden layers to match."""
    if kind == "net" and recipe.teacher.folds is not None:
        raise UsageError(
            f"The method asks for hidden layers of the teacher, and with [teacher] folds = {recipe.teacher.folds} rows "
            "are answered by different nets, whose hidden layers have nothing in common. Take folds out, or match "
            'probabilities, for instance `[[method]] name = "hinton"`.'
        )
    net = isinstance(teacher, nn.Module) or kind in ("net", "hub")
    net = net or (kind == "file" and str(recipe.teacher.file).endswith(".safetensors"))
    if not net:
        who = type(teacher).__name__ if teacher is not None else recipe.teacher.name or kind
        raise UsageError(
            f"The method asks for hidden layers of the teacher, and {who!r} has none. "
            'Match its probabilities, for instance `[[method]] name = "hinton"`, or take a neural teacher.'
        )
