"""``metrics.jsonl``: what is written of a fit, and when it first goes wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.data import Rows
from stillhouse.engine.balance import ShareWatch
from stillhouse.engine.best import Best
from stillhouse.engine.meter import Meter, shares
from stillhouse.engine.step import Step
from stillhouse.errors import UsageError
from stillhouse.files import write_atomic
from stillhouse.types import evaluating, logits_of

LOG = "metrics.jsonl"
VALID = "valid_"  # before the names of what is watched on validation rows

Validation = Callable[[Tensor, Tensor], dict[str, float]]  # from outputs (N, ...) and targets to figures by name


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
    """Lines of a log; a last line that was truncated by a kill is passed over."""
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(text)
            except json.JSONDecodeError:
                return


class Watch:
    """Validation rows and what is looked at on them; the rows are never trained on.

    Args:
        rows: None, or none at all: there is nothing to watch.
        validation: figures of outputs and targets, as ``Task.validation``.
        monitor: name of the figure that is lowest at the best weights.

    Raises:
        UsageError: there are rows and no figures.
    """

    def __init__(self, rows: Rows | None, validation: Validation | None, monitor: str) -> None:
        self.rows = rows if rows is not None and len(rows.targets) else None
        if self.rows is not None and validation is None:
            raise UsageError("Validation rows need `validation=`, the figures that are watched on them.")
        self.validation, self.monitor = validation, VALID + monitor

    @torch.no_grad()
    def figures(self, student: nn.Module) -> dict[str, float]:
        """The figures of the student in eval mode, named ``valid_...``; empty without rows."""
        if self.rows is None or self.validation is None:
            return {}
        with evaluating(student):
            outputs = torch.cat([logits_of(student(part)).float() for part in torch.split(self.rows.inputs, 1024)])
        return {VALID + name: value for name, value in self.validation(outputs, self.rows.targets).items()}

    def monitored(self, figures: dict[str, float]) -> float:
        """The figure that is lowest at the best weights.

        Raises:
            UsageError: it is not among the figures.
        """
        if self.monitor not in figures:
            known = ", ".join(name.removeprefix(VALID) for name in figures)
            raise UsageError(
                f"The best weights cannot be chosen by {self.monitor.removeprefix(VALID)!r}: validation gives {known}. "
                "Pass `monitor=` one of these."
            )
        return figures[self.monitor]


class Recorder:
    """Makes the lines of one fit's log.

    Args:
        log: where they go.
        step: what is trained.
        meter: the terms since the last line.
        watch: the validation rows.
        best: is shown the monitored figure of each line.
    """

    def __init__(self, log: Log, step: Step, meter: Meter, watch: Watch, best: Best | None) -> None:
        self.log, self.step, self.meter, self.watch, self.best = log, step, meter, watch, best
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
        seen = self.watch.figures(self.step.shipped())
        if self.best is not None:
            line["best"] = self.best.look(self.watch.monitored(seen))
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
