"""How much a run may take, by one word: ``fast``, ``good`` or ``best``, and a limit of time.

``fast`` is the recipe as it is with two seeds. ``good`` and ``best`` hold a tournament first, of 16 or 64 candidates.
"""

from __future__ import annotations

from typing import NamedTuple

from stillhouse.errors import UsageError, nearest
from stillhouse.pipeline.distill import distill_run
from stillhouse.pipeline.distributed.following import follow_run, refuse_torchrun
from stillhouse.pipeline.plan import plan
from stillhouse.pipeline.run.context import Given
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.run.progress import say
from stillhouse.pipeline.run.torchrun import follows
from stillhouse.pipeline.tuning.tournament import tune
from stillhouse.recipe import AUTO, Recipe

USED = 0.75  # of the limit, that the estimate of a run without a tournament may fill
LEAST_STEPS = 20


class Preset(NamedTuple):
    """What a word stands for."""

    trials: int  # candidates of the tournament; 0: none
    seeds: int | None  # of the run; None: the recipe's


PRESETS = {"fast": Preset(0, 2), "good": Preset(16, 3), "best": Preset(64, None)}
SHORT = Preset(12, None)  # of `[student] name = "auto"` alone


def distill(
    recipe: Recipe, given: Given, *, preset: str | None, seconds: float | None, accept: bool = False
) -> RunFolder:
    """Run a recipe as a preset says, or as it is; see ``stillhouse.distill``.

    Raises:
        UsageError: there is no such preset, or a limit of time without one.
    """
    if preset is not None and preset not in PRESETS:
        raise UsageError(f"There is no preset {preset!r}.{nearest(preset, PRESETS)}")
    if seconds is not None and seconds <= 0:
        raise UsageError(f"time_limit = {seconds:g}: give seconds above 0.")
    auto = recipe.student.name == AUTO
    if preset is None and not auto:
        if seconds is not None:
            raise UsageError(
                "time_limit says how long a preset may take, and none is named: `--preset good --time-limit 600`, in "
                'Python `preset="good", time_limit=600`. A recipe as it is takes what `stillhouse plan` says.'
            )
        return follow_run(recipe, given) if follows() else distill_run(recipe, given, accept_teacher=accept)
    refuse_torchrun("A tournament trains its candidates side by side")
    wanted = SHORT if preset is None else PRESETS[preset]
    trials = wanted.trials or (SHORT.trials if auto else 0)
    if trials:
        return tune(recipe, given, seconds=seconds, trials=trials, seeds=wanted.seeds, accept=accept)
    training = recipe.training.model_copy(update={"seeds": recipe.training.seeds[: wanted.seeds]})
    short = recipe.model_copy(update={"training": training})
    return distill_run(short if seconds is None else within(short, given, seconds), given, accept_teacher=accept)


def within(recipe: Recipe, given: Given, seconds: float) -> Recipe:
    """The recipe with as many steps as ``plan`` says that the time allows."""
    told = plan(recipe, given)
    students = told["seconds"]["train students"]
    if not students or told["seconds"]["in all"] is None:
        return recipe
    rest = told["seconds"]["in all"] - students
    share = (USED * seconds - rest) / students
    if share >= 1:
        return recipe
    before = told["steps"] // told["fits"]
    steps = max(LEAST_STEPS, int(share * before))
    say(f"The time allows {steps:,} of {before:,} steps for each student.")
    training = recipe.training.model_copy(update={"steps": steps, "epochs": None})
    return recipe.model_copy(update={"training": training})
