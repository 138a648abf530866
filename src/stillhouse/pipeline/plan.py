"""What a recipe will cost, before anything of the run is written."""

from __future__ import annotations

import dataclasses
import math
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data import Rows, StoredBatches, Stream
from stillhouse.engine import Budget, Step, fit
from stillhouse.pipeline.distill import Distillation
from stillhouse.pipeline.made.planned import making_seconds
from stillhouse.pipeline.made.training import refuse_no_gradient, trains
from stillhouse.pipeline.run.context import NOTHING, Given, RunContext
from stillhouse.pipeline.run.session import at_work
from stillhouse.pipeline.student.arms import fits_of
from stillhouse.pipeline.student.classes import Classes
from stillhouse.pipeline.teacher.answers import softening
from stillhouse.pipeline.teacher.assistants import Assistant
from stillhouse.pipeline.teacher.labeling import RunTeacher
from stillhouse.recipe import Recipe
from stillhouse.store import Dense, Sampled, TopK, codec, gradient_error
from stillhouse.task import TEACHER
from stillhouse.teachers import check_teacher, make_codec
from stillhouse.teachers.sizes import total
from stillhouse.timing import one_thread
from stillhouse.types import Teacher

PROBE = 256  # rows of the probe batch, fewer where a row has many outputs:
PROBE_OUTPUTS = 1 << 24
OF_TOKENS = ("topk:32", "topk:64", "shaped:31", "sampled:32", "dense:bfloat16")  # that a plan compares for tokens
MASS = 0.999  # of each row's classes, for the top-k codec that is proposed
LIBRARIES = 120 << 20  # bytes of what a run imports and a plan does not
COPIES = 4  # of the encoded rows, at the most, which a run holds and a plan does not
SUM = 0.01  # seconds of a sum over the processes of a step, on CPUs
WORTH = 0.9  # of the time, that another way must take at most to be named
WARM_UP, MEASURED = 2, 20  # steps that are not timed, and steps that are


def plan(recipe: Recipe, given: Given = NOTHING) -> dict[str, Any]:
    """Rows, views, teacher calls, bytes and gradient error of each codec, fits, steps, resident memory and seconds.

    The seconds come from a few steps of each net that is to be trained and from a probe batch; they do not include the
    cost of methods. A teacher that is not trained yet is timed untrained, and the error of its codecs is not known.
    Nothing is written into the run folder except the rows of [data] on_disk.
    """
    with tempfile.TemporaryDirectory() as scratch, at_work(Path(scratch), given):
        run = Distillation(recipe, given, folder=Path(scratch) / "run")
        refuse_no_gradient(run.context, run.teachers[TEACHER])
        for arm, teacher in run.teachers.items():
            teacher.look_in(recipe.output.dir / arm)  # a teacher that an earlier run has trained
        return _facts(run, Path(scratch))


def _facts(run: Distillation, scratch: Path) -> dict[str, Any]:
    context, data, views = run.context, run.context.data, run.context.views.count
    rows = len(data.train.targets)
    assistants = [assistant for chain in run.chains.values() for assistant in chain]
    teachers = list(run.teachers.values())
    fits = fits_of(run.arms, run.trainer.seeds)
    asked = [_teacher(teacher) for teacher in teachers]
    seconds = _seconds(run, teachers, assistants, fits, scratch)
    seconds["ask teachers"] = total(
        [None if t["seconds_a_row"] is None else t["seconds_a_row"] * rows * views for t in asked]
    )
    if any(trains(entry) for entry in context.recipe.made):
        seconds["make rows"] = _making(run, scratch)
    seconds["in all"] = total(list(seconds.values()))
    stores = len(teachers) + len(assistants)
    return {
        "rows": {
            "train": rows, "labelled": len(context.labelled),
            "valid": len(data.valid.targets), "test": len(data.test.targets), "made": rows - context.real_rows,
        },
        "columns": context.column_types,
        "views": views,
        "teachers": asked,
        "teacher_calls": rows * views * stores + sum(answers_to(run.variants[name]) for name in asked_variants(run)),
        "store": _store(context, teachers[0], rows * views, stores),
        "fits": fits,
        "steps": fits * run.trainer.budget.steps,
        "teacher_fits": sum(len(t.trainable) for t in teachers) + len(assistants),
        "workers": run.trainer.at_once,
        "memory": _memory(context),
        "advice": advice(seconds["train students"], fits * run.trainer.budget.steps, fits, run.trainer.processes),
        "seconds": {name: None if value is None else round(value, 1) for name, value in seconds.items()},
    }  # fmt: skip


