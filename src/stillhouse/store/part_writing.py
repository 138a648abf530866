"""Writing one part of a store: answers block by block into drafts, then names, then the sidecar that commits it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from stillhouse.errors import RejectedError, UsageError
from stillhouse.store import disk
from stillhouse.store.fields import RESERVED, Array, narrow
from stillhouse.store.manifest import PLAN
from stillhouse.store.parts import File, Plan, Sidecar, file_name, read_plan, read_sidecar, sidecar_name
from stillhouse.store.places import Place, draft

Answers = Callable[[npt.NDArray[np.int64]], dict[str, Array]]
Hashes = Callable[[range], npt.NDArray[np.uint64]]


def settle_plan(place: Place, wanted: Plan) -> Plan:
    """Freeze a plan, or return the one that is there: its sizes, batch and device then count.

    Raises:
        RejectedError: the place holds another store.
    """
    if not place.create(PLAN, wanted.to_bytes()):
        there = read_plan(place.read(PLAN), f"{place}/{PLAN}")
        reasons = wanted.key.why(there.key)
        reasons += [
            f"{name} differ" for name in ("fields", "rows", "views") if getattr(there, name) != getattr(wanted, name)
        ]
        if reasons:
            raise RejectedError(
                f"The store {place} is planned for answers to another question: {', '.join(reasons)}. It is not used. "
                "Choose another folder, or delete this one to ask the teacher again."
            )
        return there
    return wanted


def missing(place: Place, plan: Plan) -> list[int]:
    """All parts less those with a sidecar."""
    there = set(place.names())
    return [number for number in range(plan.parts) if sidecar_name(number) not in there]


def write_part(
    place: Place,
    plan: Plan,
    number: int,
    answers: Answers,
    hashes: Hashes | None = None,
    advance: Callable[[int], None] = lambda rows: None,
) -> bool:
    """Ask for one part and commit it; of several writers of a part the first wins.

    Args:
        place: of the store.
        plan: of the store.
        number: of the part.
        answers: from row numbers to arrays (rows, views, ...) by field; called with at most ``plan.batch`` rows.
        hashes: from a range of rows to uint64 (rows,), the hash of each row's content.
        advance: called with the number of rows that were answered.

    Returns:
        Whether this call committed it.

    Raises:
        RejectedError: another process has committed other answers to the same rows.
        StoppedError: the disk is full; committed parts are kept.
    """
    with disk.explained(place.drafts), ExitStack() as stack:
        disk.make_folder(place.drafts)
        drafts = PartDrafts(plan, number, place.drafts, stack)
        for block in plan.blocks(number):
            drafts.add(answered(plan, block, answers, advance))
        if hashes is not None:
            drafts.write(RESERVED, np.ascontiguousarray(hashes(plan.part(number)), "<u8").data.cast("B"))
        sidecar = drafts.finish()
        try:
            for name, file in sidecar.files.items():
                place.publish(drafts.paths[name], file_name(number, name, file.digest), file.digest)
        except FileNotFoundError:  # the store was merged meanwhile, which removes drafts
            if not place.has(sidecar_name(number)):
                raise
        place.settle()
        won = place.create(sidecar_name(number), sidecar.to_bytes())
    if not won:
        _refuse_other(place, plan, sidecar)
    return won


def answered(plan: Plan, block: range, answers: Answers, advance: Callable[[int], None]) -> dict[str, Array]:
    """The answers to a block in stored form, asked for in batches."""
    found: dict[str, list[Array]] = {field.name: [] for field in plan.fields}
    for start in range(block.start, block.stop, plan.batch):
        rows = np.arange(start, min(start + plan.batch, block.stop))
        arrays = answers(rows)
        for field in plan.fields:
            shape = None if field.name not in arrays else arrays[field.name].shape
            if shape != (expected := (len(rows), plan.views, *field.shape)):
                raise UsageError(f"Field {field.name!r} at row {start} needs the shape {expected}, but got {shape}.")
            found[field.name].append(narrow(field, arrays[field.name], start))
        advance(len(rows))
    return {name: np.concatenate(pieces) for name, pieces in found.items()}


class PartDrafts:
    """The files of a part while they are written; memory stays at the size of a block."""

    def __init__(self, plan: Plan, number: int, folder: Path, stack: ExitStack) -> None:
        self.plan, self.number = plan, number
        self.paths: dict[str, Path] = {}
        self._files: dict[str, int] = {}
        self._digests: dict[str, xxhash.xxh3_128] = {}
        self._ends: dict[str, int] = {}
        self._blocks: list[tuple[str, ...]] = []
        for name, (header, size) in plan.files(number).items():
            self.paths[name], self._files[name] = stack.enter_context(draft(folder, f"{number:08d}"))
            disk.resize(self._files[name], size)
            self._digests[name], self._ends[name] = xxhash.xxh3_128(), 0
            self.write(name, memoryview(header))

    def write(self, name: str, data: memoryview) -> None:
        """Write behind what is there."""
        disk.write_at(self._files[name], self._ends[name], data)
        self._digests[name].update(data)
        self._ends[name] += len(data)

    def add(self, arrays: dict[str, Array]) -> None:
        """Write the next block."""
        found = []
        for field in self.plan.fields:
            data = arrays[field.name].reshape(-1).view(np.uint8).data
            self.write(field.name, data)
            found.append(xxhash.xxh3_128_hexdigest(data))
        self._blocks.append(tuple(found))

    def finish(self) -> Sidecar:
        """Wait until all is on the disk."""
        for fd in self._files.values():
            disk.sync(fd)
        files = {name: File(end, self._digests[name].hexdigest()) for name, end in self._ends.items()}
        rows = len(self.plan.part(self.number))
        return Sidecar(self.plan.digest, self.number, rows, files, tuple(self._blocks))


def _refuse_other(place: Place, plan: Plan, own: Sidecar) -> None:
    """Where another process was first, its answers must be the same."""
    name = sidecar_name(own.part)
    cure = f"Run `stillhouse store repair {place}`, then label again."
    there = read_sidecar(place.read(name), plan, own.part, f"{place}/{name}", cure)
    if there != own:
        raise RejectedError(
            f"Part {own.part} of the store {place} was answered twice, and the answers differ: the teacher answers "
            "differently on two machines, or two tasks of other settings share this folder. The first answers are "
            "kept. Use the same devices and versions on all machines, or give each task a folder of its own."
        )
