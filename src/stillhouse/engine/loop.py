"""The training loop: one flat ``fit`` that knows neither method nor teacher nor kind of data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stillhouse.data import Rows, Stream, Views
from stillhouse.engine.balance import MEASURED_STEPS, ShareWatch, by_source
from stillhouse.engine.checkpoint import NAME, load_checkpoint, save_checkpoint
from stillhouse.engine.meter import Meter, gradient_norms, shares
from stillhouse.engine.optim import lr_at, make_optimiser, set_lr
from stillhouse.engine.placement import placement
from stillhouse.engine.signals import StopRequest
from stillhouse.engine.step import Step, label_loss
from stillhouse.errors import StillhouseError
from stillhouse.files import write_atomic
from stillhouse.types import Batch, Outputs, logits_of

LOG = "metrics.jsonl"
Answer = Callable[[Batch], Outputs]


@dataclass(frozen=True)
class Budget:
    """What a fit may spend, and how; equal for all students that are compared."""

    steps: int
    batch_size: int
    lr: float
    weight_decay: float = 1e-4
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    checkpoint_every: int = 200
    log_every: int = 50


def fit(
    step: Step,
    rows: Rows,
    stream: Stream,
    views: Views,
    budget: Budget,
    *,
    folder: Path,
    identity: str,
    answer: Answer | None = None,
    valid: Rows | None = None,
    tags: Mapping[str, Any] | None = None,
    advance: Callable[[int], None] = lambda steps: None,
) -> nn.Module:
    """Train ``step`` in place and return what ships of it, in eval mode.

    The batch of step i is a function of (seed, i), and the checkpoint holds weights, optimiser and random state, so a
    fit that was killed and is called again ends with the same weights as one that was not.

    Args:
        step: the student with its methods.
        rows: all training rows; ``targets`` is -1 where this learner may not see the label.
        stream: says which rows and views make up each step.
        views: replays the augmented views that the teacher was asked about.
        budget: steps, rate, precision.
        folder: where ``checkpoint.safetensors`` and ``metrics.jsonl`` go.
        identity: names this fit; a checkpoint of another is refused.
        answer: the teacher, stored or live; None trains on labels alone.
        valid: rows to watch; never trained on.
        tags: written into each line of the log.
        advance: told how many steps were done.

    Raises:
        StillhouseError: the loss is no longer finite; the last good checkpoint is kept.
        KeyboardInterrupt, SystemExit: a signal came; the state was saved first.
    """
    device, arithmetic = placement(budget.precision)
    step.to(device).train()
    if any(isinstance(m, nn.Conv2d) for m in step.modules()):
        step.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this overload
    inputs, targets = rows.inputs.to(device), rows.targets.to(device)
    student = [p for p in step.student.parameters() if p.requires_grad]
    optimiser = make_optimiser(step, lr=budget.lr, weight_decay=budget.weight_decay)
    checkpoint = folder / NAME
    start, sums = load_checkpoint(checkpoint, identity=identity, module=step, optimiser=optimiser)
    meter, log = Meter(sums), Log(folder / LOG, start, dict(tags or {}))
    balance, share_watch = step.balance, ShareWatch(step.weights, read_log(log.path))
    advance(start)

    def save(done: int) -> None:
        if not is_finite(step):
            raise diverged(done, checkpoint, budget.lr)
        save_checkpoint(checkpoint, step=done, identity=identity, module=step, optimiser=optimiser, meter=meter.sums)

    with StopRequest() as stop:
        for index in range(start, budget.steps):
            done = index + 1
            chosen, view = stream.at(index)
            batch = Batch(views.apply(inputs[chosen], chosen, view), views.targets(targets[chosen], view), chosen, view)
            set_lr(optimiser, lr_at(index, budget.steps, budget.lr))
            measured = balance is not None and index < MEASURED_STEPS
            # A method that warms up is measured, and trained for these few steps, as it is when it has warmed up.
            step.set_progress(1.0 if measured else index / budget.steps)
            with arithmetic():
                terms = step(batch, answer(batch) if answer else None)
                loss = torch.stack(list(terms.values())).sum()
            logs = done % budget.log_every == 0 or done == budget.steps
            norms = gradient_norms(terms, student) if logs else {}
            if balance is not None and measured:
                balance.observe(gradient_norms(by_source(terms), student))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            meter.add({**terms, "loss": loss})
            if logs:
                line = log_line(meter, norms) | {"step": done, "lr": optimiser.param_groups[0]["lr"]}
                if not math.isfinite(line["loss"]):
                    raise diverged(done, checkpoint, budget.lr)
                amiss = share_watch.look(line["shares"])
                line |= ({"warning": amiss} if amiss else {}) | balanced_weights(step)
                log.write(line | (watch(step.shipped(), valid) if valid is not None and len(valid.targets) else {}))
            if stop.received is not None or (done % budget.checkpoint_every == 0 and done < budget.steps):
                save(done)
            stop.raise_if_received()
            advance(1)
    if not is_finite(step):
        raise diverged(budget.steps, checkpoint, budget.lr)
    return step.deployed().eval()


class Log:
    """``metrics.jsonl``: a line is a JSON object; lines after the checkpoint that is resumed from are dropped."""

    def __init__(self, path: Path, steps_done: int, tags: dict[str, Any]) -> None:
        self.path, self.tags = path, tags
        kept = [line for line in read_log(path) if line["step"] <= steps_done]
        write_atomic(path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.tags | line) + "\n")


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Lines of a log; a last line that was cut short by a kill is passed over."""
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(text)
            except json.JSONDecodeError:
                return


def log_line(meter: Meter, norms: Mapping[str, Tensor]) -> dict[str, Any]:
    """Mean of each term since the last line, and each term's gradient norm and share at this step."""
    means = meter.flush()
    sizes = {name: float(norm) for name, norm in norms.items()}
    return {"loss": means.pop("loss"), "terms": means, "norms": sizes, "shares": shares(sizes)}


def balanced_weights(step: Step) -> dict[str, Any]:
    """The weights in force, for the log, where they are not the recipe's."""
    return {} if step.balance is None else {"weights": {s: float(step.weight(s)) for s in step.weights}}


@torch.no_grad()
def watch(student: nn.Module, valid: Rows) -> dict[str, float]:
    """Accuracy and mean negative log-likelihood (nats) on validation rows, in eval mode."""
    was_training = student.training
    student.eval()
    logits = torch.cat([logits_of(student(part)).float() for part in torch.split(valid.inputs, 1024)])
    student.train(was_training)
    return {
        "valid_accuracy": (logits.argmax(-1) == valid.targets).float().mean().item(),
        "valid_nll": label_loss(logits, valid.targets).item(),
    }


def is_finite(module: nn.Module) -> bool:
    """Whether every parameter is finite; one wait for the device."""
    return bool(torch.stack([p.detach().isfinite().all() for p in module.parameters()]).all())


def diverged(step: int, checkpoint: Path, lr: float) -> StillhouseError:
    """The error for a loss or a weight that is no longer finite."""
    kept = f"The last good checkpoint is kept at {checkpoint}." if checkpoint.exists() else "No checkpoint was due yet."
    return StillhouseError(
        f"Training diverged by step {step}: the loss or a weight is not finite, most often because the learning rate "
        f"is too high. {kept} Lower it, for instance `[training] lr = {lr / 10:g}`, and use a new [output] dir."
    )