def _memory(context: RunContext) -> int:
    """Bytes that the run's largest process will hold at its peak.

    A plan reads and encodes the rows just as the run does, so it begins with its own peak. Then come libraries that
    only a run needs, and copies of encoded rows, which are mapped with [data] on_disk. ``benchmarks.speed.rows``
    compares it with a run.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    own = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    encoded = sum(part.inputs.nbytes for part in context.data[3:])
    return own + LIBRARIES + (0 if context.recipe.data.on_disk else COPIES * encoded)


def _making(run: Distillation, scratch: Path) -> float | None:
    """Seconds of trained makers and of their rivals; None where they are not known before the teacher is there."""
    teacher, trainer = run.teachers[TEACHER], run.trainer
    asked = None if teacher.fitted_here or teacher.members or teacher.kind == "service" else _probed(teacher)
    step = 0.0
    if run.context.fitted is None:
        step = _step_seconds(run.context.students.make(), trainer.context, trainer.budget, scratch / "scout")
    return making_seconds(run.context, asked, step, scratch / "made")


def answers_to(context: RunContext) -> int:
    """Answers of the teacher to all training rows and views."""
    return len(context.data.train.targets) * context.views.count


def asked_variants(run: Distillation) -> set[str]:
    """The variants of the run that its teacher is asked about; the others are for arms without a teacher."""
    named = {arm.control.variant for arm in run.arms if arm.control.teacher}
    return {name for name in run.variants if name in named}


def _teacher(teacher: RunTeacher) -> dict[str, Any]:
    """The teacher's name, size and time for one row."""
    if teacher.fitted_here or teacher.members or teacher.kind == "service":
        return {"arm": teacher.arm, "name": teacher.name, "ready": False, "parameters": None,
                "seconds_a_row": None, "tokens_a_second": None}  # fmt: skip
    asked = _probed(teacher)
    inputs, raw = _probe(teacher)
    check_teacher(asked, inputs, raw)
    begun = time.perf_counter()
    check_teacher(asked, inputs, raw)  # asks twice
    taken = (time.perf_counter() - begun) / (2 * len(inputs))
    return {
        "arm": teacher.arm,
        "name": type(teacher.given).__name__ if teacher.given is not None else teacher.name,
        "ready": not teacher.trainable,
        "parameters": asked.parameters,
        "seconds_a_row": taken,
        "tokens_a_second": _tokens(teacher.context) / taken if _tokens(teacher.context) else None,
    }


def _tokens(context: RunContext) -> int:
    """Tokens of a row that are answered one by one; 0 where a row has one answer."""
    shape = context.spec.shape
    return shape[0] if context.task.streamed and len(shape) > 1 else 0


