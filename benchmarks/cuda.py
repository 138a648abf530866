"""Hold fits, labelling and export on an accelerator against the CPU's.

python -m benchmarks.cuda                  this machine's accelerator; one line where there is none
python -m benchmarks.cuda --device cpu     the CPU against itself: does it run, and what is the noise floor?
python -m benchmarks.cuda --quick          few steps and rows

Each comparison starts from the same weights, rows and order of batches; the CPU computes in float32. A difference is
the root mean square over all outputs, as a share of what it is held against, and its limit follows from the unit
roundoff of the arithmetic. Then come seconds: both sides in turn, the median of the ratios of the rounds, and the CPU
against itself as the noise floor. The exit status is 1 where a difference is above its limit.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in benchmarks.run
if sys.path[0] == str(
    Path(__file__).parent
):  # run by its path: torch looks for NVIDIA's package `cuda` and would find this file
    sys.path[0] = str(Path(__file__).parents[1])

import numpy as np
import torch
from benchmarks.speed.loops import LR, PLAIN, SOFT, TASK, TEMPERATURE, scratch
from benchmarks.speed.nets import L, M, S, World, labels, make
from benchmarks.speed.timing import floor, interleaved, ratio
from torch import Tensor, nn

from stillhouse import exporting
from stillhouse.data import Rows, StoredBatches, Stream
from stillhouse.engine import Budget, Device, Step, device_of, fit
from stillhouse.engine.placement import Precision, devices, why_not_half
from stillhouse.exporting import Exportable
from stillhouse.methods import make as make_method
from stillhouse.task import OutputSpec
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.teachers import ModuleTeacher, StoredTeacher, label
from stillhouse.types import Spec


@dataclass(frozen=True)
class Arithmetic:
    """What a device computes in.

    Args:
        name: for people.
        precision: of a budget.
        roundoff: largest relative error of one rounding.
        fits: limit for the outputs after a fit, as a share of how far it moved them. Roundings grow from step to step:
            where only the last bits of the rows differed, 60 steps on the CPU gave 0.005 in float32.
        tf32: whether products may have 11 bits where a device has such, as PyTorch allows in convolutions by default.
    """

    name: str
    precision: Precision
    roundoff: float
    fits: float
    tf32: bool = False

    @property
    def answers(self) -> float:
        """Limit for the outputs of one pass: some dozens of roundings, one after the other."""
        return 64 * self.roundoff


FLOAT32 = Arithmetic("32-true", "32-true", 2.0**-24, 0.02)
ARITHMETICS = (
    FLOAT32,
    Arithmetic("32-true with TF32", "32-true", 2.0**-11, 0.05, tf32=True),
    Arithmetic("bf16-mixed", "bf16-mixed", 2.0**-9, 0.1),
    Arithmetic("16-mixed", "16-mixed", 2.0**-11, 0.05),
)


class Size(NamedTuple):
    """How much is done."""

    worlds: Sequence[World]
    rows: int
    steps: int
    rounds: int


QUICK, WHOLE = Size((S, M), 64, 6, 1), Size((S, M, L), 512, 60, 5)
EXAMPLES = 7  # rows on which an export is compared
FORMATS = ("onnx", "safetensors")  # that hold nets


class Held(NamedTuple):
    """One difference and its limit."""

    what: str
    difference: float
    limit: float

    @property
    def kept(self) -> bool:
        """Whether it is within its limit; NaN is not."""
        return self.difference <= self.limit


def main(words: Sequence[str] | None = None) -> int:
    """Read the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args(words)
    device: Device = given.device
    if device == "auto" and devices() == ["cpu"]:
        print(
            f"No accelerator: PyTorch {torch.__version__} finds only the CPU. `--device cpu` holds it against itself."
        )
        return 0
    return hold(device_of(device, "--device").type, QUICK if given.quick else WHOLE)


