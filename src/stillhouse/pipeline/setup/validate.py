"""Whether the parts of a recipe fit each other, before anything expensive starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from torch import nn

from stillhouse import methods, students, tasks
from stillhouse.engine import check_place
from stillhouse.errors import UsageError, nearest
from stillhouse.evaluation import check_measure
from stillhouse.methods.base import KINDS, Method
from stillhouse.pipeline.made.entries import check_entries
from stillhouse.pipeline.run.context import Given
from stillhouse.pipeline.run.user_code import CODE, check_own, own_code, refuse_code
from stillhouse.pipeline.setup.views import check_views, own_view
from stillhouse.pipeline.student.config import TIMM
from stillhouse.pipeline.student.own import own_student
from stillhouse.pipeline.teacher.answers import softening
from stillhouse.pipeline.teacher.build import TEXT_MODELS, check_teacher, kind_of
from stillhouse.recipe import AUTO, Controls, Member, Net, Recipe, Store
from stillhouse.store import Dense, Hidden, Sampled
from stillhouse.students.families import FAMILIES
from stillhouse.task import Task
from stillhouse.teachers import SKLEARN_NAMES, make_codec
from stillhouse.teachers.sklearn import make_estimator
from stillhouse.teachers.stored import FEATURE

Methods = Sequence[tuple[str, Method, float]]


def check_recipe(recipe: Recipe, given: Given, task: Task, made: Methods) -> None:
    """Check all that can be checked before data are read."""
    nets = [recipe.student, recipe.teacher, *recipe.teacher.member, *recipe.assistant]
    refuse_code([net.name for net in nets], given.allow_code)
    own_view(recipe, given)  # refuses code that is not allowed, or not there
    check_places(recipe)
    check_views(recipe.views)
    check_entries(recipe)
    check_teacher(recipe.teacher, given.teacher, task, same_teacher=recipe.controls.same_teacher)
    check_nets(recipe, given, task)
    check_methods(made, task)
    check_controls(recipe.controls, task)
    check_measure(task, recipe.evaluation.measure or task.headline)
    if any(reads_layers(method, task) for _, method, _ in made):
        refuse_features(recipe, kind_of(recipe.teacher, given.teacher), given.teacher)
    check_codec(recipe.store, made, task)


class Role(NamedTuple):
    """A table of a recipe that names a net, and the names that are known there."""

    where: str  # "[student]"
    section: Net
    names: Sequence[str]
    more: str = ""  # other ways to name one


def roles_of(recipe: Recipe, given: Given, task: Task) -> list[Role]:
    """The tables of a recipe whose names and settings are used."""
    fitted = [*getattr(task.teachers, "ESTIMATORS", {}), *(TEXT_MODELS if task.fits else ())]
    other = f"`{TIMM}NAME` is a net of timm, `{CODE}package.module:function` your own."
    ready = f'{other} A fitted model goes into `[teacher] file = "model.txt"`, in Python `teacher=model`.'
    teachers: list[tuple[str, Member]] = [] if given.teacher is not None else [("[teacher]", recipe.teacher)]
    teachers += [("[[teacher.member]]", member) for member in recipe.teacher.member]
    found = [
        Role(where, section, [*students.NETS, *fitted], ready)
        for where, section in teachers
        if kind_of(section) in ("net", "fitted here", "file")
    ]
    found += [Role("[[assistant]]", one, [*students.NETS], other) for one in recipe.assistant]
    if given.student is not None:
        own_student(given.student)  # refuses what is no student
    else:
        own = [*(task.nets or students.NETS), *(students.FITTED if task.fits else ())]
        found.append(Role("[student]", recipe.student, own, "" if task.nets else other))
    return found


def check_nets(recipe: Recipe, given: Given, task: Task) -> None:
    """Refuse names of nets that do not exist, and settings that they do not take, before data are read."""
    if recipe.student.name == AUTO and given.student is None:
        raise UsageError(
            f'[student] name = "{AUTO}" is chosen by a tournament, which `stillhouse distill` and `stillhouse tune` '
            "hold. For every other command name a student, such as mlp_tiny, or remove the line."
        )
    for role in roles_of(recipe, given, task):
        name, settings = role.section.name, role.section.settings
        if name is None or name.startswith(TIMM):  # the default follows the data; timm checks its own settings
            continue
        if name.startswith(CODE):
            check_own(f"{role.where} {name!r}", own_code(name, given.allow_code), settings)
        elif name not in role.names:
            elsewhere = name in students.FITTED or name in SKLEARN_NAMES  # then no other name is meant
            known = nearest("" if elsewhere else name, role.names)
            raise UsageError(f"{role.where} name = {name!r} is not known here.{known} {role.more}".rstrip())
        elif name in task.nets:  # the task checks their settings
            continue
        elif name in students.NETS or name in students.FITTED:
            students.check(name, settings, f"{role.where}")
        else:
            make_estimator(task.teachers.ESTIMATORS, name, settings, recipe.data.seed)
    if recipe.student.family is not None and recipe.student.family not in FAMILIES:
        known = nearest(recipe.student.family, FAMILIES)
        raise UsageError(f"[student] family = {recipe.student.family!r} is not known.{known} Rename or remove it.")
    if recipe.student.family is not None and not recipe.student.budget.wanted:
        raise UsageError(
            f"[student] family = {recipe.student.family!r} needs a limit: `[student.budget] parameters = 5000`, bytes "
            "or latency_ms. Or write the net's `[student] name`."
        )


def check_places(recipe: Recipe) -> None:
    """Refuse devices and arithmetic that this machine does not have, in any table of a training.

    Raises:
        UsageError: names the table, and what there is.
    """
    for name, training in recipe.trainings().items():
        check_place(training.device, training.precision, f"[{name}]")


def check_methods(made: Methods, task: Task) -> None:
    """Refuse a method that matches outputs of another kind than the task's."""
    for name, method, _ in made:
        if not task.matches(method):
            other = " and ".join(sorted(method.needs & KINDS))
            raise UsageError(
                f"The method {name!r} matches {other}, which nets of the task {task.name!r} do not give. Write "
                f'`[[method]] name = "{task.method[0]["name"]}"`, or another method of this task.'
            )


