"""Status, merge and maintenance of a store in parts; what ``maintenance`` does for a store in one piece."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import xxhash

from stillhouse.errors import DamagedError, RejectedError
from stillhouse.store import disk
from stillhouse.store.fields import RESERVED
from stillhouse.store.manifest import NAME, PLAN
from stillhouse.store.part_reading import part_damages, read_store, sidecar_of
from stillhouse.store.part_writing import missing
from stillhouse.store.parts import PARTS, Plan, Root, Sidecar, file_name, read_plan, read_root, sidecar_name
from stillhouse.store.places import FRESH, Folder, Place
from stillhouse.store.shards import Damage

ABANDONED = 86_400.0  # seconds after which ``gc`` deletes the draft of a store that is not merged
_SIDECAR = re.compile(rf"{PARTS}(\d{{8}})\.json")
SHOWN = 5  # parts that an error names


class Status(NamedTuple):
    """How far a store in parts is."""

    place: str
    rows: int
    views: int
    parts: int
    part_rows: int
    done: int  # parts that are committed
    missing: list[int]  # all others
    running: list[int]  # of these, the ones that some process has written to within ten minutes, as seen from here
    merged: bool


def status(place: Place) -> Status:
    """Parts done, missing and running; no part is read.

    Raises:
        RejectedError: there is no store in parts.
    """
    plan, root = read_store(place)
    left = missing(place, plan)
    running = sorted({d.part for d in place.left() if d.idle < FRESH} & set(left))
    return Status(
        str(place), plan.rows, plan.views, plan.parts, plan.part_rows, plan.parts - len(left), left, running,
        root is not None,
    )  # fmt: skip


def merge(place: Place) -> Plan:
    """Write the root manifest, once, when every part is there and sound; every bit is read.

    Raises:
        RejectedError: parts are missing, or belong to another store; names them.
        DamagedError: parts are damaged; names them.
    """
    plan, root = read_store(place)
    if root is not None:
        return plan
    plan = read_plan(place.read(PLAN), f"{place}/{PLAN}")
    if left := missing(place, plan):
        raise RejectedError(
            f"The store {place} is not complete: {named(left)} of {plan.parts} missing. Run `stillhouse label RECIPE "
            f"--shard {left[0]}/{plan.parts}`, or `stillhouse label RECIPE` for all of them; then merge again."
        )
    if strangers := foreign(place, plan):
        raise RejectedError(
            f"The store {place} holds parts that are foreign: {', '.join(strangers[:SHOWN])}. Its plan has "
            f"{plan.parts} parts, from 0 to {plan.parts - 1}. Remove these files, or find out which task wrote them; "
            "then merge again."
        )
    seals, hashes = [], []
    for number in range(plan.parts):
        sidecar = _sound(place, plan, number)
        seals.append(xxhash.xxh3_128_hexdigest(sidecar.to_bytes()))
        hashes.append(sidecar.files[RESERVED].digest if plan.hashed else "")
    row_hashes = xxhash.xxh3_128_hexdigest("".join(hashes).encode()) if plan.hashed else None
    data = plan.manifest(seals, row_hashes)
    if not place.create(NAME, data) and place.read(NAME) != data:
        raise DamagedError(f"{place}/{NAME} is not the manifest of these parts. Run `stillhouse store repair {place}`.")
    for draft in place.left():
        disk.remove(draft.path)
    return plan


def named(numbers: list[int]) -> str:
    """Some parts by number."""
    more = f" and {len(numbers) - SHOWN:,} more" if len(numbers) > SHOWN else ""
    return f"part{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:SHOWN]))}{more}"


def _sound(place: Place, plan: Plan, number: int) -> Sidecar:
    """A part's sidecar, when every bit of the part is right."""
    sidecar = sidecar_of(place, plan, number)
    if found := part_damages(place, plan, sidecar):
        raise DamagedError(
            f"Part {number} of the store {place} is damaged: {found[0]}. Nothing is merged. Run `stillhouse store "
            f"repair {place}`, then label again: it asks the teacher for this part alone."
        )
    return sidecar


def foreign(place: Place, plan: Plan) -> list[str]:
    """Sidecars of parts that the plan does not have."""
    found = [(name, _SIDECAR.fullmatch(name)) for name in place.names() if name.endswith(".json")]
    return [name for name, match in found if match is None or int(match[1]) >= plan.parts]


def verify(place: Place) -> list[Damage]:
    """Check every bit: root, sidecars, files, and foreign files. Parts that are missing before a merge are no fault."""
    found = [Damage(name, None, "its bytes do not match its own checksum") for name in _broken(place)]
    try:
        plan, root = read_store(place)
    except DamagedError:
        return found
    known: set[str] = set()
    for number in range(plan.parts):
        faults, names = _part_faults(place, plan, root, number)
        found += faults
        known |= names
    return found + [
        Damage(name, None, "foreign: not a file of this store") for name in place.names() if name not in known
    ]


def _broken(place: Place) -> list[str]:
    """Root and plan, where they are there and damaged."""
    found = []
    for name, read in ((NAME, read_root), (PLAN, read_plan)):
        try:
            if place.has(name):
                read(place.read(name), f"{place}/{name}")
        except DamagedError:
            found.append(name)
    return found


def _part_faults(place: Place, plan: Plan, root: Root | None, number: int) -> tuple[list[Damage], set[str]]:
    """The faults of a part, and the names of its files; nothing of a part that is not there before a merge."""
    name = sidecar_name(number)
    if root is None and not place.has(name):
        return [], set()
    try:
        sidecar = sidecar_of(place, plan, number, None if root is None else root.seals[number])
    except (DamagedError, RejectedError) as error:
        return [Damage(name, None, str(error))], {name}
    names = {file_name(number, field, file.digest) for field, file in sidecar.files.items()}
    return part_damages(place, plan, sidecar), names | {name}


def repair(place: Place) -> list[Damage]:
    """Make damaged parts missing, so that the next labelling run asks only for those; the root is then merged again.

    Raises:
        RejectedError: root and plan are both damaged, and there is no other copy; or there is no store.
    """
    found = [Damage(name, None, "it was damaged, and is removed") for name in _broken(place)]
    for damage in found:
        place.remove(damage.shard)
    plan, root = read_store(place)
    place.create(PLAN, plan.to_bytes())
    for number in range(plan.parts):
        faults, names = _part_faults(place, plan, root, number)
        found += faults
        if faults:
            place.remove(NAME)
            place.remove(sidecar_name(number))
            for name in names:
                place.remove(name)
    if not place.has(NAME) and not missing(place, plan):
        merge(place)
    return found


def clear(folder: Path, whole: bool) -> list[Path]:
    """Delete drafts that processes have left behind, or the whole store; see ``maintenance.gc``."""
    place = Folder(folder)
    merged = place.has(NAME)
    deleted = [draft.path for draft in place.left() if whole or merged or draft.idle > ABANDONED]
    for path in deleted:
        disk.remove(path)
    if not whole:
        return deleted
    if any(draft.idle < FRESH for draft in place.left()):
        return []
    for name in (NAME, *place.names(), PLAN):
        place.remove(name)
    disk.remove_folder(place.drafts)
    disk.remove_folder(folder)
    return [folder]
