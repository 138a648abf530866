"""From a recipe, or from the user's own objects, to the context of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import xxhash
from torch import Tensor, nn

from stillhouse import methods, tasks
from stillhouse.data import Prepared
from stillhouse.data.splits.duplicates import across, sentences
from stillhouse.data.stream import order_version
from stillhouse.errors import RejectedError, UsageError
from stillhouse.evaluation import check_measure
from stillhouse.methods.base import Method
from stillhouse.pipeline.made.entries import identities as made_identities
from stillhouse.pipeline.made.entries import join_made
from stillhouse.pipeline.run.context import Given, MadePart, RunContext, budget_of
from stillhouse.pipeline.run.differences import WEIGHTS
from stillhouse.pipeline.run.folder import TASK, RunFolder, open_run
from stillhouse.pipeline.run.overwrite import clear_run
from stillhouse.pipeline.run.rows_kept import KeptRows
from stillhouse.pipeline.run.user_code import CODE, own_code
from stillhouse.pipeline.setup.masked_lm_views import folder_digest
from stillhouse.pipeline.setup.rows import read_rows, unlabelled
from stillhouse.pipeline.setup.validate import check_disagreement, check_guard, check_recipe
from stillhouse.pipeline.setup.views import make_views, own_view
from stillhouse.pipeline.student.factory import StudentFactory, fitted_name, make_students
from stillhouse.pipeline.student.own import tried
from stillhouse.pipeline.student.reading import rows_of_students, student_encoder
from stillhouse.pipeline.student.scratch import starts_alike
from stillhouse.pipeline.teacher.build import (
    check_unlabelled,
    hub_net,
    kind_of,
    reads_cells,
    ready,
)
from stillhouse.pipeline.teacher.endpoint import answered_only, check_service
from stillhouse.pipeline.teacher.selection import asked_only
from stillhouse.recipe import MethodEntry, Recipe, TaskSection
from stillhouse.taps import try_taps
from stillhouse.task import Link, OutputSpec, Task
from stillhouse.teachers import EnsembleTeacher, output_of, taking_float32
from stillhouse.teachers.fitted.teacher import asked
from stillhouse.teachers.identity import given_identity, identity_of
from stillhouse.types import has_label, in_eval

PROBE = 64  # training rows on which the user's own student is tried
TWO = 2  # rows that say how wide a teacher's answers are


def set_up(recipe: Recipe, given: Given, *, command: str, folder: Path | None = None, parts: Any = None) -> RunContext:
    """Read the data, draw the splits, find teacher and students, and open the run folder.

    Args:
        recipe: of the run.
        given: what came from Python.
        command: what the user typed, for the report.
        folder: of a plan, in place of [output] dir; then no service is asked, for each answer is paid for.
        parts: what else belongs to the identity of the run.

    Raises:
        UsageError: the recipe names what does not exist, or code that the user did not allow.
        RejectedError: the data cannot be used.
    """
    task = tasks.get(recipe.task.name)
    recipe = task.settle(recipe)
    kind = kind_of(recipe.teacher, given.teacher)
    make_methods = given.methods or method_maker(recipe.method, task)
    checked = make_methods()
    check_recipe(recipe, given, task, checked)
    task, data, whole, made, fingerprint = data_of(recipe, given, task, checked)
    found = {"data": fingerprint} | contents(recipe)
    if task.name != TaskSection().name:
        found[TASK] = task.name
    if (order := order_version(len(data.train.targets), recipe.training.order)) is not None:
        found["order"] = order
    check_measure(task, recipe.evaluation.measure or task.headline, data.source.names)
    spec, teacher = task.output_spec(data.source.targets, data.source.names), given.teacher
    if spec is None:
        spec, teacher = spec_of_teacher(recipe, given, task, data)
    views = make_views(recipe, given, data)
    read = student_encoder(recipe.student, given.student, data, views)
    rows = rows_of_students(data, read, PROBE)
    students = students_of(recipe, given, spec, task, data, rows)
    if students.own:
        size = budget_of(recipe.training, len(data.train.targets)).batch_size
        students.build = tried(students.build, given.student, rows, task, spec, size)
        students.pretrained = students.pretrained or (recipe.controls.from_scratch and starts_alike(students.build))
    layers = sorted({path for _, method, _ in checked for path in method.student_layers})
    if layers and students.derived is None:  # what is cut out of a teacher has the teacher's layers
        try_taps(in_eval(students.make()), layers, rows[:2])
        training = students.make()
        training.train()
        try_taps(training, layers, rows[:2])
    found |= identities(recipe, given, checked) | made_identities(recipe)
    fitted = fitted_name(recipe, students.card, task)
    several = kind == "members" or isinstance(given.teacher, EnsembleTeacher)
    check_disagreement(recipe, several, checked, fitted)
    labelled_valid = task.supervised and len(data.valid.targets) > 0 and bool(has_label(data.valid.targets).any())
    check_guard(recipe, labelled_valid, fitted)
    # Nothing is written before the last check: the context gets its folder when all have passed.
    aside = recipe if folder is None else moved(recipe, folder)
    unopened = cast(RunFolder, None)
    context = RunContext(
        aside, task, spec, data, views, students, make_methods, teacher, unopened, read, fitted, whole, made
    )
    check_service(context)
    context = only_asked(context)
    clear = clear_run if given.overwrite else None
    rows_kept = KeptRows(data.source, data.split, recipe.evaluation.max_duplicates)
    run = open_run(aside, command=command, parts=found | (parts or {}), clear=clear, changed=rows_kept.changed)
    rows_kept.keep(run, task.supervised)
    if not task.supervised:
        run.note(found=sentences(across(data.source, data.split)))
    context = replace(context, run=run)
    return answered_only(context) if folder is None else context


class RunData(NamedTuple):
    """The rows of a run, and the task that is fitted to them."""

    task: Task
    data: Prepared  # for the student and its controls
    whole: Prepared | None  # see ``RunContext.whole``
    made: tuple[MadePart, ...]
    fingerprint: str


def data_of(recipe: Recipe, given: Given, task: Task, checked: Sequence[tuple[str, Method, float]]) -> RunData:
    """Read the rows, fit the task to their targets, and join the rows that are made."""
    # The user's own module gets the user's own numbers; nets of ours get standardised ones.
    own = isinstance(given.teacher, nn.Module) or given.student is not None
    cells, trained = reads_cells(recipe.teacher, given.teacher), ready(recipe.teacher, given.teacher)
    trained = trained and not hasattr(given.teacher, "fold_of")  # its folds count all rows
    data, whole, fingerprint = read_rows(recipe, given.data, task, as_is=own, cells=cells, ready=trained)
    data = data if task.supervised else unlabelled(data, recipe.data.target is not None)
    check_unlabelled(recipe, given.teacher, checked, data.source, task)
    if task.supervised:
        seen = data.split.labelled if whole is None or len(data.split.labelled) else whole.split.labelled
        task = task.bind(data.source.targets[seen], data.source.names)
        data, whole = entered(task, data), None if whole is None else entered(task, whole)
    whole = data if recipe.made and whole is None else whole
    data, made = join_made(recipe, data, whole, classes=task.link == "softmax")
    return RunData(task, data, whole, made, fingerprint)


def entered(task: Task, data: Prepared) -> Prepared:
    """The data with targets in the units of training."""
    return Prepared(*data[:3], *(part._replace(targets=task.enter(part.targets)) for part in data[3:]))


def moved(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with another run folder."""
    return recipe.model_copy(update={"output": recipe.output.model_copy(update={"dir": folder})})