def _probe(teacher: RunTeacher) -> tuple[Tensor, Any]:
    """A few training rows, encoded and as they were read."""
    data, outputs = teacher.context.data, math.prod(teacher.context.spec.shape)
    rows = max(1, min(PROBE, PROBE_OUTPUTS // outputs))
    return data.train.inputs[:rows], data.source.shown(data.split.train[:rows])


def _probed(teacher: RunTeacher) -> Teacher:
    """The teacher, trained or not."""
    return teacher.answering(teacher.whole.net()) if teacher.trainable else teacher.teacher


def _store(context: RunContext, teacher: RunTeacher, answers: int, stores: int) -> dict[str, Any]:
    """Bytes of the recipe's codec and of others, and the error that each brings to an untrained student's gradient."""
    keeps, shape, tokens = context.recipe.store, context.spec.shape, _tokens(context)
    ready = not (teacher.trainable or teacher.fitted_here or teacher.members or teacher.kind == "service")
    compares = ready and context.task.shift_invariant
    logits = _probe_values(teacher) / softening(context.make_methods()) if compares else None
    chosen = make_codec(keeps.codec, keeps.dtype, context.task)
    features = _feature_bytes(teacher, keeps.dtype)
    others = _others(shape[-1], logits) if context.task.shift_invariant and not tokens else []
    known = {one.name: one for one in (chosen, *others, *(map(codec, OF_TOKENS) if tokens else ()))}
    found = []
    for one in known.values():
        error = None if logits is None else gradient_error(one, logits)
        size = one.bytes_per_row(*shape) + features
        found.append(
            {
                "codec": one.name,
                "bytes_a_row": size,
                "bytes_a_token": size / tokens if tokens else None,
                "bytes": stores * answers * size,
                "gradient_error": None if error is None else error.relative,
                "worst_row": None if error is None else error.worst,
                "bound": None if error is None else error.bound,
            }
        )
    known_error = [one for one in found if one["gradient_error"] is not None and one["bytes"] <= found[0]["bytes"]]
    best = min(known_error, key=lambda one: one["gradient_error"], default=None)
    return {
        "codec": chosen.name, "dir": keeps.dir, "feature_bytes_a_row": features, "codecs": found,
        "probe_tokens": tokens * (0 if logits is None else len(logits)),
        "best": None if best is None else best["codec"],
    }  # fmt: skip


def _probe_values(teacher: RunTeacher) -> NDArray[Any]:
    inputs, raw = _probe(teacher)
    values: NDArray[Any] = check_teacher(_probed(teacher), inputs, raw).values.numpy()
    return values


def _others(classes: int, logits: NDArray[Any] | None) -> list[Dense | TopK | Sampled]:
    """Codecs to compare with: whole rows, the largest classes, and as many sampled ones."""
    k = TopK.by_mass(logits, MASS).k if logits is not None else max(1, min(32, classes // 4))
    sparse: list[Dense | TopK | Sampled] = [TopK(k), Sampled(k)] if k < classes else []
    return [Dense("float32"), Dense("float16"), Dense("bfloat16"), *sparse]


def _feature_bytes(teacher: RunTeacher, dtype: str) -> int:
    """Bytes a row of the hidden layers that methods ask for."""
    if not teacher.layers:
        return 0
    inputs = teacher.context.data.train.inputs[:2]
    found = check_teacher(_probed(teacher), inputs).features
    return sum(value[0].numel() for value in found.values()) * (4 if dtype == "float32" else 2)


def _seconds(
    run: Distillation, teachers: list[RunTeacher], assistants: list[Assistant], fits: int, scratch: Path
) -> dict[str, float | None]:
    """Seconds of training, if every worker has a core for itself."""
    context, trainer = run.context, run.trainer
    nets = [(one.net(), context, one.budget) for t in teachers for one in t.trainable]
    nets += [(one.fresh(), one.context, one.budget) for one in assistants]
    trees = any(one.fitted_here for t in teachers for one in (t.members or [t]))
    taken = [
        budget.steps * _step_seconds(net, read, budget, scratch / f"net{n}")
        for n, (net, read, budget) in enumerate(nets)
    ]
    first = None if trees else sum(taken) / max(1, min(trainer.at_once, len(taken)))
    if context.fitted is not None:  # a student that is fitted at once has no step to measure
        return {"train teachers": first, "train students": None}
    student = _step_seconds(context.students.make(), trainer.context, trainer.budget, scratch / "student")
    steps = fits * trainer.budget.steps
    if trainer.processes > 1:
        return {"train teachers": first, "train students": steps * (student / trainer.processes + SUM)}
    return {"train teachers": first, "train students": steps * student / min(trainer.at_once, fits)}


def advice(seconds: float | None, steps: int, fits: int, processes: int) -> str | None:
    """What is faster than several processes that train one net; None where nothing is, or it is not known.

    The same processes can train fits side by side, each one alone, without a sum over all of them in each step.

    Args:
        seconds: of the students, each trained by all processes.
        steps: of all students.
        fits: how many there are.
        processes: how many train one net.

    >>> advice(12.0, 1000, 10, 2)
    'Several devices hardly help here: 2 processes that train one net together take about 12 s, and fits side by side about 2 s. Remove `[training] devices` and `nodes`; on several machines share the fits: `stillhouse distill RECIPE --fits 0/2`.'
    """  # noqa: E501
    if seconds is None or processes == 1:
        return None
    alone = max(seconds - steps * SUM, 0.0) * processes / min(processes, fits)
    if alone > WORTH * seconds:
        return None
    return (
        f"Several devices hardly help here: {processes} processes that train one net together take about "
        f"{seconds:,.0f} s, and fits side by side about {alone:,.0f} s. Remove `[training] devices` and `nodes`; on "
        f"several machines share the fits: `stillhouse distill RECIPE --fits 0/{processes}`."
    )


def _step_seconds(net: nn.Module, context: RunContext, budget: Budget, folder: Path) -> float:
    """Seconds of one training step, from a few real ones on one thread, as in a worker."""
    train, taken, own = context.data.train, [], Classes(net)
    rows = Rows(
        train.inputs, own.targets(context.task.any_targets(train.targets))
    )  # only the time counts, not the label
    with one_thread():
        for number, steps in enumerate((WARM_UP, WARM_UP, WARM_UP + MEASURED)):  # the very first fit is slow
            short = dataclasses.replace(budget, steps=steps, keep="last", compile=False, slices=None)
            begun = time.perf_counter()
            everything, views = torch.arange(len(rows.targets)), context.views
            stream = Stream(everything, batch_size=budget.batch_size, seed=0, views=views.labelled)
            step = Step(net, loss=context.task.loss)
            fit(step, StoredBatches(rows, stream, views), short, folder=folder / str(number), identity="plan")
            taken.append(time.perf_counter() - begun)
    return max(taken[2] - taken[1], 0.0) / MEASURED
