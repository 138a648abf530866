"""The tiny store of ``tiny``, kept in parts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stillhouse.store import Store, hash_rows
from stillhouse.store.part_care import merge
from stillhouse.store.part_writing import settle_plan, write_part
from stillhouse.store.parts import Plan, sidecar_name
from stillhouse.store.places import Folder, Place
from tests.store import tiny

PLAN = Plan(tiny.KEY, tiny.FIELDS, tiny.ROWS, tiny.VIEWS, block_rows=3, part_rows=4, hashed=True, batch=2)

MANY = Plan(tiny.KEY, tiny.FIELDS, rows=50, views=tiny.VIEWS, block_rows=1, part_rows=1, hashed=False)  # to race for


def answers(rows: tiny.Array) -> dict[str, tiny.Array]:
    """The teacher, asked by row number."""
    return tiny.answers(tiny.inputs(int(rows[-1]) + 1)[rows])


def hashes(rows: range) -> tiny.Array:
    """The hash of each row's content."""
    return hash_rows(tiny.inputs(rows.stop)[rows.start :])


def label(place: Place, parts: Iterable[int] | None = None, plan: Plan = PLAN) -> list[int]:
    """Label some parts, or all that are missing; returns those that this call committed."""
    plan = settle_plan(place, plan)
    wanted = range(plan.parts) if parts is None else parts
    return [n for n in wanted if not place.has(sidecar_name(n)) and write_part(place, plan, n, answers, hashes)]


def merged(folder: Path, plan: Plan = PLAN) -> Store:
    """The whole store."""
    label(Folder(folder), plan=plan)
    merge(Folder(folder))
    return Store.open(folder, plan.key)


def contents(folder: Path) -> dict[str, bytes]:
    """All files, by path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def change(path: Path, at: int = -1) -> None:
    """Flip one bit of a file."""
    data = np.fromfile(path, np.uint8)
    data[at] ^= 1
    path.write_bytes(data.tobytes())
