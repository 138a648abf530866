"""From a recipe, or from the user's own objects, to what a run is made of."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import xxhash
from torch import Tensor, nn

from stillhouse import methods, students
from stillhouse.data import Prepared, Views, choose_labelled, from_torch, prepare, read, split
from stillhouse.engine import Budget
from stillhouse.errors import RejectedError, UsageError
from stillhouse.methods.base import Method
from stillhouse.pipeline.keeping import check_codec
from stillhouse.recipe import MethodEntry, Recipe, Training

CODE = "python:"  # prefix of the user's own functions in a recipe
DEFAULT_STEPS = 1000
NetMaker = Callable[[], nn.Module]


@dataclass(frozen=True)
class Ingredients:
    """All that the stages need, unpacked from the recipe."""

    data: Prepared
    views: Views
    make_student: NetMaker
    student_card: dict[str, Any]  # how to build it again; empty for the user's own
    make_methods: Callable[[], list[tuple[str, Method, float]]]
    teacher: nn.Module | None  # given from Python; else the recipe's [teacher] is made
    parts: dict[str, str]  # fingerprints of what came from Python

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.data.source.classes)

    @property
    def labelled(self) -> Tensor:
        """Positions in the training rows that keep their label for the student."""
        return torch.from_numpy(self.data.split.labelled_positions())


def gather(recipe: Recipe, *, teacher: Any, student: Any, data: Any, allow_code: bool) -> Ingredients:
    """Read the data, draw the splits, and find who teaches and who learns.

    Raises:
        UsageError: the recipe names what does not exist, or code without leave.
        RejectedError: the data cannot be used.
    """
    # The user's own module gets the user's own numbers; nets of ours get standardised ones.
    prepared, parts = gather_data(recipe, data, as_is=teacher is not None or student is not None)
    views = Views(
        recipe.views.policy,
        recipe.views.count if recipe.views.policy != "none" else 1,
        recipe.views.strength,
        recipe.data.seed,
        fill=prepared.encoder.fill,
        columns=prepared.encoder.noise_columns,
        pool=prepared.train.inputs,
    )
    shape, classes = tuple(prepared.train.inputs.shape[1:]), len(prepared.source.classes)
    card: dict[str, Any] = {}
    if student is None:
        name = recipe.student.name or "mlp_tiny"
        make = net_maker(name, recipe.student.settings, shape, classes, allow_code)
        if not name.startswith(CODE):
            card = {"name": name, "settings": recipe.student.settings, "shape": list(shape)}
    else:
        make = own_student(student)
        parts["student"] = xxhash.xxh3_64_hexdigest(repr(make()).encode())
    if isinstance(teacher, nn.Module):
        from stillhouse.teachers import ModuleTeacher

        parts["teacher"] = ModuleTeacher(copy.deepcopy(teacher), classes).fingerprint()
    elif teacher is not None:
        raise UsageError(
            f"teacher must be an nn.Module or None (then [teacher] is used), not {type(teacher).__name__}."
        )
    entries = recipe.method
    checked = make_methods(entries)
    if any("features" in m.needs or "embedding" in m.needs for _, m, _ in checked) and teacher is None:
        refuse_trees_with_features(recipe)
    check_codec(recipe.store, checked)
    return Ingredients(prepared, views, make, card, lambda: make_methods(entries), teacher, parts)


def gather_data(recipe: Recipe, data: Any, *, as_is: bool) -> tuple[Prepared, dict[str, str]]:
    """The rows, from the recipe's [data] or from the user's own datasets."""
    wanted = recipe.data
    if data is not None:
        train, valid, test = data
        source, own = from_torch(train, valid, test, classes=wanted.classes)
        own = replace(own, labelled=choose_labelled(source, own.train, labels=wanted.labels, seed=wanted.seed))
        return prepare(replace(source, as_is=as_is), own), {"data": source.fingerprint()}
    given = [wanted.name, wanted.path, wanted.arrays]
    if sum(g is not None for g in given) != 1:
        raise UsageError('[data] needs exactly one of name, path, arrays; for instance `[data] name = "digits"`.')
    source = read(
        name=wanted.name,
        path=wanted.path,
        arrays=wanted.arrays,
        target=wanted.target,
        header=wanted.header,
        drop=wanted.drop,
        types=wanted.types,
        classes=wanted.classes,
    )
    drawn = split(source, labels=wanted.labels, valid=wanted.valid, test=wanted.test, seed=wanted.seed)
    # The file's content belongs to the run's identity: the same recipe over changed rows is another run.
    return prepare(source, drawn), {"data": source.fingerprint()}


def net_maker(name: str, settings: dict[str, Any], shape: tuple[int, ...], classes: int, allow_code: bool) -> NetMaker:
    """A function that builds a named net, from the zoo or from the user's own code."""
    if name.startswith(CODE):
        function = own_code(name, allow_code)
        return lambda: checked_module(function(shape=shape, classes=classes, **settings), name)
    make: NetMaker = lambda: students.make(name, shape=shape, classes=classes, settings=settings)  # noqa: E731
    make()  # a wrong name or setting is told now, not after the teacher was trained
    return make


