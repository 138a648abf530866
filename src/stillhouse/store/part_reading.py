"""Reading a store in parts: the same interface as a store in one piece; a part is opened when a row of it is read."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from stillhouse.errors import RejectedError
from stillhouse.store.fields import Array, Field, widen
from stillhouse.store.keys import Key
from stillhouse.store.manifest import NAME, PLAN, check_key
from stillhouse.store.part_writing import missing
from stillhouse.store.parts import Plan, Root, Sidecar, file_name, read_plan, read_root, read_sidecar, sidecar_name
from stillhouse.store.places import Place
from stillhouse.store.reader import Store
from stillhouse.store.shards import Damage, Shard, damaged, map_file


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
    blocks is checked on first use, as in a store in one piece.
    """

    def __init__(self, place: Place, plan: Plan, root: Root | None, verify: bool) -> None:
        self.place, self.plan, self.root = place, plan, root
        self.folder = Path(str(place))
        self._verify = verify
        self._opened: dict[int, Store] = {}

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
        if self.plan.parts == 1:
            return self._part(0).read(rows, views)
        try:
            found = self._gather(np.ravel_multi_index((rows, views), (self.rows, self.views)))
        except ValueError:
            raise self._outside(rows, views) from None
        return {field.name: widen(field, found[field.name]) for field in self.fields}

    def raw(self, rows: npt.NDArray[np.int64]) -> dict[str, Array]:
        """See ``Store``."""
        found = self._gather((rows[:, None] * self.views + np.arange(self.views)).ravel())
        return {name: array.reshape(len(rows), self.views, *array.shape[1:]) for name, array in found.items()}

    def _gather(self, flat: npt.NDArray[np.int64]) -> dict[str, Array]:
        """Stored numbers of (row, view) pairs, counted over the whole store, by field."""
        size = self.plan.part_rows * self.views
        numbers = flat // size
        order = numbers.argsort(kind="stable")  # part by part, so that each is asked once
        numbers = numbers[order]
        places = flat[order] - numbers * size
        found = {field.name: np.empty((len(flat), *field.shape), field.stored) for field in self.fields}
        edges = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(flat)]
        for start, stop in pairwise(edges) if len(flat) else ():
            some = places[start:stop]
            part = self._part(int(numbers[start]))
            part.trust(some // self.views)
            for name, _, payload in part.payloads:
                payload.take(
                    some, 0, found[name][start:stop], "clip"
                )  # places are within; "raise" would copy once more
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return {name: array.take(back, 0) for name, array in found.items()}

    def _part(self, number: int) -> Store:
        """A part as a store of its own, opened at its first use."""
        part = self._opened.get(number)
        if part is None:
            part = self._opened[number] = self._open_part(number)
        return part

    def _open_part(self, number: int) -> Store:
        place, plan = self.place, self.plan
        sidecar = sidecar_of(place, plan, number, None if self.root is None else self.root.seals[number])
        shards = []
        for field in plan.fields:
            mapped = part_shard(place, plan, sidecar, field)
            if isinstance(mapped, Damage):
                raise damaged(self.folder, mapped)
            shards.append(mapped)
        names = tuple(file_name(number, field.name, sidecar.files[field.name].digest) for field in plan.fields)
        return Store(self.folder, sidecar.as_manifest(plan), shards, self._verify, names)


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


def part_shard(place: Place, plan: Plan, sidecar: Sidecar, field: Field) -> Shard | Damage:
    """Map the file of a field in a part, or return why it is not the file of the sidecar."""
    file = sidecar.files[field.name]
    name = file_name(sidecar.part, field.name, file.digest)
    header = plan.files(sidecar.part)[field.name][0]
    try:
        path = place.local(name, file.digest)
    except FileNotFoundError:
        return Damage(name, None, "the file is missing")
    mapped = map_file(path.parent, path.name, file.nbytes, header)
    if isinstance(mapped, Damage):
        return mapped._replace(shard=name)
    return Shard(mapped, np.frombuffer(mapped, np.uint8)[len(header) :], plan.views * field.nbytes)


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
