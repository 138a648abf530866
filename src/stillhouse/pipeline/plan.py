"""What a recipe will cost, told before anything of the run is written."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.data import Rows, Stream
from stillhouse.engine import Budget, Step, fit
from stillhouse.pipeline.context import Ingredients
from stillhouse.pipeline.distill import plan_fits
from stillhouse.pipeline.run.folder import open_run
from stillhouse.pipeline.run.workers import default_workers
from stillhouse.pipeline.setup import gather
from stillhouse.pipeline.student.train import Trainer
from stillhouse.pipeline.teacher.assistants import Link
from stillhouse.pipeline.teacher.labeling import Teaching
from stillhouse.pipeline.validate import softening
from stillhouse.recipe import Recipe
from stillhouse.store import Dense, Sampled, TopK, gradient_error
from stillhouse.teachers import ModuleTeacher, check_teacher, make_codec
from stillhouse.teachers.sizes import total
from stillhouse.timing import one_thread
from stillhouse.types import Teacher

PROBE = 256  # rows of the probe batch
MASS = 0.999  # of each row's classes, for the top-k codec that is proposed
WARM_UP, MEASURED = 2, 20  # steps that are not timed, and steps that are


def plan(recipe: Recipe, *, allow_code: bool = False) -> dict[str, Any]:
    """Rows, views, teacher calls, bytes for each codec with the error it brings, fits, steps and seconds.

    The seconds come from a few steps of the student and of each net that is to be trained, and from asking a probe
    batch; what methods cost beside the student is not in them. A teacher that is not trained yet is timed untrained,
    and says nothing about codecs. Nothing is written into the run folder but the rows that [data] on_disk keeps there.

    Raises:
        UsageError: the recipe is wrong.
        RejectedError: data or teacher cannot be used.
    """
    have = gather(recipe, teacher=None, student=None, data=None, allow_code=allow_code)
    with tempfile.TemporaryDirectory() as scratch:
        aside = recipe.model_copy(update={"output": recipe.output.model_copy(update={"dir": Path(scratch) / "run"})})
        run = open_run(aside, command="stillhouse plan", parts=have.parts)
        trainer, arms = plan_fits(run, aside, have)
        for teaching in trainer.teachings.values():
            teaching.look_in(recipe.output.dir / teaching.arm)  # a teacher that an earlier run has trained
        return _told(recipe, have, trainer, len(arms), Path(scratch))


def _told(recipe: Recipe, have: Ingredients, trainer: Trainer, arms: int, scratch: Path) -> dict[str, Any]:
    data, views = have.data, have.views.count
    rows = len(data.train.targets)
    links = [link for chain in trainer.chains.values() for link in chain]
    teachings = list(trainer.teachings.values())
    fits = arms * len(recipe.training.seeds)
    workers = recipe.training.workers or default_workers()
    asked = [_teacher(teaching) for teaching in teachings]
    seconds = _seconds(have, trainer, teachings, links, fits, workers, scratch)
    seconds["ask teachers"] = total(
        [None if t["seconds_a_row"] is None else t["seconds_a_row"] * rows * views for t in asked]
    )
    seconds["in all"] = total(list(seconds.values()))
    return {
        "rows": {
            "train": rows, "labelled": len(have.labelled),
            "valid": len(data.valid.targets), "test": len(data.test.targets),
        },
        "columns": have.column_types,
        "views": views,
        "teachers": asked,
        "teacher_calls": rows * views * (len(teachings) + len(links)),
        "store": _store(recipe, have, teachings[0], rows * views, len(teachings) + len(links)),
        "fits": fits,
        "steps": fits * trainer.budget.steps,
        "teacher_fits": sum(len(t.trainable) for t in teachings) + len(links),
        "workers": workers,
        "seconds": {name: None if value is None else round(value, 1) for name, value in seconds.items()},
    }  # fmt: skip


def _teacher(teaching: Teaching) -> dict[str, Any]:
    """Who teaches, how large it is, and how long one row takes it."""
    if teaching.fitted_here or teaching.members or teaching.kind == "service":
        return {"arm": teaching.arm, "name": teaching.name, "ready": False, "parameters": None, "seconds_a_row": None}
    asked = _probed(teaching)
    inputs, raw = _probe(teaching)
    check_teacher(asked, inputs, raw)
    begun = time.perf_counter()
    check_teacher(asked, inputs, raw)  # asks twice
    taken = (time.perf_counter() - begun) / (2 * len(inputs))
    return {
        "arm": teaching.arm,
        "name": type(teaching.given).__name__ if teaching.given is not None else teaching.name,
        "ready": not teaching.trainable,
        "parameters": asked.parameters,
        "seconds_a_row": taken,
    }


def _probe(teaching: Teaching) -> tuple[Tensor, Any]:
    """A few training rows, encoded and as they were read."""
    data = teaching.have.data
    return data.train.inputs[:PROBE], data.source.take(data.split.train[:PROBE])


def _probed(teaching: Teaching) -> Teacher:
    """The teacher, a net trained or not."""
    if not teaching.trainable:
        return teaching.teacher
    precision = teaching.recipe.store.teacher_precision
    return ModuleTeacher(teaching.whole.net(), teaching.have.task, teaching.have.spec, teaching.layers, precision)


def _store(recipe: Recipe, have: Ingredients, teaching: Teaching, answers: int, stores: int) -> dict[str, Any]:
    """Bytes of the recipe's codec and of others, and what each does to the gradient of a student at the start."""
    ready = not (teaching.trainable or teaching.fitted_here or teaching.members or teaching.kind == "service")
    logits = _probe_logits(teaching) / softening(have.make_methods()) if ready else None
    chosen = make_codec(recipe.store.codec, recipe.store.dtype, have.task)
    features = _feature_bytes(teaching, recipe.store.dtype)
    known = {codec.name: codec for codec in (chosen, *_others(have.classes, logits))}
    told = []
    for codec in known.values():
        error = None if logits is None else gradient_error(codec, logits)
        told.append(
            {
                "codec": codec.name,
                "bytes_a_row": codec.bytes_per_row(have.classes) + features,
                "bytes": stores * answers * (codec.bytes_per_row(have.classes) + features),
                "gradient_error": None if error is None else error.relative,
                "worst_row": None if error is None else error.worst,
                "bound": None if error is None else error.bound,
            }
        )
    return {"codec": chosen.name, "dir": recipe.store.dir, "feature_bytes_a_row": features, "codecs": told}


