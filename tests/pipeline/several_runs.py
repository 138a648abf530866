"""A small run that two processes train together under torchrun, and what is known of its processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from stillhouse.pipeline.student.config import WEIGHTS

RECIPE = """
[data]
arrays = "FOLDER/rows.npz"
no_label = -1
[teacher]
name = "extra_trees"
[training]
steps = 600
seeds = [0]
devices = DEVICES
nodes = NODES
timeout = 45
[controls]
self_trained = false
simple = false
[evaluation]
resamples = 200
[output]
dir = "FOLDER/run"
"""


def files(folder: Path, devices: int = 2, nodes: int = 1) -> Path:
    """A recipe and its rows, nine in ten without a label."""
    folder.mkdir(parents=True)
    inputs = np.random.default_rng(0).normal(size=(600, 6)).astype("float32")
    targets = inputs[:, :3].argmax(1)
    targets[60:400] = -1
    np.savez(folder / "rows.npz", x=inputs, y=targets)
    recipe = RECIPE.replace("FOLDER", str(folder)).replace("DEVICES", str(devices)).replace("NODES", str(nodes))
    (folder / "recipe.toml").write_text(recipe)
    return folder


def weights(folder: Path) -> dict[str, bytes]:
    """The students of a run, bit by bit."""
    found = sorted((folder / "run" / "fits").rglob(WEIGHTS))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


class Launched:
    """A run under torchrun; ``words`` come before the command, and ``flags`` are torchrun's.

    At the end all its processes are killed, whatever became of them.
    """

    def __init__(self, folder: Path, flags: Sequence[str], words: Sequence[str] = (), log: str = "log") -> None:
        own = [sys.executable, "-m", "torch.distributed.run", *flags, "-m", "stillhouse"]
        self.log, self.folder = folder / log, folder
        with self.log.open("w") as out:
            self.launcher = subprocess.Popen(
                [*words, *own, "distill", str(folder / "recipe.toml"), "--accept-teacher"], stdout=out, stderr=out
            )

    @property
    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    @property
    def alive(self) -> bool:
        """Whether the launcher has not ended."""
        return self.launcher.poll() is None

    def ranks(self) -> list[int]:
        """Its processes, by rank."""
        return processes_of(self.folder / "recipe.toml")


def processes_of(recipe: Path) -> list[int]:
    """The processes that torchrun has started for a recipe, by rank."""
    found = {}
    for path in Path("/proc").iterdir():
        with suppress(OSError):  # it has just ended
            words, known = ((path / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
            rank = next((word for word in known if word.startswith(b"RANK=")), None)
            if str(recipe).encode() in words and rank is not None:
                found[int(rank.partition(b"=")[2])] = int(path.name)
    return [found[rank] for rank in sorted(found)]


@contextmanager
def launched(folder: Path, flags: Sequence[str] = ("--standalone", "--nproc-per-node", "2")) -> Iterator[Launched]:
    """A run under torchrun on this machine, of which nothing is left behind."""
    run = Launched(folder, flags)
    try:
        yield run
    finally:
        end(run)


def end(run: Launched) -> None:
    """Kill what is left of a run."""
    for process in [run.launcher.pid, *run.ranks()]:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    run.launcher.wait()


def wait_until(there: Callable[[], object], seconds: float = 240) -> None:
    """Wait for something that comes in time."""
    last = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < last, "it has not come in time"
        threading.Event().wait(0.1)


def in_step(folder: Path) -> bool:
    """Whether the processes are in the steps of a fit that they train together."""
    log = folder / "run" / "fits" / "distilled" / "0" / "metrics.jsonl"
    return log.exists() and len(log.read_text().splitlines()) > 3


def gone(processes: Sequence[int]) -> bool:
    """Whether all of them have ended."""
    return not any(alive(process) for process in processes)


def alive(process: int) -> bool:
    """Whether a process is there, and not only waited for."""
    try:
        return re.search(r"^State:\s+[ZX]", Path(f"/proc/{process}/status").read_text(), re.MULTILINE) is None
    except OSError:
        return False


def differing(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    """Names that one of them lacks, or whose bytes differ."""
    return [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
