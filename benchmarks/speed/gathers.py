"""A shuffled gather of 128 rows whose blocks are verified, over ``numpy.take`` from arrays in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks.speed.loops import scratch
from benchmarks.speed.timing import Row, floor, interleaved, ratio

from stillhouse.store import Codec, Dense, Key, Store, TopK, Writer

DISTINCT, BATCH, REPEATS = 2_000, 128, 50
BYTES = 200_000_000  # of a store: more than the caches hold, as a store worth the name is


def gathers(quick: bool) -> list[Row]:
    """Dense rows of 1,000 float32, and top-32 of 1,000 classes."""
    kept: list[tuple[str, Codec]] = [("1,000 float32", Dense("float32")), ("top-32 and tail", TopK(32, "float32"))]
    with scratch() as folder:
        return [gather(name, codec, folder / str(n), 3 if quick else 60) for n, (name, codec) in enumerate(kept)]


def gather(name: str, codec: Codec, folder: Path, rounds: int) -> Row:
    """One codec."""
    arrays = codec.encode(np.random.default_rng(0).normal(size=(DISTINCT, 1000)).astype(np.float32))
    rows = BYTES // codec.bytes_per_row(1000)
    with Writer(folder, Key({}), codec.fields(1000), rows=rows, views=1, block_rows=8192) as writer:
        for block in writer.missing():
            at = np.arange(block.start, block.stop) % DISTINCT
            writer.put(block.start, {name: array[at, None] for name, array in arrays.items()})
    store = Store.open(folder)
    at = np.arange(rows) % DISTINCT
    memory = {f.name: arrays[f.name].astype(f.stored)[at] for f in store.fields}
    for part in np.array_split(np.arange(rows), 100):
        store.read(part, np.zeros_like(part))  # each block is verified on first touch
    views = np.zeros(BATCH, np.int64)

    def take(chosen: np.ndarray) -> None:
        for array in memory.values():
            array.take(chosen, axis=0)

    found = interleaved(
        {
            "store": epoch(rows, 0, lambda chosen: store.read(chosen, views)),
            "take": epoch(rows, 1, take),
            "take again": epoch(rows, 2, take),
        },
        rounds,
    )
    value = ratio(found, "store", "take")
    return Row(
        f"verified shuffled gather of 128 rows / numpy.take, {name}",
        "<= 1.3",
        value,
        value <= 1.3,
        floor=floor(found, "take", "take again"),
        seconds=found,
        note=f"from {rows:,} rows, {BYTES / 1e6:.0f} MB, in the order of an epoch",
    )


def epoch(rows: int, seed: int, work: Callable[[np.ndarray], object]) -> Callable[[], float]:
    """Seconds of the next batches of a shuffled epoch, so that no row is met again while the caches hold it."""
    order, at = np.random.default_rng(seed).permutation(rows), 0

    def measure() -> float:
        nonlocal at
        at = at if at + BATCH * REPEATS <= rows else 0
        batches = order[at : at + BATCH * REPEATS].reshape(REPEATS, BATCH)
        at += BATCH * REPEATS
        begun = time.perf_counter()
        for chosen in batches:
            work(chosen)
        return time.perf_counter() - begun

    return measure
