"""Measure the training of one net in two processes: a net whose arithmetic takes the time, and a small one.

python -m benchmarks.scale_training [--quick]

Each line is a ratio of medians from interleaved rounds, one thread a process, the same rows a step.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, here and in every child

import torch
from benchmarks.speed.loops import scratch
from benchmarks.speed.timing import Row, floor, interleaved, ratio
from torch import nn

from stillhouse.data import Rows, StoredBatches, Stream, Views
from stillhouse.engine import ALONE, Budget, Group, Step, fit
from stillhouse.methods import make
from stillhouse.pipeline.run.together import run_together
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.types import Batch, Outputs

INPUTS, CLASSES, COUNT, BATCH = 784, 10, 2048, 64
CPU = torch.device("cpu")


def convolutional() -> nn.Module:
    """Much arithmetic for each weight: about 3e9 operations a step of 64 rows, and 20,000 weights."""
    convolutions = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    return nn.Sequential(nn.Unflatten(1, (1, 28, 28)), *convolutions, nn.AvgPool2d(7), nn.Flatten(), nn.Linear(512, 10))


def dense() -> nn.Module:
    """Little arithmetic: its step is short beside a sum over processes."""
    return nn.Sequential(nn.Linear(INPUTS, 32), nn.ReLU(), nn.Linear(32, CLASSES))


def seconds(
    net: Callable[[], nn.Module], group: Group, slices: int | None, steps: int, core: list[float] | None = None
) -> float:
    """Of a step of a net, without what comes before the first and after the last; ``core`` gets those of the core."""
    torch.manual_seed(0)
    inputs, targets = torch.randn(COUNT, INPUTS), torch.randint(CLASSES, (COUNT,))
    answers = torch.randn(COUNT, CLASSES)
    step = Step(net(), [("hinton", make("hinton"), 0.9)], loss=label_loss)
    rows = Rows(inputs, targets)
    batches = StoredBatches(rows, Stream(torch.arange(COUNT), batch_size=BATCH, seed=0), Views("none", 1, 0.0, 0))
    budget = Budget(steps, BATCH, 1e-3, device="cpu", checkpoint_every=10**6, log_every=10**6, slices=slices)
    ends: list[float] = []
    busy: list[float] = []

    def advance(done: int) -> None:
        ends.append(time.perf_counter())
        busy.append(time.process_time())

    def answer(batch: Batch) -> Outputs:
        return Outputs(answers[batch.rows])

    with scratch() as folder:
        fit(
            step, batches, budget, folder=folder, identity="bench", answer=answer, group=group,
            advance=advance,
        )  # fmt: skip
    if core is not None:
        core.append((busy[-1] - busy[2]) / (len(busy) - 3))
    return (ends[-1] - ends[2]) / (len(ends) - 3)


def measured(what: str, target: str, net: Callable[[], nn.Module], steps: int, rounds: int, limit: float | None) -> Row:
    """Two processes against one."""
    cores: dict[str, list[float]] = {"one": [], "two": []}
    found = interleaved(
        {
            "two": lambda: run_together(2, lambda group: seconds(net, group, 2, steps, cores["two"]), CPU, 600.0),
            "one": lambda: seconds(net, ALONE, None, steps, cores["one"]),
            "again": lambda: seconds(net, ALONE, None, steps),
        },
        rounds,
    )
    value = ratio(found, "two", "one")
    ms = {name: 1000 * statistics.median(some) for name, some in found.items()}
    core = {name: 1000 * statistics.median(some) for name, some in cores.items()}
    note = (
        f"a step takes {ms['one']:.1f} ms in one process and {ms['two']:.1f} ms in two; of the core's time "
        f"{core['one']:.1f} ms and {core['two']:.1f} ms in each"
    )
    return Row(what, target, value, limit is None or value <= limit, "", floor(found, "one", "again"), note)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    steps, rounds = (8, 1) if parser.parse_args().quick else (24, 5)
    torch.set_num_threads(1)
    for row in (
        measured("two processes / one, convolutions", "<= 0.6", convolutional, steps, rounds, 0.6),
        measured("two processes / one, a small dense net", "", dense, 4 * steps, rounds, None),
    ):
        noise = "" if row.floor is None else f"{100 * row.floor:.1f} %"
        met = "reached" if row.met else "**missed**"
        print(f"| {row.what} | {row.target} | {row.shown()} | {noise} | {met} | {row.note} |", flush=True)


if __name__ == "__main__":
    main()
