"""What a tournament may vary, and how a choice becomes a recipe.

The students and methods come from the registries and must fit the rows and the task. ``RECIPE`` in place of a student
or a method is the recipe's own, so that the recipe as it is is a point of the space.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from stillhouse import methods, students
from stillhouse.errors import UsageError
from stillhouse.pipeline.run.context import RunContext, budget_of
from stillhouse.pipeline.student.factory import size_of
from stillhouse.recipe import MethodEntry, Recipe, StudentSection
from stillhouse.store import Dense
from stillhouse.students import Member
from stillhouse.teachers import make_codec

if TYPE_CHECKING:
    from optuna import Trial

RECIPE = "recipe"  # in place of a student or a method: the recipe's own
NO_SECOND = "none"
LARGER = 10  # times the learned numbers of the recipe's own student: the largest net without a budget
SPAN = 100  # the smallest net has this part of the largest's learned numbers
STEPS = (0.5, 1.0, 2.0)  # times the recipe's
LR = 5.0  # at most so many times larger or smaller than the recipe's
TEMPERATURES = (1.0, 2.0, 4.0, 8.0)

# The best settings of the league (docs/league.md) among methods that read the teacher's outputs alone.
LEAGUE: tuple[Mapping[str, Any], ...] = (
    {"method": "jensen_shannon", "temperature": 4.0, "weight": 0.8},
    {"method": "ttm", "weight": 0.8},
    {"method": "nkd", "temperature": 1.0, "weight": 0.5},
    {"method": "hinton", "temperature": 2.0, "weight": 0.6},
)


class Choice(NamedTuple):
    """One point of the space as a recipe."""

    recipe: Recipe
    own_student: bool  # whether the student is the recipe's, or the one given from Python
    own_methods: bool
    views: int  # views of each row that the student sees
    words: str  # how it differs from the recipe


@dataclass(frozen=True)
class Space:
    """What may vary in the runs of one context.

    Attributes:
        recipe: of the run.
        steps: of the recipe's student.
        views: of each row in the store.
        students: families by name, each with members from small to large.
        methods: names with whether they have a temperature, for nets.
        fits: the method of students that are fitted at once.
        own_fitted: whether the recipe's own student is one.
    """

    recipe: Recipe
    steps: int
    views: int
    students: Mapping[str, tuple[Member, ...]]
    methods: Mapping[str, bool]
    fits: str
    own_fitted: bool
    starts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def shown(self) -> tuple[int, ...]:
        """Numbers of views that a student may see, all first."""
        return tuple(dict.fromkeys(n for n in (self.views, self.views // 2, 2) if 2 <= n <= self.views)) or (1,)

    def propose(self, trial: Trial) -> Choice:
        """Draw a point; ``Choice.recipe`` is whole."""
        name = trial.suggest_categorical("student", [RECIPE, *self.students])
        member = None if name == RECIPE else self._member(trial, name)
        views = self._one_of(trial, "views", self.shown)
        if self.own_fitted if member is None else students.is_fitted(member.name):
            if member is None and trial.suggest_categorical("method of fit", [RECIPE, self.fits]) == RECIPE:
                return self._choice(None, None, {}, views)
            weight = trial.suggest_float("weight of fit", 0.5, 1.0)
            return self._choice(member, self._fit_methods(weight), {"label_weight": 1.0 - weight}, views)
        entries, weights = self._methods(trial)
        lr, steps = self.recipe.training.lr, self._one_of(trial, "steps", STEPS)
        training = {
            "lr": trial.suggest_float("lr", lr / LR, lr * LR, log=True),
            "steps": max(1, round(steps * self.steps)),
            "epochs": None,
            **weights,
        }
        return self._choice(member, entries, training, views)

    def _member(self, trial: Trial, family: str) -> Member:
        members = self.students[family]
        return members[trial.suggest_int(f"size of {family}", 0, len(members) - 1) if len(members) > 1 else 0]

    def _one_of(self, trial: Trial, name: str, values: tuple[Any, ...]) -> Any:
        return trial.suggest_categorical(name, values) if len(values) > 1 else values[0]

    def _methods(self, trial: Trial) -> tuple[list[MethodEntry] | None, dict[str, Any]]:
        """Methods for a net, and the settings of [training] that weigh them; None: the recipe's own."""
        first = trial.suggest_categorical("method", [RECIPE, *self.methods])
        if first == RECIPE:
            return None, {}
        weight = trial.suggest_float("weight", 0.3, 1.0)
        second = trial.suggest_categorical("second method", [NO_SECOND, *self.methods])
        share = trial.suggest_float("share of second", 0.1, 0.5) if second not in (NO_SECOND, first) else 0.0
        entries = [self._entry(trial, first, "temperature", weight * (1 - share))]
        if share:
            entries.append(self._entry(trial, second, "second temperature", weight * share))
        # Losses have their own scales: as shares of the gradient, weights mean the same for all.
        return entries, {"label_weight": 1.0 - weight, "balance": "gradient"}

    def _entry(self, trial: Trial, name: str, key: str, weight: float) -> MethodEntry:
        own = {"temperature": trial.suggest_categorical(key, TEMPERATURES)} if self.methods[name] else {}
        return MethodEntry.model_validate({"name": name, "weight": round(weight, 4), **own})

    def _fit_methods(self, weight: float) -> list[MethodEntry]:
        return [MethodEntry.model_validate({"name": self.fits, "weight": round(weight, 4)})]

    def _choice(
        self, member: Member | None, entries: list[MethodEntry] | None, training: dict[str, Any], views: int
    ) -> Choice:
        recipe = self.recipe
        rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in training.items()}
        update: dict[str, Any] = {"training": recipe.training.model_copy(update=rounded)}
        if member is not None:
            update["student"] = StudentSection(name=member.name, settings=dict(member.settings))
        if entries is not None:
            update["method"] = entries
        if views != self.views:
            update["views"] = recipe.views.model_copy(update={"count": views})
        made = recipe.model_copy(update=update)
        return Choice(made, member is None, entries is None, views, described(made, member, entries, views, self))


