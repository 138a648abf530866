"""Reading a store in parts: the same interface as a store in one piece; a part is opened when a row of it is read."""

from __future__ import annotations

import math
import mmap
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from stillhouse.errors import RejectedError
from stillhouse.store import disk
from stillhouse.store.fields import Array, Field, widen
from stillhouse.store.keys import Key
from stillhouse.store.manifest import NAME, PLAN, Manifest, check_key
from stillhouse.store.part_writing import missing
from stillhouse.store.parts import Plan, Root, Sidecar, file_name, read_plan, read_root, read_sidecar, sidecar_name
from stillhouse.store.places import Place
from stillhouse.store.reader import Store
from stillhouse.store.shards import Damage, block_damage, cut_short, damaged, other_header, other_size
from stillhouse.store.spans import Span

LOOKED = 64  # reads, or as many as there are files: then their sizes are looked at again


def open_parts(place: Place, key: Key | None = None, verify: bool = True) -> PartStore:
    """Open a store in parts, merged or not; see ``Store.open``."""
    plan, root = read_store(place)
    if key is not None:
        check_key(Path(str(place)), plan.key, key)
    return PartStore(place, plan, root, verify)


def read_store(place: Place) -> tuple[Plan, Root | None]:
    """What a store in parts holds, and its root where it is merged.

    Raises:
        RejectedError: there is no such store.
        DamagedError: its root or its plan is damaged.
    """
    if place.has(NAME):
        root = read_root(place.read(NAME), f"{place}/{NAME}")
        return root.plan, root
    try:
        return read_plan(place.read(PLAN), f"{place}/{PLAN}"), None
    except FileNotFoundError:
        raise RejectedError(
            f"There is no store in {place}: it has neither {NAME} nor {PLAN}. Give the folder of a store, or make one "
            "with `stillhouse label`."
        ) from None


