"""The functions that begin a run, as a user calls them from Python; the command line calls the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

from stillhouse.errors import UsageError
from stillhouse.pipeline.arguments import Options, resolve
from stillhouse.pipeline.curve import curve as run_points
from stillhouse.pipeline.distill import label_run
from stillhouse.pipeline.distributed.fits import fit_share
from stillhouse.pipeline.distributed.on_ray import label_on_ray
from stillhouse.pipeline.distributed.shards import facts, label_share, plan_labels
from stillhouse.pipeline.interface.handle import Run
from stillhouse.pipeline.making import make_run
from stillhouse.pipeline.plan import plan as estimate
from stillhouse.pipeline.run.progress import shown
from stillhouse.pipeline.run.torchrun import follows
from stillhouse.pipeline.tuning.pilot import pilot as run_pilot
from stillhouse.pipeline.tuning.presets import distill as run_preset
from stillhouse.pipeline.tuning.tournament import tune as run_tournament
from stillhouse.recipe import Recipe

RecipeLike = Recipe | Mapping[str, Any] | str | Path


def distill(
    recipe: RecipeLike | None = None,
    *,
    teacher: Any = None,
    student: Any = None,
    data: Any = None,
    task: str | None = None,
    method: Any = None,
    views: Any = None,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seeds: Sequence[int] | None = None,
    out: str | Path | None = None,
    preset: str | None = None,
    time_limit: float | None = None,
    overwrite: bool = False,
    accept_teacher: bool = False,
    allow_code: bool = False,
    verbose: bool = True,
    on_log: Callable[[dict[str, Any]], None] | None = None,
) -> Run:
    """Distil a teacher into a student, train the controls, judge, and write the report.

    The same call again resumes a stopped run; if the run is finished, it returns at once. All other settings are in the
    recipe: ``distill({"views": {"policy": "shift", "count": 8}}, teacher=...)``.

    Args:
        recipe: the path of a recipe, a ``Recipe``, or a mapping of its tables; default: every default. The options
            below replace its values.
        teacher: a module from inputs to outputs; a fitted model; a function from raw rows to probabilities; a list of
            these, whose outputs are combined; or a name. Default: the recipe's ``[teacher]``.
        student: a module (copied for each seed and control, weights included), a function that builds one (initialised
            again for each seed), or a name of ``docs/reference/nets.md``. Default: the recipe's ``[student]``.
        data: ``(train, valid, test)``, each a dataset, a loader, or a pair ``(x, y)``; valid may be None. Or keys of
            ``[data]``, such as ``{"path": "letter.csv", "target": "lettr"}``.
        task: what the nets predict, such as ``"classification"``.
        method: a name, a table such as ``{"name": "hinton", "temperature": 2.0}``, a ``Method`` object, a class of
            these, or a list. Default: the task's own method.
        views: changed rows that the teacher answers too: the name of a policy, such as ``"affine"``; a table of
            ``[views]`` such as ``{"policy": "affine", "count": 8}``; or a function of your own, by itself or as the
            policy of such a table. It is called as ``function(row, generator)`` with one encoded row (a picture
            (C, H, W), token ids (L,), the columns of a table) and a ``torch.Generator`` that starts from (row, view,
            seed), and returns a row of the same shape and type. It must draw from that generator (the global ones of
            torch, numpy and Python are started alike), and keep nothing between calls; that is tried before training.
            ``"keeps_label": False`` says that a view may be of another class. Default: the recipe's ``[views]``.
        steps: optimiser steps of each student.
        epochs: passes over the training rows, in place of steps.
        batch_size: rows a step.
        lr: peak learning rate.
        seeds: one student of each arm for each seed.
        out: the run folder.
        preset: ``"fast"``: two seeds, the recipe else as it is; ``"good"``: a tournament of 16 candidates chooses
            student, methods and budget (see ``tune``), and its winner runs with three seeds; ``"best"``: 64 candidates,
            and all seeds. Default: the recipe as it is.
        time_limit: seconds for all of a preset: fewer candidates, seeds or steps where that is not enough.
        overwrite: replace a run of other settings in that folder. Answers of the same teacher are used again; files
            that are not of a run stay.
        accept_teacher: continue with a teacher that is not better than its student.
        allow_code: whether ``python:`` names in the recipe may be imported and run.
        verbose: whether progress is shown; see the logger ``stillhouse``.
        on_log: called with each line of metrics while nets are trained, in this process: a dict with ``arm``, ``seed``,
            ``step``, ``loss``, ``lr``, ``terms`` by name and figures of the validation rows. An error in it is logged,
            and it is not called again; the run continues.

    Returns:
        The finished run.

    Raises:
        UsageError: the recipe, an argument or the run folder is wrong.
        RejectedError: data or teacher cannot be used.
        StillhouseError: training diverged, or a disk is full.
    """
    resolved, given = resolve(
        recipe, teacher=teacher, student=student, data=data, task=task, method=method, views=views, steps=steps,
        epochs=epochs, batch_size=batch_size, lr=lr, seeds=seeds, out=out, overwrite=overwrite, allow_code=allow_code,
    )  # fmt: skip
    with shown(verbose and not follows(), on_log):
        run = run_preset(resolved, given, preset=preset, seconds=time_limit, accept=accept_teacher)
        return Run(run.folder, given)


def label(
    recipe: RecipeLike | None = None,
    *,
    plan: bool = False,
    shard: str | None = None,
    on: Literal["ray"] | None = None,
    address: str | None = None,
    overwrite: bool = False,
    allow_code: bool = False,
    verbose: bool = True,
    **options: Unpack[Options],
) -> dict[str, Any]:
    """Only ask the teacher: train it if the recipe says so, and keep its outputs in the run folder's store.

    Several processes or machines share the work: one call plans it, others label a share each, ``merge`` joins them.

    Args:
        recipe: as for ``distill``, which can later distil the same run.
        plan: only train the teacher, and freeze all that the answers depend on.
        shard: label one share of the parts of a plan, "0/4" to "3/4"; "auto" in an array job.
        on: "ray" plans, labels all missing parts by Ray, and merges; the recipe then names all, without Python objects.
        address: HOST:PORT of a cluster of Ray; None: Ray starts on this machine.
        overwrite: as for ``distill``.
        allow_code: as for ``distill``.
        verbose: as for ``distill``.
        **options: those of ``distill``.

    Returns:
        The store's folder, rows, views and bytes; of a store in parts also how many there are.
    """
    if plan and shard is not None:
        raise UsageError("--plan is done once, before the shares are labelled. Leave out --shard.")
    if shard is not None and overwrite:
        raise UsageError("--overwrite replaces a run, and a share belongs to one. Give it to `label --plan`.")
    if on is None and address is not None:
        raise UsageError("--address is that of a cluster of Ray. Write `--on ray` too.")
    if on is not None and (plan or shard is not None):
        raise UsageError("--on ray plans, labels all parts and merges. Leave out --plan and --shard.")
    resolved, given = resolve(recipe, allow_code=allow_code, overwrite=overwrite, **options)
    with shown(verbose):
        if on is not None:
            return label_on_ray(resolved, given, address)
        if shard is not None:
            return label_share(resolved, given, shard)
        return facts(plan_labels(resolved, given)) if plan else label_run(resolved, given)


def fit_students(
    recipe: RecipeLike | None = None,
    *,
    share: str,
    allow_code: bool = False,
    verbose: bool = True,
    **options: Unpack[Options],
) -> dict[str, Any]:
    """Only train one share of the students of a run whose teacher has been asked (``label``), as array jobs do.

    The other arguments are those of ``distill``, which afterwards trains what is missing and judges all.

    Args:
        recipe: as for ``distill``.
        share: "0/4" to "3/4", or "auto" in an array job.
        allow_code: as for ``distill``.
        verbose: as for ``distill``.
        **options: those of ``distill``.

    Returns:
        ``fits``, the share; ``trained``, its fits; ``missing``, the fits of the run that are not there.
    """
    resolved, given = resolve(recipe, allow_code=allow_code, **options)
    with shown(verbose):
        return fit_share(resolved, given, share)


def make(
    recipe: RecipeLike | None = None,
    *,
    overwrite: bool = False,
    allow_code: bool = False,
    verbose: bool = True,
    **options: Unpack[Options],
) -> dict[str, Any]:
    """Only make the rows of ``[[made]]``, to look at them; ``distill`` goes on with them.

    The arguments are those of ``distill``. Returns for each entry its name, number of rows, file and, of images, a
    picture.
    """
    resolved, given = resolve(recipe, allow_code=allow_code, overwrite=overwrite, **options)
    with shown(verbose):
        return make_run(resolved, given)


def plan(
    recipe: RecipeLike | None = None,
    *,
    pilot: bool = False,
    accept_teacher: bool = False,
    allow_code: bool = False,
    verbose: bool = True,
    **options: Unpack[Options],
) -> dict[str, Any]:
    """Estimate a run: rows, teacher calls, bytes for each codec, fits and seconds.

    Args:
        recipe: as for ``distill``.
        pilot: also run a tenth of it, one seed on a part of the teacher's answers, and say under ``pilot`` whether
            distilling is likely to beat its rivals: the differences on validation rows with intervals, and what the
            whole run would take. The run takes over what the pilot has trained and asked.
        accept_teacher: as for ``distill``, of the pilot.
        allow_code: as for ``distill``.
        verbose: as for ``distill``.
        **options: those of ``distill``.
    """
    resolved, given = resolve(recipe, allow_code=allow_code, **options)
    with shown(verbose):
        return run_pilot(resolved, given, accept=accept_teacher) if pilot else estimate(resolved, given)


def curve(
    recipe: RecipeLike | None = None,
    *,
    labels: Sequence[int] = (),
    calls: Sequence[int] = (),
    layers: Sequence[int] = (),
    rows: Sequence[int] = (),
    made: Sequence[int] = (),
    overwrite: bool = False,
    accept_teacher: bool = False,
    allow_code: bool = False,
    verbose: bool = True,
    **options: Unpack[Options],
) -> Path:
    """Run a recipe at several numbers of labels, teacher calls or kept layers, and draw the gain of distilling.

    Each point is a run in its own folder in ``[output] dir``. The other arguments are those of ``distill``.

    Args:
        recipe: as for ``distill``.
        labels: numbers of labels.
        calls: numbers of teacher calls, rows times views.
        layers: numbers of the teacher's layers that the student keeps; see ``[student.derive]``.
        rows: numbers of real training rows; see ``[data] rows``.
        made: numbers of made rows, in place of the ``count`` of the only ``[[made]]``; 0: none.
        overwrite: as for ``distill``, in the folder of each point.
        accept_teacher: as for ``distill``.
        allow_code: as for ``distill``.
        verbose: as for ``distill``.
        **options: those of ``distill``.

    Returns:
        The path of the page ``curve.html``; ``curve.json`` is beside it.
    """
    resolved, given = resolve(recipe, allow_code=allow_code, overwrite=overwrite, **options)
    with shown(verbose):
        numbers = {"labels": labels, "calls": calls, "layers": layers, "rows": rows, "made": made}
        return run_points(resolved, given, numbers, accept_teacher=accept_teacher)


def tune(
    recipe: RecipeLike | None = None,
    *,
    time: float | None = None,
    trials: int | None = None,
    overwrite: bool = False,
    accept_teacher: bool = False,
    allow_code: bool = False,
    verbose: bool = True,
    **options: Unpack[Options],
) -> Run:
    """Hold a tournament of students, methods and budgets on validation rows, and run its winner.

    The teacher is asked once. The recipe as it is, its rivals and the best settings of the league come first; Optuna
    draws the others. Test rows are not touched before the winner is trained again, with the recipe's seeds, and judged
    as any run. The same call again goes on; a larger ``trials`` or more ``time`` continues the tournament.

    Args:
        recipe: as for ``distill``. It needs labelled validation rows: ``[data] valid``.
        time: seconds for all, the run of the winner included.
        trials: candidates. The sampler is seeded by recipe and number, so a tournament that was stopped and is
            continued has the winner of one that was not.
        overwrite: as for ``distill``.
        accept_teacher: as for ``distill``.
        allow_code: as for ``distill``.
        verbose: as for ``distill``.
        **options: those of ``distill``.

    Returns:
        The run of the winner; its ``leaderboard`` has all candidates.

    Raises:
        UsageError: no end is given, or Optuna is not installed.
    """
    resolved, given = resolve(recipe, allow_code=allow_code, overwrite=overwrite, **options)
    with shown(verbose):
        run = run_tournament(resolved, given, seconds=time, trials=trials, accept=accept_teacher)
        return Run(run.folder, given)
