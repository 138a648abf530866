"""The commands whose flags are the recipe: ``distill``, ``tune``, ``plan``, ``label`` and ``curve``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from stillhouse import recipe
from stillhouse.cli.flags import Flags, table
from stillhouse.cli.shared import Json, say, show_data, show_json, show_run
from stillhouse.errors import UsageError

RecipeFile = Annotated[Path | None, Parameter(help="The recipe (TOML). The flags below are laid over it.")]
Sections = Annotated[Flags | None, Parameter(name="*")]
PrintRecipe = Annotated[
    bool, Parameter(name="--print-recipe", negative="", help="Print file and flags as one recipe, and do nothing else.")
]
AllowCode = Annotated[
    bool, Parameter(name="--allow-code", negative="", help="Import and run the recipe's `python:` names.")
]
AcceptTeacher = Annotated[
    bool,
    Parameter(
        name="--accept-teacher", negative="", help="Continue with a teacher that is not better than its student."
    ),
]

Overwrite = Annotated[
    bool,
    Parameter(name="--overwrite", negative="", help="Replace a run of other settings; its teacher's answers are kept."),
]


def distill(
    file: RecipeFile = None,
    /,
    *,
    preset: Annotated[
        str | None, Parameter(help="fast: two seeds; good, best: a tournament of 16 or 64 candidates first.")
    ] = None,
    time_limit: Annotated[float | None, Parameter(help="Seconds for all of the preset.")] = None,
    fits: Annotated[
        str | None,
        Parameter(help="Only train one share of the students, after `label`: 0/4 to 3/4; auto in an array job."),
    ] = None,
    json: Json = False,
    print_recipe: PrintRecipe = False,
    allow_code: AllowCode = False,
    accept_teacher: AcceptTeacher = False,
    overwrite: Overwrite = False,
    flags: Sections = None,
) -> None:
    """Distil into the run folder."""
    resolved = resolve(file, flags)
    if print_recipe:
        sys.stdout.write(resolved.toml())
        return
    from stillhouse import pipeline

    if fits is not None:
        if preset is not None or time_limit is not None or overwrite or accept_teacher:
            raise UsageError("--fits trains students alone. Give the other options to `stillhouse distill` afterwards.")
        show_data(pipeline.fit_students(resolved, share=fits, allow_code=allow_code), json)
        return
    allowed = {"allow_code": allow_code, "accept_teacher": accept_teacher, "overwrite": overwrite}
    run = pipeline.distill(resolved, preset=preset, time_limit=time_limit, **allowed)  # type: ignore[arg-type]
    if not pipeline.follows():  # of several processes the first speaks
        show_run(run, json)


def label(
    file: RecipeFile = None,
    /,
    *,
    plan: Annotated[
        bool, Parameter(negative="", help="Only train the teacher, and freeze the work for several processes.")
    ] = False,
    shard: Annotated[
        str | None, Parameter(help="Label one share of a plan, counted from 0: 0/4 to 3/4; auto in an array job.")
    ] = None,
    on: Annotated[Literal["ray"] | None, Parameter(help="Plan, label all parts by Ray, and merge.")] = None,
    address: Annotated[str | None, Parameter(help="HOST:PORT of a cluster of Ray; default: on this machine.")] = None,
    json: Json = False,
    print_recipe: PrintRecipe = False,
    allow_code: AllowCode = False,
    overwrite: Overwrite = False,
    flags: Sections = None,
) -> None:
    """Only ask the teacher."""
    resolved = resolve(file, flags)
    if print_recipe:
        sys.stdout.write(resolved.toml())
        return
    from stillhouse import pipeline

    found = pipeline.label(
        resolved, plan=plan, shard=shard, on=on, address=address, allow_code=allow_code, overwrite=overwrite
    )
    show_data(found, json)


def plan(
    file: RecipeFile = None,
    /,
    *,
    pilot: Annotated[
        bool, Parameter(negative="", help="Run a tenth of it: is distilling likely to beat its rivals?")
    ] = False,
    json: Json = False,
    allow_code: AllowCode = False,
    accept_teacher: AcceptTeacher = False,
    flags: Sections = None,
) -> None:
    """Say what a recipe will cost."""
    resolved = resolve(file, flags)
    from stillhouse import pipeline, tasks
    from stillhouse.cli.plans import show_plan

    told = pipeline.plan(resolved, pilot=pilot, allow_code=allow_code, accept_teacher=accept_teacher)
    show_json(told) if json else show_plan(told, tasks.get(resolved.task.name))


def make(
    file: RecipeFile = None,
    /,
    *,
    json: Json = False,
    allow_code: AllowCode = False,
    overwrite: Overwrite = False,
    flags: Sections = None,
) -> None:
    """Only make rows."""
    resolved = resolve(file, flags)
    from stillhouse import pipeline

    found = pipeline.make(resolved, allow_code=allow_code, overwrite=overwrite)
    if json:
        show_json(found)
        return
    for one in found["made"]:
        files = [str(one[key]) for key in ("file", "picture") if key in one]
        say(f"{one['name']}: {one['rows']:,} rows, {', '.join(files)}")


def curve(
    file: RecipeFile = None,
    /,
    *,
    labels: Annotated[str, Parameter(help="Numbers of labels: 50,100,200.")] = "",
    calls: Annotated[str, Parameter(help="Numbers of teacher calls (rows times views): 1000,4000.")] = "",
    layers: Annotated[str, Parameter(help="Numbers of the teacher's layers that the student keeps: 1,2,4.")] = "",
    rows: Annotated[str, Parameter(help="Numbers of real training rows: 10,50,200.")] = "",
    made: Annotated[str, Parameter(help="Numbers of made rows, of the only [[made]]: 0,1000,4000.")] = "",
    json: Json = False,
    allow_code: AllowCode = False,
    accept_teacher: AcceptTeacher = False,
    overwrite: Overwrite = False,
    flags: Sections = None,
) -> None:
    """Run a recipe at several points."""
    resolved = resolve(file, flags)
    given = {"labels": labels, "calls": calls, "layers": layers, "rows": rows, "made": made}
    points = {name: numbers(text, f"--{name}", least=int(name != "made")) for name, text in given.items()}
    from stillhouse import pipeline

    allowed = {"allow_code": allow_code, "accept_teacher": accept_teacher, "overwrite": overwrite}
    path = pipeline.curve(resolved, **points, **allowed)  # type: ignore[arg-type]
    show_data({"curve": path, "figures": path.with_suffix(".json")}, json)


def tune(
    file: RecipeFile = None,
    /,
    *,
    time: Annotated[float | None, Parameter(help="Seconds for all, the run of the winner included.")] = None,
    trials: Annotated[int | None, Parameter(help="Candidates; stopped and continued, the winner is the same.")] = None,
    json: Json = False,
    allow_code: AllowCode = False,
    accept_teacher: AcceptTeacher = False,
    overwrite: Overwrite = False,
    flags: Sections = None,
) -> None:
    """Find the best student by a tournament."""
    resolved = resolve(file, flags)
    from stillhouse import pipeline

    allowed = {"allow_code": allow_code, "accept_teacher": accept_teacher, "overwrite": overwrite}
    run = pipeline.tune(resolved, time=time, trials=trials, **allowed)  # type: ignore[arg-type]
    show_run(run, json)


def numbers(text: str, flag: str, least: int = 1) -> list[int]:
    """Read whole numbers with commas between them.

    >>> numbers("50,100, 200", "--labels")
    [50, 100, 200]
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() and int(part) >= least for part in parts):
        raise UsageError(f"{flag} {text!r}: write whole numbers with commas between them, `{flag} 50,100,200`.")
    return [int(part) for part in parts]


def resolve(file: Path | None, flags: Flags | None) -> recipe.Recipe:
    """Lay the flags over the file, and check the result."""
    base = recipe.read_table(file) if file is not None else {}
    return recipe.parse(recipe.merge(base, table(flags or {})), str(file) if file is not None else "the flags")
