"""``metrics.jsonl``: the log of a fit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse import hashes, writing
from stillhouse.data import Rows
from stillhouse.engine.balance import ShareWatch
from stillhouse.engine.best import Best
from stillhouse.engine.group import ALONE, Group
from stillhouse.engine.meter import Meter, shares
from stillhouse.engine.step import Step
from stillhouse.errors import UsageError
from stillhouse.files import write_atomic
from stillhouse.memory import in_pieces
from stillhouse.types import evaluating, logits_of

LOG = "metrics.jsonl"
VALID = "valid_"  # before the names of the figures on validation rows
CHUNK = 1024  # validation rows a forward

Validation = Callable[[Tensor, Tensor], dict[str, float]]  # from outputs (N, ...) and targets to figures by name


class Log:
    """``metrics.jsonl``, one JSON object a line; a resumed fit drops the lines after its checkpoint."""

    def __init__(
        self, path: Path, steps_done: int, tags: dict[str, Any], on_log: Callable[[dict[str, Any]], None]
    ) -> None:
        self.path, self.tags, self.on_log = path, tags, on_log
        kept = [line for line in read_log(path) if line["step"] <= steps_done] if steps_done else []
        write_atomic(path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        hashes.record_start(path)  # what comes behind it counts with the next checkpoint

    def write(self, line: dict[str, Any]) -> None:
        """Append one line, and show it to ``on_log``."""
        text = json.dumps(self.tags | line)
        with writing.explained(self.path):
            writing.append(self.path, (text + "\n").encode())
        self.on_log(json.loads(text))


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Lines of a log, without a last one that was truncated by a kill.

    Raises:
        DamagedError: it has changed since it was written.
    """
    hashes.check(path, ours=False)
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(text)
            except json.JSONDecodeError:
                return


class Watch:
    """The figures on validation rows, which are never trained on; see ``fit`` for the arguments.

    Raises:
        UsageError: there are rows and no ``validation``.
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
        device = next((p.device for p in student.parameters()), torch.device("cpu"))
        with evaluating(student):
            inputs, home = self.rows.inputs, self.rows.targets.device
            parts = in_pieces(lambda a, b: logits_of(student(inputs[a:b].to(device))).float(), len(inputs), CHUNK)
            outputs = torch.cat(parts).to(home)
        return {VALID + name: value for name, value in self.validation(outputs, self.rows.targets).items()}

    def monitored(self, figures: dict[str, float]) -> float:
        """The figure that is lowest at the best weights; ``UsageError`` where it is not among the figures."""
        if self.monitor not in figures:
            known = ", ".join(name.removeprefix(VALID) for name in figures)
            raise UsageError(
                f"The best weights cannot be chosen by {self.monitor.removeprefix(VALID)!r}: validation gives {known}. "
                "Pass `monitor=` one of these."
            )
        return figures[self.monitor]


class Recorder:
    """Makes the lines of one fit's log: the terms in ``meter``, their shares, and the figures of ``watch``.

    Of a group of processes the first has the log; the others keep the best weights as it decides.
    """

    def __init__(
        self, log: Log | None, step: Step, meter: Meter, watch: Watch, best: Best | None, group: Group = ALONE
    ) -> None:
        self.log, self.step, self.meter, self.watch, self.best, self.group = log, step, meter, watch, best, group
        self.share_watch = None if log is None else ShareWatch(step.weights, read_log(log.path))

    def write(self, done: int, lr: float, norms: Mapping[str, Tensor], told: Sequence[str] = ()) -> bool:
        """Write the line after ``done`` steps, with the rate and the gradient norm of each term in the last one.

        ``told`` is what the guard has lowered in it.
        Returns False, and writes no line, where the loss is no longer finite.
        """
        line = self._losses(norms) | {"step": done, "lr": lr}
        if not math.isfinite(line["loss"]):
            return False
        seen = self.watch.figures(self.step.shipped()) if self.group.leads else {}
        chosen = {}
        if self.best is not None:  # the first process looks at the validation rows for all
            figure = self.watch.monitored(seen) if self.group.leads else math.nan
            chosen["best"] = self.best.look(self.group.of_first([figure])[0])
        if self.log is None or self.share_watch is None:
            return True
        guard = self.step.guard
        lowered = guard is not None and guard.lowered  # its share is then meant to be small
        warning = " ".join(told) if told else None if lowered else self.share_watch.look(line["shares"])
        line |= {"warning": warning} if warning else {}
        if self.step.balance is not None or lowered:  # the weights in force are not the recipe's
            line["weights"] = {source: float(self.step.weight(source)) for source in self.step.weights}
        self.log.write(line | chosen | seen)
        return True

    def _losses(self, norms: Mapping[str, Tensor]) -> dict[str, Any]:
        """Mean of each term since the last line, and each term's gradient norm and share at this step."""
        means = self.meter.flush()
        sizes = {name: float(norm) for name, norm in norms.items()}
        return {"loss": sum(means.values()), "terms": means, "norms": sizes, "shares": shares(sizes)}