def own_student(student: Any) -> NetMaker:
    """A module is copied as it is for every seed and arm (its weights may be pretrained); a function builds anew."""
    if isinstance(student, nn.Module):
        return lambda: copy.deepcopy(student)
    if callable(student):
        return lambda: checked_module(student(), "student")
    raise UsageError(f"student must be an nn.Module or a function that makes one, not {type(student).__name__}.")


def own_code(name: str, allow: bool) -> Callable[..., Any]:
    """Import ``python:package.module:function``.

    Raises:
        UsageError: without leave, or when it cannot be imported.
    """
    if not allow:
        raise UsageError(f"{name!r} would run your own code. If you trust this recipe, add `--allow-code`.")
    module, _, function = name.removeprefix(CODE).partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"{name!r} cannot be imported ({error}). It must read python:package.module:function."
        ) from error
    return found


def checked_module(made: Any, name: str) -> nn.Module:
    """What a user's function returned, if it is a module."""
    if not isinstance(made, nn.Module):
        raise UsageError(f"{name} returned {type(made).__name__}; it must return an nn.Module.")
    return made


def make_methods(entries: Sequence[MethodEntry]) -> list[tuple[str, Method, float]]:
    """Fresh methods with their weights; a method that stands twice gets a number behind its name."""
    made: list[tuple[str, Method, float]] = []
    for entry in entries:
        before = sum(name.split("#")[0] == entry.name for name, _, _ in made)
        name = f"{entry.name}#{before + 1}" if before else entry.name
        made.append((name, methods.make(entry.name, **entry.settings), entry.weight))
    return made


def refuse_trees_with_features(recipe: Recipe) -> None:
    """Trees have no hidden layers to match."""
    from stillhouse.teachers import SKLEARN_NAMES

    if recipe.teacher.name in SKLEARN_NAMES:
        raise UsageError(
            f"The method asks for hidden layers of the teacher, and {recipe.teacher.name!r} has none. "
            'Match its probabilities, for instance `[[method]] name = "hinton"`, or take a neural teacher.'
        )


def budget_of(training: Training, rows: int) -> Budget:
    """The budget of a fit on ``rows`` training rows.

    Raises:
        RejectedError: there are fewer rows than one batch holds.
    """
    if rows < training.batch_size:
        raise RejectedError(
            f"There are {rows} training rows, fewer than one batch of {training.batch_size}. "
            f"Set `[training] batch_size = {max(1, rows // 2)}` or less."
        )
    steps = training.steps or (training.epochs * -(-rows // training.batch_size) if training.epochs else DEFAULT_STEPS)
    return Budget(
        steps,
        training.batch_size,
        training.lr,
        training.weight_decay,
        training.precision,
        training.checkpoint_every,
        training.log_every,
        training.compile,
        training.keep,
    )
