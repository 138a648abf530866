"""Measure labelling in parts: two processes, commits, a store of 10^9 rows, gathers, and a bucket's local copy.

python -m benchmarks.scale [--quick] [--paper] [--only shards commits opening gathers bucket]

Each line is a ratio of medians from interleaved rounds, with the noise floor: the same code against itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, here and in every child

import numpy as np
import torch
from benchmarks.speed import memory
from benchmarks.speed.gathers import BATCH, BYTES, epoch
from benchmarks.speed.loops import scratch
from benchmarks.speed.timing import Row, floor, interleaved, ratio

from stillhouse.store import Dense, Field, Key, Store, TopK, Writer
from stillhouse.store.buckets import Bucket, mirror
from stillhouse.store.fields import Array
from stillhouse.store.manifest import NAME
from stillhouse.store.part_care import merge, status
from stillhouse.store.part_writing import settle_plan, write_part
from stillhouse.store.parts import File, Plan, Sidecar, file_name, part_rows, sidecar_name
from stillhouse.store.places import Folder, Place

FIELDS = tuple(TopK(21).fields(1_000))  # 128 bytes a row
WIDE = (Field("logits", (10,), "float16"),)


def plan_of(rows: int, fields: tuple[Field, ...], size: int, block_rows: int = 1024, batch: int = 1024) -> Plan:
    """A plan for one view, without row hashes."""
    return Plan(Key({"teacher": "t"}), fields, rows, 1, block_rows, size, hashed=False, batch=batch)


def fill(place: Place, plan: Plan, answers: Callable[[Array], dict[str, Array]]) -> None:
    """All parts of a store."""
    settle_plan(place, plan)
    for number in range(plan.parts):
        write_part(place, plan, number, answers)


def shards(quick: bool) -> list[Row]:
    """Two processes on one plan against one, with a teacher that does nothing but arithmetic."""
    parts, rounds = (4, 1) if quick else (8, 3)
    plan = plan_of(parts * 1024, WIDE, 1024, batch=256)
    torch.manual_seed(0)
    wide = torch.nn.Sequential(torch.nn.Linear(1024, 4096), torch.nn.ReLU(), torch.nn.Linear(4096, 10)).eval()
    inputs = torch.randn(256, 1024)

    def answers(rows: Array) -> dict[str, Array]:
        with torch.inference_mode():
            for _ in range(2):  # as deep nets do
                found = wide(inputs[: len(rows)]).numpy()
        return {"logits": found[:, None]}

    def share(folder: Path, first: int, of: int) -> None:
        for number in range(first, plan.parts, of):
            write_part(Folder(folder), plan, number, answers)

    processor: dict[int, list[float]] = {1: [], 2: []}

    def run(of: int, base: Path) -> float:
        folder = base / str(time.monotonic_ns())
        settle_plan(Folder(folder), plan)
        begun = time.perf_counter()
        children = []
        for first in range(of):
            child = os.fork()
            if not child:
                share(folder, first, of)
                os._exit(0)
            children.append(child)
        ended = [os.wait4(child, 0) for child in children]
        assert not any(status for _, status, _ in ended)
        processor[of].append(max(usage.ru_utime + usage.ru_stime for _, _, usage in ended))
        return time.perf_counter() - begun

    with scratch() as base:
        cases = {"two": lambda: run(2, base), "one": lambda: run(1, base), "one again": lambda: run(1, base)}
        found = interleaved(cases, rounds)
    value = ratio(found, "two", "one")
    share_of = statistics.median(processor[2]) / statistics.median(processor[1])
    busy = f"{share_of:.2f} in processor time of the longer; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return [
        Row(
            "two processes of --shard / one",
            "<= 0.55",
            value,
            value <= 0.55,
            "",
            floor(found, "one", "one again"),
            busy,
        )
    ]


def commits(quick: bool) -> list[Row]:
    """The cost of committing one small part, with few and with many committed before."""
    few, many, each = (10, 500, 10) if quick else (10, 10_000, 10)
    rows = many + 10_000
    plan = plan_of(rows, WIDE, 1, block_rows=1)
    zeros = {"logits": np.zeros((1, 1, 10))}
    with scratch() as base:
        folders = {"few": "few", "many": "many", "few again": "again"}
        places = {name: Folder(base / folder) for name, folder in folders.items()}
        nexts = {}
        for name, place in places.items():
            settle_plan(place, plan)
            nexts[name] = many if name == "many" else few
            for number in range(nexts[name]):  # as many names as that many parts have; to sync them would take minutes
                (base / folders[name] / sidecar_name(number)).write_bytes(b"")
                (base / folders[name] / file_name(number, "logits", f"{number:032x}")).write_bytes(b"")

        def commit(name: str) -> float:
            begun = time.perf_counter()
            for _ in range(each):
                write_part(places[name], plan, nexts[name], lambda rows: zeros)
                nexts[name] += 1
            return time.perf_counter() - begun

        found = interleaved({name: lambda name=name: commit(name) for name in places}, 3 if quick else 10)  # type: ignore[misc]
    value = ratio(found, "many", "few")
    least = f"{1000 * statistics.median(found['few']) / each:.2f} ms a part"
    what = f"commit of a part, {many:,} committed before / {few}"
    return [Row(what, "<= 1.1", value, value <= 1.1, "", floor(found, "few", "few again"), least)]


def opening(quick: bool) -> list[Row]:
    """Open a merged store of 10^9 rows and ask for its status, in a process of its own."""
    rows = 10**7 if quick else 10**9
    with scratch() as folder:
        synthetic(folder, rows)
        command = [sys.executable, "-m", "benchmarks.scale", "--open", str(folder)]
        told = [
            json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(5)
        ]
        nbytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    seconds, more = (statistics.median(t[key] for t in told) for key in ("seconds", "bytes"))
    note = f"{told[0]['parts']:,} parts, {nbytes / 1e6:.0f} MB of sidecars and root"
    return [
        Row(f"open a store of {rows:,} rows, and its status", "<= 0.5 s", seconds, seconds <= 0.5, " s", None, note),
        Row("resident memory of that", "<= 50 MB", more / 1e6, more <= 50e6, " MB", None, note),
    ]


def synthetic(folder: Path, rows: int) -> None:
    """Root and sidecars of a store whose answers are nowhere."""
    plan = plan_of(rows, FIELDS, part_rows(FIELDS, 1, 256 << 20))
    place, seals = Folder(folder), []
    settle_plan(place, plan)
    for number in range(plan.parts):
        digest = f"{number:032x}"
        files = {name: File(size, digest) for name, (_, size) in plan.files(number).items()}
        blocks = tuple((digest,) * len(FIELDS) for _ in plan.blocks(number))
        data = Sidecar(plan.digest, number, len(plan.part(number)), files, blocks).to_bytes()
        place.create(sidecar_name(number), data)
        seals.append(digest)
    place.create(NAME, plan.manifest(seals, None))


def open_once(folder: Path) -> None:
    """Print seconds and bytes of opening a store and asking for its status."""
    before, begun = memory.resident(), time.perf_counter()
    store = Store.open(folder)
    told = status(Folder(folder))
    assert store.complete
    assert told.done == told.parts
    print(
        json.dumps({"seconds": time.perf_counter() - begun, "bytes": memory.resident() - before, "parts": told.parts})
    )


def reads(store: Store, seed: int) -> Callable[[], float]:
    """Shuffled batches of a store whose blocks are all verified."""
    views = np.zeros(BATCH, np.int64)
    for part in np.array_split(np.arange(store.rows), 100):
        store.read(part, np.zeros_like(part))
    return epoch(store.rows, seed, lambda chosen: store.read(chosen, views))


def gathers(quick: bool) -> list[Row]:
    """A verified shuffled gather from a store in parts over one from a store in one piece."""
    total = BYTES // 10 if quick else BYTES
    rows = total // sum(field.nbytes for field in FIELDS)
    arrays = TopK(21).encode(np.random.default_rng(0).normal(size=(2_000, 1_000)).astype(np.float32))

    def answers(at: Array) -> dict[str, Array]:
        return {name: array[at % 2_000, None] for name, array in arrays.items()}

    with scratch() as folder:
        with Writer(folder / "v1", Key({}), FIELDS, rows=rows, views=1, block_rows=1024) as writer:
            for block in writer.missing():
                writer.put(block.start, answers(np.arange(block.start, block.stop)))
        found_rows = []
        for name, size in (("one part", 256 << 20), ("8 parts", total // 8)):
            plan = plan_of(rows, FIELDS, part_rows(FIELDS, 1, size))
            fill(Folder(folder / name), plan, answers)
            merge(Folder(folder / name))
            one, two, again = (Store.open(folder / which) for which in ("v1", name, "v1"))
            found = interleaved(
                {"v2": reads(two, 0), "v1": reads(one, 1), "v1 again": reads(again, 2)}, 3 if quick else 40
            )
            value = ratio(found, "v2", "v1")
            what = f"verified gather of 128 rows, version 2 in {plan.parts} part(s) / version 1"
            note = f"{rows:,} rows, {1e6 * statistics.median(found['v1']) / 50:.0f} us a batch in version 1"
            found_rows.append(Row(what, "<= 1.05", value, value <= 1.05, "", floor(found, "v1", "v1 again"), note))
    return found_rows


def bucket(quick: bool) -> list[Row]:
    """A gather from the local copy of a bucket over one from a local store."""
    from tests.store.servers import KEYS, weed

    rows = 20_000 if quick else 400_000
    plan = plan_of(rows, WIDE, part_rows(WIDE, 1, 1 << 20))
    values = np.random.default_rng(0).normal(size=(rows, 1, 10))
    with scratch() as folder, weed(folder) as url:
        os.environ |= {**KEYS, "AWS_ENDPOINT_URL": url}
        far, near = Bucket("s3://bench/a", folder / "copy"), Folder(folder / "local")
        for _ in range(100):
            try:
                far.try_server()
                break
            except Exception:
                time.sleep(0.1)
        seconds = []
        for place in (far, near):
            begun = time.perf_counter()
            fill(place, plan, lambda at: {"logits": values[at]})
            merge(place)
            seconds.append(time.perf_counter() - begun)
        copy, local, again = Store.open(mirror(far).folder), Store.open(near.folder), Store.open(near.folder)
        found = interleaved(
            {"s3": reads(copy, 0), "local": reads(local, 1), "again": reads(again, 2)}, 3 if quick else 40
        )
    value = ratio(found, "s3", "local")
    note = f"writing and merging {plan.parts} parts took {seconds[0]:.1f} s there and {seconds[1]:.1f} s here"
    return [
        Row(
            "gather, a bucket's local copy / local",
            "<= 1.05",
            value,
            value <= 1.05,
            "",
            floor(found, "local", "again"),
            note,
        )
    ]


def paper() -> None:
    """What large jobs would cost, from sizes that the code computes and prices and speeds that are assumed."""
    images, tokens = 10**9, 10**11
    # Assumed: 1,000 images a second and GPU; 7e9 weights, two operations a weight and token, 4e14 operations a second.
    hours = {"images": images / 1_000 / 3600, "tokens": tokens * 2 * 7e9 / 4e14 / 3600}
    kept = [
        ("images", images, 1_000, Dense("float16")), ("images", images, 1_000, TopK(32)),
        ("tokens", tokens, 49_152, Dense("float16")), ("tokens", tokens, 49_152, TopK(21)),
    ]  # fmt: skip
    for name, rows, classes, codec in kept:
        fields = codec.fields(classes)
        plan = plan_of(rows, tuple(fields), part_rows(fields, 1, 256 << 20))
        nbytes, objects = plan.nbytes / 1e12, plan.parts * (len(fields) + 1)
        # Assumed: 2 dollars a GPU-hour, 0.023 a month and GB, 0.005 for 1,000 requests, of which an object takes three.
        money = f"{2 * hours[name]:,.0f} | {1000 * nbytes * 0.023:,.0f} | {3 * objects * 5e-6:,.2f}"
        sizes = f"{hours[name]:,.0f} | {nbytes:,.2f} | {plan.parts:,} | {objects:,}"
        print(f"| {rows:,} {name} | {codec.name} | {sizes} | {money} |")


GROUPS = {"shards": shards, "commits": commits, "opening": opening, "gathers": gathers, "bucket": bucket}


def main() -> None:
    """Measure what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--paper", action="store_true", help="print what large jobs would cost")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.paper:
        paper()
        return
    if given.open is not None:
        open_once(given.open)
        return
    torch.set_num_threads(1)
    for name in given.only:
        for row in GROUPS[name](given.quick):
            noise = "" if row.floor is None else f"{100 * row.floor:.1f} %"
            met = "reached" if row.met else "**missed**"
            print(f"| {row.what} | {row.target} | {row.shown()} | {noise} | {met} | {row.note} |", flush=True)


if __name__ == "__main__":
    main()
