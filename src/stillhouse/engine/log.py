"""``metrics.jsonl``: what is written down of a fit, and when it first goes wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.data import Rows
from stillhouse.engine.balance import ShareWatch
from stillhouse.engine.best import Best
from stillhouse.engine.meter import Meter, shares
from stillhouse.engine.step import Step, label_loss
from stillhouse.files import write_atomic
from stillhouse.types import logits_of

LOG = "metrics.jsonl"


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


class Recorder:
    """Makes the lines of one fit's log.

    Args:
        log: where they go.
        step: what is trained.
        meter: the terms since the last line.
        valid: rows to watch; never trained on.
        best: told of each line's validation loss.
    """

    def __init__(self, log: Log, step: Step, meter: Meter, valid: Rows | None, best: Best | None) -> None:
        self.log, self.step, self.meter, self.best = log, step, meter, best
        self.valid = valid if valid is not None and len(valid.targets) else None
        self.share_watch = ShareWatch(step.weights, read_log(log.path))

    def write(self, done: int, lr: float, norms: Mapping[str, Tensor]) -> bool:
        """Write the line after ``done`` steps; False, and no line, where the loss is no longer finite.

        Args:
            done: steps.
            lr: rate of the last one.
            norms: gradient norm of each term in it.
        """
        line = self._losses(norms) | {"step": done, "lr": lr}
        if not math.isfinite(line["loss"]):
            return False
        amiss = self.share_watch.look(line["shares"])
        line |= ({"warning": amiss} if amiss else {}) | balanced_weights(self.step)
        seen = watch(self.step.shipped(), self.valid) if self.valid is not None else {}
        if self.best is not None:
            line["best"] = self.best.look(seen["valid_nll"])
        self.log.write(line | seen)
        return True

    def _losses(self, norms: Mapping[str, Tensor]) -> dict[str, Any]:
        """Mean of each term since the last line, and each term's gradient norm and share at this step."""
        means = self.meter.flush()
        sizes = {name: float(norm) for name, norm in norms.items()}
        return {"loss": sum(means.values()), "terms": means, "norms": sizes, "shares": shares(sizes)}


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