def described(
    recipe: Recipe, member: Member | None, entries: list[MethodEntry] | None, views: int, space: Space
) -> str:
    """A point of the space in words."""
    settings = "" if member is None else " ".join(f"{key}={value}" for key, value in member.settings.items())
    said = ["the recipe's student" if member is None else f"{member.name} {settings}".strip()]
    if entries is None:
        said.append("the recipe's method")
    else:
        said.append(" + ".join(_method_words(entry) for entry in entries))
    fitted = space.own_fitted if member is None else students.is_fitted(member.name)
    if not fitted:
        said.append(f"{recipe.training.steps or space.steps:,} steps, lr {recipe.training.lr:g}")
    if views != space.views:
        said.append(f"{views} views")
    return "; ".join(said)


def _method_words(entry: MethodEntry) -> str:
    settings = "".join(f", {key} {value:g}" for key, value in entry.settings.items())
    return f"{entry.name} ({entry.weight:g}{settings})"


def space_of(context: RunContext) -> Space:
    """The space of a run: the students that read its rows, and the methods that read its teacher's stored outputs."""
    recipe, task, text = context.recipe, context.task, context.data.encoder.text
    shape, width = tuple(context.data.train.inputs.shape[1:]), context.spec.width
    vocabulary = None if text is None else text.vocabulary
    most = largest(context, shape, width, vocabulary)
    found: dict[str, tuple[Member, ...]] = {}
    if text is not None or context.data.train.inputs.is_floating_point():  # else the user's own ids: unknown to us
        found |= students.net_families(shape, width, vocabulary, most, max(1, most // SPAN))
        if task.fits and not recipe.training.disagreement and recipe.training.keep_every is None:
            found |= students.fitted_families(shape, text is not None, task.link, width)
    steps = budget_of(recipe.training, len(context.data.train.targets)).steps
    fits = task.fits[0] if task.fits else ""
    return Space(
        recipe, steps, context.views.count, found, net_methods(context), fits, own_fitted=context.fitted is not None
    )


def largest(context: RunContext, shape: tuple[int, ...], width: int, vocabulary: int | None) -> int:
    """Learned numbers of the largest net that is tried: what the budget allows, else ten times the recipe's student."""
    budget = context.recipe.student.budget
    if limits := [one for one in (budget.parameters, budget.bytes and budget.bytes // 4) if one]:
        return min(limits)
    if context.fitted is None:
        return LARGER * size_of(context.students.make())
    name = "mlp_tiny" if vocabulary is None else "static_embedding"
    own = {} if vocabulary is None else {"vocabulary": vocabulary}
    return LARGER * size_of(students.make(name, shape=shape, outputs=width, settings=own))


def net_methods(context: RunContext) -> dict[str, bool]:
    """Methods that read nothing but outputs and labels, with default settings; whether each has a temperature."""
    recipe, task = context.recipe, context.task
    if not isinstance(make_codec(recipe.store.codec, recipe.store.dtype, task), Dense):
        return {}  # a part of the classes is kept for the recipe's own method and temperature
    found = {}
    for name in methods.names():
        defaults = methods.settings(methods.get(name))
        if inspect.Parameter.empty in defaults.values():
            continue
        try:
            task.place_method(MethodEntry.model_validate({"name": name}))
        except UsageError:
            continue
        method = methods.make(name)
        coupled = method.batch_coupled and recipe.training.disagreement
        if method.needs <= {task.reads, "targets"} and not method.student_layers and not coupled:
            found[name] = isinstance(defaults.get("temperature"), float)
    return found


def starts(space: Space, rival: Member | None) -> list[dict[str, Any]]:
    """The first points: the recipe as it is, the rival's model taught by the teacher, and the league's best settings.

    Args:
        space: of the run.
        rival: the simple model that was chosen for the teacher's answers; None: there is none.
    """
    lr = space.recipe.training.lr
    plain = {"lr": lr, "steps": 1.0, "views": space.shown[0]}
    own: dict[str, Any] = {"student": RECIPE, "method": RECIPE, "method of fit": RECIPE, **plain}
    found = [own]
    for family, members in space.students.items():
        same = [n for n, member in enumerate(members) if rival is not None and same_model(member, rival)]
        if same:
            found.append({"student": family, f"size of {family}": same[0], "weight of fit": 1.0, **plain})
    net = RECIPE if not space.own_fitted else next((f for f, m in space.students.items() if not _fitted(m)), None)
    if net is None:
        return found
    known = [best for best in LEAGUE if best["method"] in space.methods]
    return found + [{"student": net, "second method": NO_SECOND, **plain, **best} for best in known]


def same_model(one: Member, other: Member) -> bool:
    """Whether two students are one, whatever the vocabulary of their texts."""
    a, b = ({key: value for key, value in m.settings.items() if key != "vocabulary"} for m in (one, other))
    return one.name == other.name and a == b


def _fitted(members: tuple[Member, ...]) -> bool:
    return students.is_fitted(members[0].name)