class PartStore(Store):
    """The committed answers of a store in parts, read by (row, view).

    Opening reads the root alone. A part's sidecar and files are opened when a row of it is first read, and each of its
    blocks is checked on first use, as in a store in one piece. The files of a field lie in one range of addresses, so a
    batch is gathered at once, from however many parts.
    """

    def __init__(self, place: Place, plan: Plan, root: Root | None, verify: bool) -> None:
        self.place, self.plan, self.root = place, plan, root
        self.folder = Path(str(place))
        self._verify = verify
        self._shape = (plan.rows, plan.views)
        self._blocks = -(-plan.part_rows // plan.block_rows)  # of each part but the last
        self._trusted = np.zeros((plan.parts - 1) * self._blocks + len(plan.blocks(plan.parts - 1)), bool)
        self._all_trusted = False
        self._opened: dict[int, tuple[Manifest, list[str]]] = {}  # its blocks, and the names of its files
        self._files: list[tuple[str, Path, int]] = []  # all that are mapped: name, where, bytes
        self._reads = 0

    @cached_property
    def _spans(self) -> list[FieldSpan]:
        stride = distance(self.plan)
        with disk.explained(self.folder):
            return [FieldSpan(self.plan, field, stride) for field in self.fields]

    @property
    def fields(self) -> tuple[Field, ...]:
        """See ``Store``."""
        return self.plan.fields

    @property
    def rows(self) -> int:
        """See ``Store``."""
        return self.plan.rows

    @property
    def views(self) -> int:
        """See ``Store``."""
        return self.plan.views

    @property
    def key(self) -> Key:
        """See ``Store``."""
        return self.plan.key

    @property
    def nbytes(self) -> int:
        """See ``Store``."""
        return self.plan.nbytes

    @property
    def complete(self) -> bool:
        """Whether the store is merged."""
        return self.root is not None

    @property
    def rows_done(self) -> int:
        """Length of the committed prefix: every row below it can be read."""
        if self.complete:
            return self.rows
        first = next(iter(missing(self.place, self.plan)), self.plan.parts)
        return min(self.rows, first * self.plan.part_rows)

    def read(self, rows: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> dict[str, Array]:
        """See ``Store``."""
        return {field.name: widen(field, array) for field, array in self._gather(rows, views)}

    def raw(self, rows: npt.NDArray[np.int64]) -> dict[str, Array]:
        """See ``Store``."""
        found = self._gather(rows.repeat(self.views), np.tile(np.arange(self.views), len(rows)))
        return {field.name: array.reshape(len(rows), self.views, *field.shape) for field, array in found}

    def _gather(self, rows: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> list[tuple[Field, Array]]:
        """Stored numbers of (row, view) pairs."""
        try:
            at = np.ravel_multi_index((rows, views), self._shape)
        except ValueError:
            raise self._outside(rows, views) from None
        self.trust(rows)
        if self.plan.parts > 1:
            at += rows // self.plan.part_rows * self._spans[0].gap
        return [(span.field, span.numbers.take(at, 0)) for span in self._spans]

    def trust(self, rows: npt.NDArray[np.int64]) -> None:
        """Check the blocks of some rows, each on first use; raises as ``read``."""
        if self._reads % max(LOOKED, len(self._files)) == 0:
            for name, path, size in self._files:
                if damage := cut_short(name, path.stat().st_size, size):
                    raise damaged(self.folder, damage)
        self._reads += 1
        if self._all_trusted:
            return
        parts, places = np.divmod(rows, self.plan.part_rows)
        blocks = parts * self._blocks + places // self.plan.block_rows
        for block in np.unique(blocks[~self._trusted[blocks]]).tolist():
            self._check(*divmod(block, self._blocks))
            self._trusted[block] = True
        self._all_trusted = bool(self._trusted.all())

    def _check(self, part: int, block: int) -> None:
        """Check a block of a part, which is opened at its first use."""
        if part not in self._opened:
            self._opened[part] = self._open(part)
        manifest, names = self._opened[part]
        for span, name in zip(self._spans, names, strict=True) if self._verify else ():
            damage = block_damage(manifest, span.field, span.block(part, manifest.block(block)), block)
            if damage is not None:
                raise damaged(self.folder, damage._replace(shard=name))

    def _open(self, part: int) -> tuple[Manifest, list[str]]:
        """Map the files of a part."""
        place, plan, names = self.place, self.plan, []
        sidecar = sidecar_of(place, plan, part, None if self.root is None else self.root.seals[part])
        for span in self._spans:
            file = sidecar.files[span.field.name]
            name = file_name(part, span.field.name, file.digest)
            try:
                path = place.local(name, file.digest)
                with disk.explained(path):
                    damage = span.lay(part, path, name)
            except FileNotFoundError:
                damage = Damage(name, None, "the file is missing")
            if damage is not None:
                raise damaged(self.folder, damage)
            self._files.append((name, path, file.nbytes))
            names.append(name)
        return sidecar.as_manifest(plan), names


class FieldSpan:
    """The answers of one kind in all parts, as one array.

    Args:
        plan: of the store.
        field: what is kept.
        stride: see ``distance``.
    """

    def __init__(self, plan: Plan, field: Field, stride: int) -> None:
        self.plan, self.field = plan, field
        self.gap = stride - plan.part_rows * plan.views
        self.header, nbytes = len(plan.files(0)[field.name][0]), field.nbytes
        self._span = Span(plan.parts, stride * nbytes)
        count = (plan.parts - 1) * stride + len(plan.part(plan.parts - 1)) * plan.views
        flat: npt.NDArray[Any] = self._span.bytes[self.header : self.header + count * nbytes].view(field.stored)
        self.numbers = flat.reshape(-1, *field.shape)

    def lay(self, part: int, path: Path, name: str) -> Damage | None:
        """Map the file of a part, or say why it is not that."""
        header, size = self.plan.files(part)[self.field.name]
        if damage := other_size(name, self._span.lay(part, path), size):
            return damage
        start = part * self._span.distance
        return other_header(name, self._span.bytes[start : start + len(header)].tobytes(), header)

    def block(self, part: int, rows: range) -> memoryview:
        """The bytes of some rows of a part, read from the disk in one request."""
        row_bytes = self.plan.views * self.field.nbytes
        start, size = part * self._span.distance + self.header + rows.start * row_bytes, len(rows) * row_bytes
        self._span.prefetch(start, size)
        return self._span.bytes[start : start + size].data


def distance(plan: Plan) -> int:
    """How many (row, view) pairs the files of two neighbouring parts begin apart.

    It is one for all fields, with room for the headers, and whole pages of each field's bytes.
    """
    headers = plan.files(0)
    pairs = plan.part_rows * plan.views + max(-(-len(headers[f.name][0]) // f.nbytes) for f in plan.fields)
    unit = max(mmap.PAGESIZE // math.gcd(mmap.PAGESIZE, f.nbytes) for f in plan.fields)  # all are powers of two
    return -(-pairs // unit) * unit


def sidecar_of(place: Place, plan: Plan, number: int, seal: str | None = None) -> Sidecar:
    """The sidecar of a part.

    Args:
        place: of the store.
        plan: of the store.
        number: of the part.
        seal: its hash in the root; None: the store is not merged.

    Raises:
        RejectedError: the part is not there, or is another store's.
        DamagedError: it is damaged, or not there although the store is merged.
    """
    name = sidecar_name(number)
    cure = f"Run `stillhouse store repair {place}`, then label again: it asks the teacher for this part alone."
    try:
        data = place.read(name)
    except FileNotFoundError:
        if seal is not None:
            raise damaged(Path(str(place)), Damage(name, None, "the file is missing")) from None
        rows = plan.part(number)
        raise RejectedError(
            f"Rows {rows.start}-{rows.stop - 1} of the store {place} (part {number}) are not labelled yet. Run the "
            "same labelling command again to complete it."
        ) from None
    if seal is not None and xxhash.xxh3_128_hexdigest(data) != seal:
        raise damaged(Path(str(place)), Damage(name, None, "it is not the sidecar that was merged"))
    return read_sidecar(data, plan, number, f"{place}/{name}", cure)


def part_damages(place: Place, plan: Plan, sidecar: Sidecar) -> list[Damage]:
    """Check every bit of a part."""
    found: list[Damage] = []
    for name, file in sidecar.files.items():
        path = file_name(sidecar.part, name, file.digest)
        try:
            size, digest = place.size(path), place.digest(path)
        except FileNotFoundError:
            found.append(Damage(path, None, "the file is missing"))
            continue
        except OSError as error:
            found.append(Damage(path, None, f"it cannot be read ({error.strerror})"))
            continue
        if size != file.nbytes:
            word = "truncated" if size < file.nbytes else "too long"
            found.append(Damage(path, None, f"the file is {word}: {size:,} bytes instead of {file.nbytes:,}"))
        elif digest != file.digest:
            found.append(Damage(path, None, "its bytes do not match its hash"))
    return found
