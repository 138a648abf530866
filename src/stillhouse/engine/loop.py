"""The training loop: one flat ``fit`` that knows neither method nor teacher nor kind of data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stillhouse.data import Batches, Rows
from stillhouse.engine.balance import MEASURED_STEPS, Balance
from stillhouse.engine.best import Best
from stillhouse.engine.compiling import compiled
from stillhouse.engine.gradients import Gradient, added, by_source, norms
from stillhouse.engine.group import ALONE, Group
from stillhouse.engine.guard import held_out_gradient
from stillhouse.engine.halving import Halving
from stillhouse.engine.keeping import Keeper
from stillhouse.engine.log import LOG, Log, Recorder, Validation, Watch
from stillhouse.engine.meter import Meter
from stillhouse.engine.optim import AdamW, lr_at, make_optimiser
from stillhouse.engine.placement import Device, Precision, placement
from stillhouse.engine.scaling import FixedScale
from stillhouse.engine.signals import StopRequest
from stillhouse.engine.slices import ALL, Measured, Sliced, Whole
from stillhouse.engine.step import Step
from stillhouse.memory_format import channels_last
from stillhouse.types import Batch, Outputs, in_eval

Answer = Callable[[Batch], Outputs]
Look = Callable[[Mapping[str, Gradient]], list[str]]  # from the gradient of each source to what was done about it


@dataclass(frozen=True)
class Budget:
    """What a fit may spend, and how; equal for all students that are compared.

    ``compile`` runs the student through ``torch.compile`` where the machine can. ``keep`` says which weights are
    returned: the last, or those of the log line with the lowest monitored figure. ``keep_every`` steps, the weights of
    what would ship are written into a file that stays. Where the best weights are kept, a fit ends when the monitored
    figure has not been lower for ``patience`` steps. A step is taken in ``slices`` where their number is given.
    """

    steps: int
    batch_size: int
    lr: float
    weight_decay: float = 1e-4
    device: Device = "auto"
    precision: Precision = "32-true"
    checkpoint_every: int = 200
    log_every: int = 50
    compile: bool = False
    keep: Literal["last", "best"] = "last"
    keep_every: int | None = None
    patience: int | None = None
    slices: int | None = None

    def part(self, steps: int) -> Budget:
        """The same for another number of steps; patience shrinks with them."""
        patience = None if self.patience is None else max(1, self.patience * steps // self.steps)
        return replace(self, steps=steps, patience=patience)


def fit(
    step: Step,
    batches: Batches,
    budget: Budget,
    *,
    folder: Path,
    identity: str,
    answer: Answer | None = None,
    valid: Rows | None = None,
    validation: Validation | None = None,
    monitor: str = "",
    tags: Mapping[str, Any] | None = None,
    advance: Callable[[int], None] = lambda steps: None,
    on_log: Callable[[dict[str, Any]], None] = lambda line: None,
    group: Group = ALONE,
    seed: int = 0,
) -> nn.Module:
    """Train ``step`` in place and return what ships of it, in eval mode.

    The checkpoint holds weights, optimiser, random state and the state of a batch source that reads the net, so a fit
    that was killed and is called again ends with the same weights as one that was not.

    Args:
        step: the student with its methods.
        batches: gives the batch of each step.
        budget: steps, rate, precision.
        folder: gets ``checkpoint.safetensors`` and ``metrics.jsonl``.
        identity: names this fit; a checkpoint of another is refused.
        answer: the teacher, stored or live; None trains on labels alone.
        valid: rows to watch; never trained on.
        validation: their figures, as ``Task.validation``.
        monitor: the figure that is lowest at the best weights.
        tags: written into each line of the log.
        advance: called with the number of steps that were done.
        on_log: called with each line of the log.
        group: the processes that train it together, each with its part of the budget's slices; the first writes.
        seed: of the random numbers of slices.

    Raises:
        StillhouseError: the loss is no longer finite; the last good checkpoint is kept.
        LostProcessError: another process of the group has ended.
        KeyboardInterrupt, SystemExit: a signal came; the state was saved first.
    """
    device, arithmetic, scale = placement(budget.device, budget.precision)
    step.to(device).train()
    batches.to(device)
    channels_last(step.student, batches.example)
    optimiser = make_optimiser(step, lr=budget.lr, weight_decay=budget.weight_decay)
    of_student = list(map(set(step.student.parameters()).__contains__, optimiser.parameters))
    takes: Whole = Halving(step, optimiser, arithmetic, seed)
    if budget.slices:
        takes = Sliced(step, optimiser.parameters, group, budget.slices, seed, arithmetic)
    keeper, watch = Keeper(folder, identity, step, optimiser, batches, group), Watch(valid, validation, monitor)
    best = Best(step, len(valid.targets) if valid is not None else 0) if budget.keep == "best" else None
    found = keeper.restore(best, scale)
    call = compiled(step.student) if budget.compile else None
    meter = Meter(found.meter)
    log = Log(folder / LOG, found.step, dict(tags or {}), on_log) if group.leads else None
    recorder = Recorder(log, step, meter, watch, best, group)
    advance(found.step)
    with StopRequest() as stop:
        for index in unfinished(found.step, budget, best, advance):
            done = index + 1
            takes.draw(index)
            batch = batches.at(index, step.student)
            optimiser.lr = lr_at(index, budget.steps, budget.lr)
            measured = step.balance is not None and index < MEASURED_STEPS
            # A method that warms up is measured, and trained for these few steps, as it is when it has warmed up.
            step.set_progress(1.0 if measured else index / budget.steps)
            logs = done % budget.log_every == 0 or done == budget.steps
            # Compiled code gives its memory up in the backward pass, so it cannot be asked for each term's norm.
            apart, run = logs or measured, None if logs or measured else call
            taken = takes.measure(index, batch, answer, scale.factor, apart=apart, call=run, stop=stop)
            balance, look = step.balance if measured else None, watched(step, watch.rows, optimiser) if logs else None
            sizes, told = move(taken, optimiser, scale, of_student if apart else None, balance, look)
            meter.add(list(taken.terms), torch.stack(list(taken.terms.values())))
            if logs and not recorder.write(done, optimiser.lr, sizes, [*told, *takes.news()]):
                raise keeper.diverged(done, budget.lr)
            if budget.keep_every and done % budget.keep_every == 0:
                keeper.keep(done)
            # Read once: a signal that comes later is seen after the next step.
            if (stopped := takes.stopped(taken, stop)) or (done % budget.checkpoint_every == 0 and done < budget.steps):
                keeper.save(done, budget.lr, meter, best, scale)
            stop.raise_if_received(saved=stopped)
            advance(1)
    keeper.end(budget.steps, budget.lr)
    if best is not None:
        best.restore()
    return in_eval(step.deployed())


def unfinished(done: int, budget: Budget, best: Best | None, advance: Callable[[int], None]) -> Iterator[int]:
    """The numbers of the steps that are left, until the validation rows have waited too long for a better net."""
    for index in range(done, budget.steps):
        if best is not None and budget.patience and best.since * budget.log_every >= budget.patience:
            advance(budget.steps - index)
            return
        yield index


def move(
    taken: Measured,
    optimiser: AdamW,
    scale: FixedScale,
    of_student: Sequence[bool] | None,
    balance: Balance | None,
    look: Look | None = None,
) -> tuple[dict[str, Tensor], list[str]]:
    """Move the weights by the gradient of the terms' sum; in float16 only if no gradient has overflowed.

    Args:
        taken: the gradient.
        optimiser: moves them.
        scale: of the loss.
        of_student: which parameters are the student's, where the terms' gradients are told apart and measured.
        balance: is shown these measures.
        look: is shown the gradient of each source before the weights move.

    Returns:
        The norm of each term's own gradient over the student's parameters, where it is measured; what ``look`` says.
    """
    told: list[str] = []
    overflow = scale.unscale(part for gradient in taken.each.values() for part in gradient if part is not None)
    if of_student is None:
        gradient, sizes = taken.each[ALL], {}
    else:
        if balance is not None:
            balance.observe(norms(by_source(taken.each), of_student))
        if look is not None:
            told = look(by_source(taken.each))
        gradient, sizes = added(taken.each.values()), norms(taken.each, of_student)
    optimiser.set_grad(gradient)
    optimiser.step(overflow)
    scale.update(overflow)
    return sizes, told


def watched(step: Step, rows: Rows | None, optimiser: AdamW) -> Look | None:
    """How a guarded step looks at the gradients of its methods; None without a guard or validation rows."""
    guard, loss = step.guard, step.loss
    if guard is None or loss is None or rows is None:
        return None
    return lambda each: guard.look(each, held_out_gradient(step.student, loss, rows, optimiser.parameters))
