"""The functions that use a finished run, as a user calls them from Python; the command line calls the same."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from stillhouse import reporting
from stillhouse.errors import UsageError
from stillhouse.evaluation.gate import Criterion
from stillhouse.evaluation.gate import check as check_scores
from stillhouse.exporting import formats
from stillhouse.files import read_small, write_output
from stillhouse.pipeline.arguments import resolve
from stillhouse.pipeline.interface.handle import Run, answers
from stillhouse.pipeline.predict import check_out, predict_file, predict_table, read_file
from stillhouse.pipeline.setup.set_up import moved
from stillhouse.pipeline.student.load import load_student, own_module, student_folder

RunLike = Run | str | Path


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


def draft(
    run: RunLike,
    *,
    gamma: Sequence[int] = (1, 2, 3, 5),
    prompts: int = 8,
    prompt_tokens: int = 64,
    max_new_tokens: int = 64,
    sampling_temperature: float = 0.0,
    seed: int = 0,
    arm: str | None = None,
) -> dict[str, Any]:
    """Measure the student of a run as a draft for its teacher in speculative decoding, beside plain and prompt lookup.

    Args:
        run: a language model's run, or its folder.
        gamma: tokens that the draft proposes a cycle.
        prompts: test texts that are continued.
        prompt_tokens: tokens of each that are given.
        max_new_tokens: tokens that are written for each.
        sampling_temperature: 0 takes the likeliest token; above, tokens are drawn.
        seed: of the draws.
        arm: as for ``load``.

    Returns:
        ``plain``: tokens a second; ``drafts``: for each draft and gamma tokens a cycle, acceptance, the acceptance at
        which it breaks even, and speed as a multiple of plain decoding.

    Raises:
        UsageError: no language model, or a number out of range.
        RejectedError: no test text is long enough.
    """
    opened = _opened(run)
    recipe = moved(opened.recipe, opened.folder)
    return opened.task.draft(
        recipe,
        opened.load(arm=arm),
        gamma=gamma,
        prompts=prompts,
        prompt_tokens=prompt_tokens,
        new_tokens=max_new_tokens,
        sampling_temperature=sampling_temperature,
        seed=seed,
    )


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
    """Write the student in a format of its own, such as ``export/student.onnx``, compared with the torch student.

    Args:
        run: a run or its folder.
        format: ``"onnx"``, ``"safetensors"``, or of trees ``"lightgbm"``, LightGBM's own file; of language models
            ``"transformers"``, a folder that ``AutoModelForCausalLM`` opens.
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
    if format != "transformers":
        formats.get(format)  # a wrong name is found before the run is opened
    return _opened(run).export(format, module, arm=arm, allow_code=allow_code)


def _opened(run: RunLike) -> Run:
    return run if isinstance(run, Run) else Run(run)
