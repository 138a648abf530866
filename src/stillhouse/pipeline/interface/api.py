"""The functions that a user calls from Python; the command line calls the same."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack, overload

from stillhouse import reporting
from stillhouse.errors import UsageError
from stillhouse.evaluation.gate import Criterion
from stillhouse.evaluation.gate import check as check_scores
from stillhouse.exporting import formats
from stillhouse.files import read_small, write_output
from stillhouse.pipeline.arguments import Options, resolve
from stillhouse.pipeline.curve import curve as run_points
from stillhouse.pipeline.distill import label_run
from stillhouse.pipeline.interface.handle import Run, answers
from stillhouse.pipeline.making import make_run
from stillhouse.pipeline.plan import plan as estimate
from stillhouse.pipeline.predict import check_out, predict_file, predict_table, read_file
from stillhouse.pipeline.run.progress import shown
from stillhouse.pipeline.student.load import load_student, own_module, student_folder
from stillhouse.pipeline.tuning.pilot import pilot as run_pilot
from stillhouse.pipeline.tuning.presets import distill as run_preset
from stillhouse.pipeline.tuning.tournament import tune as run_tournament
from stillhouse.recipe import Recipe

RecipeLike = Recipe | Mapping[str, Any] | str | Path
RunLike = Run | str | Path


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
    with shown(verbose, on_log):
        run = run_preset(resolved, given, preset=preset, seconds=time_limit, accept=accept_teacher)
        return Run(run.folder, given)


def label(
    recipe: RecipeLike | None = None,
    *,
    overwrite: bool = False,
    allow_code: bool = False,
    verbose: bool = True,
    **options: Unpack[Options],
) -> dict[str, Any]:
    """Only ask the teacher: train it if the recipe says so, and keep its outputs in the run folder's store.

    The arguments are those of ``distill``, which can later distil the same run. Returns the store's folder, rows, views
    and bytes.
    """
    resolved, given = resolve(recipe, allow_code=allow_code, overwrite=overwrite, **options)
    with shown(verbose):
        return label_run(resolved, given)


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


def load(run: RunLike, module: Any = None, *, arm: str | None = None, allow_code: bool = False) -> Any:
    """Load the student of a run with its preprocessing.

    Args:
        run: a run, its folder, or its ``student`` folder.
        module: your own student, whose code is not stored: the freshly built module, a function that builds it, or its
            name ``"python:package.module:function"``.
        arm: another model of the run in place of the student, by its name in ``scores.json``: ``"simple"``,
            ``"simple_distilled"``, ``"self_trained"``, ``"labels_only"``.
        allow_code: whether the ``python:`` name in the run's recipe may be imported and run to build it.

    Returns:
        An ``nn.Module`` with ``predict`` for raw rows; a classifier also has ``predict_proba``.

    Raises:
        UsageError: there is no student or no such arm, or it is your own module and was not given.
        DamagedError: weights and description do not match.
    """
    if isinstance(run, Run):
        return run.load(module, arm=arm, allow_code=allow_code)
    folder = student_folder(Path(run), arm)
    return load_student(folder, own_module(folder, module, allow_code))


@overload
def predict(
    run: RunLike, rows: Any, out: None = None, *, module: Any = None, arm: str | None = None, allow_code: bool = False
) -> Any:
    pass


@overload
def predict(
    run: RunLike,
    rows: str | Path,
    out: str | Path,
    *,
    module: Any = None,
    arm: str | None = None,
    allow_code: bool = False,
) -> int:
    pass


def predict(
    run: RunLike,
    rows: Any,
    out: str | Path | None = None,
    *,
    module: Any = None,
    arm: str | None = None,
    allow_code: bool = False,
) -> Any:
    """Predict rows with the student of a run, in input order.

    Args:
        run: a run or its folder.
        rows: raw rows (a frame, an array, texts), or the path of a file of rows: .csv, .tsv, .jsonl, .parquet or .npz;
            an image; a folder of Parquet files or images.
        out: a file for the predictions: of a classifier CSV with the columns ``class`` and ``p_<class>``; of an
            embedder its vectors as .npy, .npz or .parquet. "-" is standard output. Devices and pipes are written
            straight into.
        module: as for ``load``.
        arm: as for ``load``.
        allow_code: as for ``load``.

    Returns:
        Without ``out`` the predictions (N, ...); with it the number of rows written.
    """
    if out is not None:
        check_out(out, [rows], [run.folder if isinstance(run, Run) else Path(run)])
    model = load(run, module, arm=arm, allow_code=allow_code)
    if out is not None:
        return predict_file(model, rows, out)
    return answers(model, read_file(model, Path(rows))[0] if isinstance(rows, str | Path) else rows)


def predict_rows(run: RunLike, rows: str | Path, arm: str | None = None) -> Any:
    """The answers to a file of rows as a frame, the table that ``predict`` writes; see ``predict``."""
    return predict_table(load(run, arm=arm), rows)


def evaluate(
    run: RunLike,
    *,
    full: bool = False,
    labels: Any = None,
    id: str | None = None,
    teacher: Any = None,
    student: Any = None,
    data: Any = None,
    method: Any = None,
    views: Any = None,
    allow_code: bool = False,
    verbose: bool = True,
) -> dict[str, Any]:
    """Judge a run again.

    Args:
        run: a run or its folder.
        full: also compute the slow parts (robustness, detection of outliers, attributions) into ``full.json``, and
            write the report again; this needs nets and data. Without it the stored predictions are enough.
        labels: labels of test rows that came after the run: the path of a table or a frame, whose rows are matched by
            the input (the text, or all columns) or by a column that the data have too; a mapping from texts or ids to
            labels; or one label for each row of the data, in order. Any part of the rows will do. The report is
            written again.
        id: the column of such a table, and of the data, that names a row.
        teacher: as given to ``distill``, if it came from Python; for ``full``. A ``Run`` of this process knows it.
        student: the same.
        data: the same.
        method: the same.
        views: the same.
        allow_code: as for ``distill``.
        verbose: as for ``distill``.

    Returns:
        The contents of ``scores.json``.

    Raises:
        UsageError: there is no finished run, nothing more to judge in full, or an object from Python is missing.
    """
    own = resolve(teacher=teacher, student=student, data=data, method=method, views=views, allow_code=allow_code)[1]
    return _opened(run).evaluate(full=full, labels=labels, id=id, given=own, verbose=verbose)


def check(run: RunLike, limits: Mapping[str, Any] | str | Path) -> list[Criterion]:
    """Check a judged run against the limits of a gate.

    Args:
        run: a run or its folder.
        limits: such as ``{"max_accuracy_loss": 0.02}``, or the path of a TOML file of them.

    Returns:
        One criterion for each limit, in their order; ``passed`` says whether it is kept.

    Raises:
        UsageError: the folder is no judged run, or the gate is wrong.
    """
    judged = _opened(run)
    if not isinstance(limits, Mapping):
        try:
            limits = tomllib.loads(read_small(Path(limits)))
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"{limits} cannot be read as TOML: {error}. Write one `limit = number` a line.") from None
    return check_scores(judged.scores, limits, judged.task.criteria)


def report(run: RunLike) -> Path:
    """Write ``report.html`` of a run again from the files of its folder; returns its path.

    Raises:
        UsageError: the folder is no run, or was not judged yet.
        DamagedError: a file of the run cannot be read.
    """
    return _opened(run).report()


def compare(runs: Sequence[RunLike], format: str = "page", out: str | Path | None = None) -> str | Path:
    """Set judged runs side by side.

    Args:
        runs: runs or their folders, in the order in which they are shown.
        format: "page" writes one page; "csv", "latex" and "markdown" are tables for papers, a line for each model.
        out: a file; default: ``compare.html`` for the page, none for a table.

    Returns:
        The path of what was written; of a table without ``out`` its text.

    Raises:
        UsageError: too few runs, one that was not judged, or an unknown format.
    """
    found = [_opened(run) for run in runs]
    folders, judged_by = [run.folder for run in found], [run.task for run in found]
    if out is not None:
        check_out(out, runs=folders)
    if format == "page":
        return reporting.compare(folders, judged_by, Path(out or "compare.html"))
    text = reporting.table(folders, judged_by, format)
    if out is None:
        return text
    write_output(Path(out), text.encode())
    return Path(out)


def export(
    run: RunLike, format: str = "onnx", module: Any = None, *, arm: str | None = None, allow_code: bool = False
) -> Path:
    """Write ``export/student.onnx`` or ``export/student.safetensors``, compared with the torch student.

    Args:
        run: a run or its folder.
        format: ``"onnx"`` or ``"safetensors"``.
        module: as for ``load``.
        arm: as for ``load``; the file then has its name.
        allow_code: as for ``load``.

    Returns:
        The path of the file. An embedder's ``tokenizer.json`` (of an arm ``<arm>-tokenizer.json``) is beside it. The
        graph takes encoded rows, those of ``load(run, arm=arm).encoder.encode(rows)``, not raw rows; the file's
        metadata says how they are encoded.

    Raises:
        UsageError: unknown format, the extra is not installed, or the student is your own module and was not given.
        StillhouseError: the exported file gives other answers than the student.
    """
    formats.get(format)  # a wrong name is found before the run is opened
    return _opened(run).export(format, module, arm=arm, allow_code=allow_code)


def _opened(run: RunLike) -> Run:
    return run if isinstance(run, Run) else Run(run)