def check_controls(controls: Controls, task: Task) -> None:
    """Refuse a control that the task does not have, and to switch off one that the verdict is about."""
    switches, known = controls.switches, dict.fromkeys((*Controls.model_fields, *task.controls))
    for name in switches:
        if name not in task.controls:
            raise UsageError(f"[controls] has no key {name!r}.{nearest(name, known)} Rename or remove the line.")
    needed = {task.shipped, task.baseline}
    for name in sorted(needed & {name for name, on in switches.items() if not on}):
        raise UsageError(f"[controls] {name} = false: the verdict is about this student. Take the line out.")


def check_codec(keeps: Store, made: Methods, task: Task) -> None:
    """Refuse an unknown codec, and one that does not keep what a method reads or the task's outputs have."""
    keeper = make_codec(keeps.codec, keeps.dtype, task)
    if isinstance(keeper, Dense | Hidden):
        return
    part: Literal["sparse", "sampled"] = "sampled" if isinstance(keeper, Sampled) else "sparse"
    if not task.shift_invariant:
        raise UsageError(
            f"[store] codec = {keeps.codec!r} keeps some classes of each row, and a run of the task {task.name!r} has "
            'none. Set `[store] codec = "dense"`.'
        )
    for name, method, _ in made:
        if {"logits", "targets"} & method.needs and not getattr(method, part):
            raise UsageError(
                f"[store] codec = {keeps.codec!r} keeps some classes of each row, and the method {name!r} reads all of "
                f"them. Take one that can use such a part ({', '.join(able(part))}), or set `[store] codec = "
                '"dense"`.'
            )
    temperatures = {softening([entry]) for entry in made if entry[1].sparse}
    if len(temperatures) > 1:
        raise UsageError(
            f"[store] codec = {keeps.codec!r} keeps a teacher softened at one temperature, and the methods want "
            f"{', '.join(f'{t:g}' for t in sorted(temperatures))}. Give them one `temperature`, or set "
            '`[store] codec = "dense"`.'
        )