def only_asked(context: RunContext) -> RunContext:
    """The context with the rows that [teacher] calls reach."""
    wanted = context.recipe.teacher
    if wanted.calls is None:
        return context
    if not ready(wanted, context.teacher):
        raise UsageError(
            "[teacher] calls says which rows a ready teacher is asked about; one that is trained here needs them all. "
            "Take it out, or give `[teacher] file`, hub or endpoint."
        )
    return asked_only(context, wanted.calls, wanted.ask)


def students_of(recipe: Recipe, given: Given, spec: OutputSpec, task: Task, data: Prepared, rows: Tensor) -> Any:
    """How students are built: by the task, or as everywhere."""
    own = None if given.student is not None else task.students(recipe, spec, data)
    return student_factory(recipe, given, spec, task.link, data, rows) if own is None else own


def student_factory(
    recipe: Recipe, given: Given, spec: OutputSpec, link: Link, data: Prepared, rows: Tensor
) -> StudentFactory:
    """How students are built, which read ``rows``."""
    made = make_students(
        recipe.student,
        given.student,
        shape=tuple(rows.shape[1:]),
        outputs=spec.width,
        vocabulary=None if data.encoder.text is None else data.encoder.text.vocabulary,
        allow_code=given.allow_code,
        rows=data.train.inputs,
    )
    made.probe, made.link = data.train.inputs[:PROBE], link
    return made