def _probe_logits(teaching: Teaching) -> np.ndarray:
    logits: np.ndarray = check_teacher(_probed(teaching), *_probe(teaching)).logits.numpy()
    return logits


def _others(classes: int, logits: np.ndarray | None) -> list[Dense | TopK | Sampled]:
    """Codecs to compare with: whole rows, the largest classes, and as many sampled ones."""
    k = TopK.by_mass(logits, MASS).k if logits is not None else max(1, min(32, classes // 4))
    sparse: list[Dense | TopK | Sampled] = [TopK(k), Sampled(k)] if k < classes else []
    return [Dense("float32"), Dense("float16"), Dense("bfloat16"), *sparse]


def _feature_bytes(teaching: Teaching, dtype: str) -> int:
    """Bytes a row of the hidden layers that methods ask for."""
    if not teaching.layers:
        return 0
    found = check_teacher(_probed(teaching), teaching.have.data.train.inputs[:2]).features
    return sum(value[0].numel() for value in found.values()) * (4 if dtype == "float32" else 2)


def _seconds(
    have: Ingredients,
    trainer: Trainer,
    teachings: list[Teaching],
    links: list[Link],
    fits: int,
    workers: int,
    scratch: Path,
) -> dict[str, float | None]:
    """Seconds of training, as if every worker had a core for itself."""
    to_train = [(one.net(), one.budget) for t in teachings for one in t.trainable] + [
        (link.fresh(), link.budget) for link in links
    ]
    trees = any(one.fitted_here for t in teachings for one in (t.members or [t]))
    nets = [
        budget.steps * _step_seconds(net, have, budget, scratch / f"net{n}") for n, (net, budget) in enumerate(to_train)
    ]
    teachers = None if trees else sum(nets) / max(1, min(workers, len(nets)))
    if have.fitted is not None:  # trees are fitted at once: there is no step to measure
        return {"train teachers": teachers, "train students": None}
    student = _step_seconds(have.students.make(), have, trainer.budget, scratch / "student")
    return {
        "train teachers": teachers,
        "train students": fits * trainer.budget.steps * student / min(workers, fits),
    }


def _step_seconds(net: nn.Module, have: Ingredients, budget: Budget, folder: Path) -> float:
    """Seconds of one training step, from a few real ones on one thread, which is what a worker has."""
    rows, taken = _labelled(have), []
    with one_thread():
        for number, steps in enumerate((WARM_UP, WARM_UP, WARM_UP + MEASURED)):  # the very first fit is slow
            short = dataclasses.replace(budget, steps=steps, keep="last", compile=False)
            begun = time.perf_counter()
            stream = Stream(
                torch.arange(len(rows.targets)), batch_size=budget.batch_size, seed=0, views=have.views.labelled
            )
            fit(Step(net), rows, stream, have.views, short, folder=folder / str(number), identity="plan")
            taken.append(time.perf_counter() - begun)
    return max(taken[2] - taken[1], 0.0) / MEASURED


def _labelled(have: Ingredients) -> Rows:
    """The training rows, each with a label, known or not: only the time counts."""
    targets: Tensor = have.data.train.targets.clamp(min=0)
    return Rows(have.data.train.inputs, targets)