def hold(kind: str, size: Size) -> int:
    """Compare everything on a kind of device; returns the exit status."""
    torch.set_num_threads(1)
    print(f"{name_of(kind)} against the CPU on one thread, PyTorch {torch.__version__}")
    differ = 0
    for arithmetic, world in itertools.product(usable(kind), size.worlds):
        with exact(not arithmetic.tf32):
            for held in compared(world, size, kind, arithmetic):
                differ += not held.kept
                said = f"{world.name}, {arithmetic.name}, {held.what}: {held.difference:.2g}, limit {held.limit:.2g}"
                print(f"{'equal  ' if held.kept else 'DIFFERS'} {said}", flush=True)
            for line in ratios(world, size, kind, arithmetic):
                print(f"        {line}", flush=True)
    print(f"{differ} above the limit." if differ else "All within their limits.")
    return int(differ > 0)


def name_of(kind: str) -> str:
    """What to call a device."""
    return torch.cuda.get_device_name() if kind == "cuda" else kind


def usable(kind: str) -> list[Arithmetic]:
    """The arithmetics of a device; one that it lacks is left out with a line."""
    reason = why_not_half(kind)
    if reason is not None:
        print(f"16-mixed is left out: this device cannot train in float16 ({reason}).")
    return [
        one
        for one in ARITHMETICS
        if not (one.precision == "16-mixed" and reason is not None) and not (one.tf32 and kind != "cuda")
    ]


@contextmanager
def exact(wanted: bool) -> Iterator[None]:
    """Whether products of float32 numbers keep all their bits on CUDA."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not wanted
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def compared(world: World, size: Size, kind: str, arithmetic: Arithmetic) -> Iterator[Held]:
    """Labelling, a fit and the exports of its student, on a device and on the CPU."""
    cpu, found = answers(world, size.rows, "cpu", FLOAT32), answers(world, size.rows, kind, arithmetic)
    if arithmetic.precision != "16-mixed":  # teachers answer in float32 or bfloat16
        yield Held("labelling", relative(found, cpu), arithmetic.answers)
    start = outputs(make(world.student, 1), world, size.rows)
    with scratch() as folder:
        stored = asked(world, size.rows, folder / "store")
        ours, theirs = (
            fitted(world, size, place, how, stored) for place, how in ((kind, arithmetic), ("cpu", FLOAT32))
        )
        after = outputs(theirs, world, size.rows)
        yield Held("fit", relative(outputs(ours, world, size.rows) - start, after - start), arithmetic.fits)
        if arithmetic is not FLOAT32:  # a student is exported in float32, whatever it was trained in
            return
        told = outputs(ours.to(kind), world, EXAMPLES)
        for format in FORMATS:
            file = folder / f"student.{format}"
            yield Held(f"export to {format}", relative(exported(ours, world, file, format), told), FLOAT32.answers)


def relative(found: Tensor, wanted: Tensor) -> float:
    """Root mean square of the difference, as a share of that of what is wanted."""
    share: float = torch.dist(found, wanted).item() / wanted.square().sum().sqrt().item()
    return share


def centred(values: Tensor) -> Tensor:
    """Logits (rows, classes) float64 on the CPU without what is common to all classes of a row."""
    values = values.cpu().double()
    return values - values.mean(-1, keepdim=True)


def asked(world: World, rows: int, folder: Path, kind: str = "cpu", arithmetic: Arithmetic = FLOAT32) -> StoredTeacher:
    """A teacher's answers, labelled on a device."""
    net, place = make(world.teacher, 2), torch.device(kind)
    half = arithmetic.precision == "bf16-mixed"
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if half else "32-true"
    teacher = ModuleTeacher(net, TASK, OutputSpec((world.classes,)), precision=precision, device=place)
    store = label(teacher, world.inputs(rows), PLAIN, folder, task=TASK, key={}, dtype="float32", block_rows=1024)
    return StoredTeacher(store)


