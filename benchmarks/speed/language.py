"""Language models: what asking the teacher, its answers and a step cost, and what the demonstration reaches.

Times are seconds of the processor on one thread, so other work on the machine does not count. The run of
``python -m benchmarks.examples novels`` is made first where it is not there.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.examples.closeness import marks
from benchmarks.examples.example import find
from benchmarks.examples.running import run as run_example
from benchmarks.speed.timing import Row, floor, interleaved, ratio

import stillhouse
from stillhouse.data import Prepared, Rows, StoredBatches, Stream, Views
from stillhouse.engine import Step
from stillhouse.engine.optim import make_optimiser
from stillhouse.methods import make
from stillhouse.pipeline.student.classes import Classes
from stillhouse.recipe import Recipe, read
from stillhouse.store import codec, gradient_error
from stillhouse.task import OutputSpec
from stillhouse.tasks import get
from stillhouse.tasks.language_modelling.reading import files_of, net_of, prepared
from stillhouse.teachers.causal.teacher import CausalTeacher
from stillhouse.teachers.label import Asker, label
from stillhouse.teachers.stored import StoredTeacher
from stillhouse.types import Spec

KEPT, PLAIN = "shaped:31", "topk:32"
ASKED = 8  # windows of the small store
WITHIN = 130.5  # bytes a token, rounded


def language(quick: bool) -> list[Row]:
    """All figures."""
    folder = run_example("novels", find("novels"))
    recipe = read(folder / "recipe.toml")
    data = prepared(recipe)
    rounds = 1 if quick else 5
    rows = [
        Row(f"novels: {what}", target, figure.value, met, note=f"95 % interval {figure.low:.3f} to {figure.high:.3f}")
        for what, figure, target, met in marks(folder)
    ]
    rows += [capture(teacher_of(recipe, half), data, rounds) for half in (True, False)]
    rows += stored(recipe, data, folder, rounds)
    return [*rows, *errors(recipe, data, folder)]


def teacher_of(recipe: Recipe, half: bool) -> CausalTeacher:
    """The teacher of the run in bfloat16 or float32."""
    files = files_of(recipe.teacher)
    spec = OutputSpec((recipe.data.context or 512, files.vocabulary.size))
    return CausalTeacher(
        net_of(files), get("language_modelling"), spec, files.fingerprint(), half=half, device=torch.device("cpu")
    )


def cpu(work: Callable[[], object]) -> Callable[[], float]:
    """A case of ``interleaved``: the processor's seconds of one call."""

    def measure() -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    return measure


def asker(teacher: CausalTeacher, data: Prepared, name: str) -> Asker:
    """Who asks the teacher about the first training windows, and packs what is kept."""
    return Asker(teacher, data.train.inputs[:ASKED], Views("none", 1, 0.0, 0), codec(name), 1.0)


def capture(teacher: CausalTeacher, data: Prepared, rounds: int) -> Row:
    """Answers as they are written, against the bare forward pass of the same windows."""
    one, kept, plain = np.arange(1), asker(teacher, data, KEPT), asker(teacher, data, PLAIN)
    net: Any = teacher._net
    inputs = data.train.inputs[:1]

    @torch.inference_mode()
    def bare() -> None:
        net(inputs)

    found = interleaved(
        {"capture": cpu(lambda: kept(one)), "plain": cpu(lambda: plain(one)), "bare": cpu(bare), "again": cpu(bare)},
        rounds,
    )
    value, other = ratio(found, "capture", "bare"), ratio(found, "plain", "bare")
    pace = inputs.shape[-1] / statistics.median(found["bare"])
    kind = "bfloat16" if teacher.half else "float32"
    return Row(
        f"language, capture ({KEPT}) / bare forward pass, teacher in {kind}", "<= 1.10", value, value <= 1.10,
        floor=floor(found, "bare", "again"), seconds=found,
        note=f"{PLAIN} {other:.3g}; the bare pass reads {pace:,.0f} tokens a second of one core",
    )  # fmt: skip