@torch.inference_mode()
def spec_of_teacher(recipe: Recipe, given: Given, task: Task, data: Prepared) -> tuple[OutputSpec, Any]:
    """The shape of a ready teacher's output, where the targets do not say it, and the teacher that was given.

    Raises:
        UsageError: the teacher does not come ready.
        RejectedError: it fails, or does not answer one row of numbers for each row.
    """
    if (shape := data.encoder.output_shape) is not None:
        return OutputSpec(shape), given.teacher
    kind, inputs = kind_of(recipe.teacher, given.teacher), data.train.inputs
    if kind == "object" and not isinstance(given.teacher, nn.Module):
        ask = getattr(given.teacher, task.teachers.asks, given.teacher)
        rows = data.source.shown(data.split.train[:TWO])
        if callable(ask):
            found = np.asarray(asked(ask, rows))
            if found.ndim != 2 or len(found) != len(rows):
                raise RejectedError(
                    f"The teacher answered {found.shape} for {len(rows)} rows. It must answer one row of numbers for "
                    f"each, ({len(rows)}, D), in the order of the rows."
                )
            return OutputSpec(found.shape[1:]), given.teacher
    if not (isinstance(given.teacher, nn.Module) or kind == "hub"):
        raise UsageError(
            f"A run of the task {task.name!r} distils a teacher that comes ready. Name its folder, or its name in the "
            'local cache: `[teacher] hub = "sentence-transformers/all-MiniLM-L6-v2"`, with `tune = "none"`; or give '
            "from Python a module, or a function from texts to vectors: `teacher=model.encode`."
        )
    net: nn.Module = in_eval(given.teacher if kind == "object" else hub_net(recipe.teacher, task, ()))
    answer = output_of(taking_float32(net, inputs), inputs[:1], "The teacher")
    return OutputSpec(tuple(answer.shape[1:])), net


def identities(recipe: Recipe, given: Given, made: Sequence[tuple[str, Method, float]]) -> dict[str, str]:
    """What the user's own objects and code are: others are another run."""
    found: dict[str, str] = {}
    for part, thing in (("teacher", given.teacher), ("student", given.student)):
        if thing is not None:
            found[part] = given_identity(thing)
        if isinstance(thing, nn.Module):
            found[part + WEIGHTS] = identity_of(dict(thing.state_dict()))
    if (view := own_view(recipe, given)) is not None:
        found["views" if given.views is not None else "views code"] = view.identity
    if given.methods is not None or any(entry.name.startswith(CODE) for entry in recipe.method):
        found["method"] = identity_of(list(made))
    named = {"teacher": recipe.teacher.name, "student": recipe.student.name}
    named |= {f"teacher.member {i}": member.name for i, member in enumerate(recipe.teacher.member)}
    named |= {f"assistant {i}": assistant.name for i, assistant in enumerate(recipe.assistant)}
    for part, name in named.items():
        if name is not None and name.startswith(CODE):
            found[f"{part} code"] = identity_of(own_code(name, given.allow_code))
    return found


def contents(recipe: Recipe) -> dict[str, str]:
    """Hashes of the files that a recipe names beside the data: other contents are another run."""
    found: dict[str, str] = {}
    teachers = [recipe.teacher, *recipe.teacher.member]
    named = [(f"teacher file {i}", t.file) for i, t in enumerate(teachers)]
    named += [("student start", recipe.student.start), ("tokenizer", recipe.data.tokenizer)]
    named += [("prompt", recipe.teacher.endpoint.prompt), ("teacher gguf", gguf_of(recipe))]
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


def gguf_of(recipe: Recipe) -> Path | None:
    """The .gguf file of the teacher."""
    wanted = recipe.teacher
    return wanted.gguf if wanted.gguf is None or wanted.hub is None else Path(wanted.hub) / wanted.gguf


def method_maker(entries: Sequence[MethodEntry], task: Task) -> Callable[[], list[tuple[str, Method, float]]]:
    """Makes the recipe's methods, each placed by the task; see ``make_methods``."""
    placed = [task.place_method(entry) for entry in entries]
    return lambda: make_methods(placed)


def make_methods(
    entries: Sequence[MethodEntry], own: Mapping[int, Callable[[], Method]] = MappingProxyType({})
) -> list[tuple[str, Method, float]]:
    """Fresh methods with their weights; a method that stands twice gets a number behind its name.

    Args:
        entries: of the recipe.
        own: by position among them, what makes a method that came from Python.
    """
    made: list[tuple[str, Method, float]] = []
    for place, entry in enumerate(entries):
        stem = entry.name.rpartition(":")[2]
        before = sum(name.split("#")[0] == stem for name, _, _ in made)
        name = f"{stem}#{before + 1}" if before else stem
        method = own[place]() if place in own else methods.make(entry.name, **entry.settings)
        made.append((name, method, entry.weight))
    return made
