"""What a fit keeps: its state in the run folder, which of several processes only the first writes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from stillhouse import hashes
from stillhouse.data import Batches
from stillhouse.engine.best import Best
from stillhouse.engine.checkpoint import NAME, Found, keep_weights, load_checkpoint, save_checkpoint
from stillhouse.engine.group import Group
from stillhouse.engine.log import LOG
from stillhouse.engine.meter import Meter
from stillhouse.engine.optim import AdamW
from stillhouse.engine.scaling import FixedScale
from stillhouse.engine.step import Step
from stillhouse.errors import StillhouseError, UsageError


class Keeper:
    """Saves and restores a fit; for the arguments see ``fit``."""

    def __init__(
        self, folder: Path, identity: str, step: Step, optimiser: AdamW, batches: Batches, group: Group
    ) -> None:
        self.folder, self.identity, self.group = folder, identity, group
        self.step, self.optimiser, self.batches = step, optimiser, batches
        if group.leads:
            hashes.begin(folder)

    @property
    def checkpoint(self) -> Path:
        """The file of the state."""
        return self.folder / NAME

    def restore(self, best: Best | None, scale: FixedScale) -> Found:
        """Continue where the checkpoint is; what it holds beside.

        Raises:
            UsageError: the processes of the group see different checkpoints.
        """
        found = load_checkpoint(self.checkpoint, identity=self.identity, module=self.step, optimiser=self.optimiser)
        first = int(self.group.of_first([found.step])[0])
        if first != found.step:
            raise UsageError(
                f"Process {self.group.rank} finds {self.checkpoint} after {found.step} steps and the first process "
                f"after {first}: they do not see the same files. Put [output] dir on a disk that all machines share."
            )
        if best is not None:
            best.load(found.best)
        if self.batches.reads_net and found.step:
            self.batches.load(found.batches)
        scale.load(found.scale)
        return found

    def save(self, done: int, lr: float, meter: Meter, best: Best | None, scale: FixedScale) -> None:
        """Write the checkpoint after some steps.

        Raises:
            StillhouseError: a weight is not finite.
        """
        self.check(done, lr)
        if not self.group.leads:
            return
        hashes.record_start(self.folder / LOG)
        save_checkpoint(
            self.checkpoint,
            step=done,
            identity=self.identity,
            module=self.step,
            optimiser=self.optimiser,
            meter=meter.state(),
            best=best.state() if best is not None else {},
            batches=self.batches.state() if self.batches.reads_net else {},
            scale=scale.state(),
        )

    def keep(self, done: int) -> None:
        """Write the weights of what would ship now into a file that stays."""
        if self.group.leads:
            keep_weights(self.folder, done, self.step.shipped())

    def end(self, done: int, lr: float) -> None:
        """Note the end of the log; ``StillhouseError`` where a weight is not finite."""
        self.check(done, lr)
        if self.group.leads:
            hashes.record_start(self.folder / LOG)

    def check(self, done: int, lr: float) -> None:
        """Refuse weights that are not finite."""
        if not is_finite(self.step):
            raise self.diverged(done, lr)

    def diverged(self, done: int, lr: float) -> StillhouseError:
        """The error for a loss or a weight that is no longer finite."""
        file = self.checkpoint
        kept = f"The last good checkpoint is kept at {file}." if file.exists() else "No checkpoint was due yet."
        return StillhouseError(
            f"Training diverged by step {done}: the loss or a weight is not finite, most often because the learning "
            f"rate is too high. {kept} Lower it, for instance `[training] lr = {lr / 10:g}`, and use another folder."
        )


def is_finite(module: nn.Module) -> bool:
    """Whether every parameter is finite; one wait for the device."""
    return bool(torch.stack([p.detach().isfinite().all() for p in module.parameters()]).all())