def stored(recipe: Recipe, data: Prepared, folder: Path, rounds: int) -> list[Row]:
    """Bytes a token on disk, and a step from the store against a step on the text alone."""
    task, batch = get("language_modelling"), int(recipe.training.batch_size or 4)
    teacher, views = teacher_of(recipe, True), Views("none", 1, 0.0, 0)
    rows = Rows(data.train.inputs[:ASKED], data.train.targets[:ASKED])
    with tempfile.TemporaryDirectory() as scratch:
        store = label(
            teacher, rows.inputs, views, Path(scratch) / "store", task=task, key={}, dtype="float16", block_rows=ASKED,
            codec=KEPT,
        )  # fmt: skip
        size = sum(file.stat().st_size for file in Path(scratch).rglob("*") if file.is_file())
        tokens = rows.targets.numel()
        answers = StoredTeacher(store)
        student: Any = stillhouse.load(folder).net
        cases = {name: one_step(student, rows, batch, answers if name == "cached" else None)
                 for name in ("cached", "text", "again")}  # fmt: skip
        found = interleaved({name: cpu(work) for name, work in cases.items()}, 2 * rounds)
    value = ratio(found, "cached", "text")
    kept = sum(field.nbytes for field in store.fields) * len(rows.targets) / tokens
    return [
        Row("language, stored bytes a token", "<= 130", kept, kept <= WITHIN,
            note=f"{size / tokens:.0f} with hashes and manifest, of {tokens:,} tokens"),
        Row("language, cached training step / text-only step", "<= 1.10", value, value <= 1.10,
            floor=floor(found, "text", "again"), seconds=found,
            note=f"{batch} windows of {data.train.targets.shape[1]} tokens, {recipe.training.precision}"),
    ]  # fmt: skip


def one_step(student: Any, rows: Rows, batch: int, answers: StoredTeacher | None) -> Callable[[], None]:
    """A training step of the recipe's loss, or of the next-token loss alone."""
    net, task = copy.deepcopy(student).train(), get("language_modelling")
    own, methods = Classes(net), []
    if answers is not None:
        method = make("forward_kl", temperature=1.0)
        spec = Spec(int(own.table.max()) + 1 if own.table is not None else answers.shape[-1], rows=len(rows.targets))
        method.build(spec, spec)
        methods = [("forward_kl", method, 1.0)]
    step = Step(net, methods, loss=task.loss, label_weight=0.5 if answers else 1.0)
    optimiser = make_optimiser(step, lr=1e-6, weight_decay=0.0)
    ask = None if answers is None else own.answer(answers.outputs)
    stream = Stream(torch.arange(len(rows.targets)), batch_size=batch, seed=0, views=1)
    batches = StoredBatches(rows._replace(targets=own.targets(rows.targets)), stream, Views("none", 1, 0.0, 0))
    number = 0

    def work() -> None:
        nonlocal number
        given = batches.at(number, net)
        number += 1
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            terms = step(given, None if ask is None else ask(given))
        torch.autograd.backward([torch.stack(list(terms.values())).sum()])
        optimiser.step()

    return work


@torch.inference_mode()
def errors(recipe: Recipe, data: Prepared, folder: Path) -> list[Row]:
    """The error of the distilled student's gradient on windows of the test, of codecs of 130 bytes a token."""
    teacher, student = teacher_of(recipe, True), stillhouse.load(folder)
    names = (KEPT, PLAIN, "sampled:32", "topk:64")
    found: dict[str, list[float]] = {name: [] for name in names}
    for row in range(0, len(data.test.targets), 4):
        inputs, counted = data.test.inputs[row : row + 1], data.test.targets[row] >= 0
        theirs = teacher.logits(inputs)[:, counted].numpy()
        ours = student.log_probs(inputs)[:, counted].numpy()
        for name in names:
            found[name].append(gradient_error(codec(name), theirs, ours).relative)
    means = {name: float(np.sqrt(np.mean(np.square(values)))) for name, values in found.items()}
    value = means[KEPT]
    note = ", ".join(f"{name} {100 * one:.3g} %" for name, one in means.items())
    count = len(found[KEPT])
    return [
        Row(
            "language, gradient error at 130 bytes a token on the novels' text", "<= 10 %", 100 * value, value <= 0.10,
            unit=" %", note=f"root mean square of {count} test windows, the run's distilled student: {note}",
        )
    ]  # fmt: skip