def answers(world: World, rows: int, kind: str, arithmetic: Arithmetic) -> Tensor:
    """What a store holds after labelling on a device, as ``centred``."""
    with scratch() as folder:
        stored = asked(world, rows, folder / "store", kind, arithmetic)
        found = stored.store.read(np.arange(rows), np.zeros(rows, np.int64))
        values = next(iter(found.values()))
    return centred(torch.from_numpy(np.array(values)))


def fitted(world: World, size: Size, kind: str, arithmetic: Arithmetic, stored: StoredTeacher) -> nn.Module:
    """The student after a fit on a device, on the CPU."""
    hinton = make_method("hinton", temperature=TEMPERATURE)
    hinton.build(Spec(world.classes), Spec(world.classes))
    step = Step(make(world.student, 1), [("hinton", hinton, SOFT)], loss=label_loss, label_weight=1 - SOFT)
    rows = Rows(world.inputs(size.rows), labels(size.rows, world.classes))
    batch = min(world.batch_size, size.rows)
    budget = Budget(size.steps, batch, LR, device=cast_device(kind), precision=arithmetic.precision)
    stream = Stream(torch.arange(size.rows), batch_size=batch, seed=0)
    with scratch() as folder:
        net = fit(
            step, StoredBatches(rows, stream, PLAIN), budget, folder=folder, identity="cuda", answer=stored.outputs
        )
    return net.cpu()


def cast_device(kind: str) -> Device:
    """The name of a kind of device, as a budget takes it."""
    found: dict[str, Device] = {"cpu": "cpu", "cuda": "cuda", "mps": "mps"}
    return found[kind]


@torch.inference_mode()
def outputs(net: nn.Module, world: World, rows: int) -> Tensor:
    """Outputs of a net where it lies, in float32, as ``centred``."""
    place = next(net.parameters()).device
    return centred(net.eval()(world.inputs(rows).to(place)))


def exported(net: nn.Module, world: World, file: Path, format: str) -> Tensor:
    """What an exported student answers to some rows."""
    rows = world.inputs(EXAMPLES)
    student = Exportable(net, rows, net, rows, {"logits": lambda values: values.log_softmax(-1)})
    exporting.export(student, file, format=format, metadata={})
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        values = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: rows.numpy()})[0])
        return centred(values)
    from safetensors.torch import load_file

    again = make(world.student, 3)
    again.load_state_dict(load_file(file))
    return outputs(again, world, EXAMPLES)


def ratios(world: World, size: Size, kind: str, arithmetic: Arithmetic) -> Iterator[str]:
    """Seconds on a device over seconds on the CPU, for labelling and for fits."""
    with scratch() as folder:
        stored = asked(world, size.rows, folder / "store")
        works: dict[str, Callable[[str, Arithmetic], object]] = {
            "labelling": lambda place, how: answers(world, size.rows, place, how),
            "fit": lambda place, how: fitted(world, size, place, how, stored),
        }
        if arithmetic.precision == "16-mixed":
            del works["labelling"]
        for what, work in works.items():
            found = interleaved(
                {
                    "device": partial(seconds, partial(work, kind, arithmetic), kind),
                    "CPU": partial(seconds, partial(work, "cpu", FLOAT32), "cpu"),
                    "CPU again": partial(seconds, partial(work, "cpu", FLOAT32), "cpu"),
                },
                size.rounds,
            )
            noise = 100 * floor(found, "CPU", "CPU again")
            yield (
                f"{what}, seconds on {kind} in {arithmetic.name} / on the CPU in float32: "
                f"{ratio(found, 'device', 'CPU'):.3g} (noise {noise:.1f} %)"
            )


def seconds(work: Callable[[], object], kind: str) -> float:
    """Seconds of some work, until the device has done it."""
    begun = time.perf_counter()
    work()
    if kind == "cuda":
        torch.cuda.synchronize()
    elif kind == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