def check_disagreement(recipe: Recipe, several: bool, made: Methods, fitted: str | None) -> None:
    """Refuse [training] disagreement with one teacher, or in a loss without weights of rows.

    ``fitted`` is the name of a student that is fitted at once.
    """
    where = f"[training] disagreement = {recipe.training.disagreement:g}"
    if not recipe.training.disagreement:
        return
    if not several:
        raise UsageError(f"{where} is that of several teachers, and there is one here. Add `[[teacher.member]]`.")
    if recipe.assistant or recipe.teacher.generations > 1:
        raise UsageError(
            f"{where} is that of several teachers, and with [[assistant]] or `[teacher] generations` the student has "
            "one, the last of the chain. Take either out."
        )
    if fitted is not None:
        raise UsageError(f"{where} weighs the rows of a training step, and {fitted!r} is fitted at once. Take a net.")
    coupled = [name for name, method, _ in made if method.batch_coupled]
    if coupled:
        raise UsageError(
            f"{where} weighs rows one by one, and the method {coupled[0]!r} matches how the rows of a batch stand to "
            f"each other. Take one that does not, such as {default_method(recipe)}."
        )


def check_guard(recipe: Recipe, watched: bool, fitted: str | None) -> None:
    """Refuse [training] balance = "guard" where nothing can show that a method harms.

    Args:
        recipe: of the run.
        watched: whether there are validation rows with a label.
        fitted: the name of a student that is fitted at once.
    """
    where = '[training] balance = "guard"'
    if recipe.training.balance != "guard":
        return
    if fitted is not None:
        raise UsageError(f"{where} watches training steps, and {fitted!r} is fitted at once. Take a net, or remove it.")
    if not recipe.training.label_weight:
        raise UsageError(f"{where} leaves the labels to train where a method harms. Set `label_weight = 0.1`.")
    if not watched:
        raise UsageError(f"{where} looks at labelled validation rows, and there are none. Set `[data] valid = 0.1`.")


def able(part: Literal["sparse", "sampled"]) -> list[str]:
    """The names of all methods that can use the largest classes and their tail, or a sample of the classes."""
    return [name for name in methods.names() if getattr(methods.get(name), part)]


def default_method(recipe: Recipe) -> str:
    """The line of a recipe that names the default method of its task."""
    return f'`[[method]] name = "{tasks.get(recipe.task.name).method[0]["name"]}"`'


def reads_layers(method: Method, task: Task) -> bool:
    """Whether a method matches more than the outputs that every teacher of the task gives."""
    outputs = method.teacher_layers and all(FEATURE + path == task.stored for path in method.teacher_layers)
    return bool({"features", "embedding"} & set(method.needs)) and not outputs


def refuse_features(recipe: Recipe, kind: str, teacher: Any) -> None:
    """Refuse methods that match hidden layers if the teacher is no net."""
    if kind == "net" and recipe.teacher.folds is not None:
        raise UsageError(
            f"The method asks for hidden layers of the teacher, and with [teacher] folds = {recipe.teacher.folds} rows "
            "are answered by different nets, whose hidden layers have nothing in common. Remove folds, or match "
            f"outputs, for instance {default_method(recipe)}."
        )
    net = isinstance(teacher, nn.Module) or kind in ("net", "hub")
    net = net or (kind == "file" and str(recipe.teacher.file).endswith(".safetensors"))
    if not net:
        who = type(teacher).__name__ if teacher is not None else recipe.teacher.name or kind
        raise UsageError(
            f"The method asks for hidden layers of the teacher, and {who!r} has none. "
            f"Match its outputs, for instance {default_method(recipe)}, or take a neural teacher."
        )
