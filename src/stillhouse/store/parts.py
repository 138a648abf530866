"""A store of version 2: rows in *parts*, fixed ranges that are answered and committed each by itself.

``Plan`` says what every part will be; a ``Sidecar`` says what one part is, and its presence commits the part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import xxhash

from stillhouse.errors import DamagedError, RejectedError, UsageError
from stillhouse.files import reading
from stillhouse.store.fields import RESERVED, Field
from stillhouse.store.keys import Key
from stillhouse.store.manifest import FORMAT, PARTS_VERSION, Manifest, fields_in, npy_header, sealed, unsealed

PARTS = "parts/"
UNKNOWN_BATCH = 32  # of a plan that was lost and made again from the manifest
PLAN_FORMAT, PART_FORMAT = "stillhouse plan", "stillhouse part"
PART_BYTES = 256 << 20  # of a part, where the recipe says nothing
MANY_ROWS = 1 << 20  # above so many rows a store is kept in parts


@dataclass(frozen=True)
class Plan:
    """What a store in parts will hold, and how its teacher is asked; frozen before the first part."""

    key: Key
    fields: tuple[Field, ...]
    rows: int
    views: int  # of each row
    block_rows: int  # rows of a block, which has a hash of its own; the last block of a part may be shorter
    part_rows: int  # a power of two; the last part may be shorter
    hashed: bool  # whether the hash of each row's content is kept
    batch: int = 1  # rows that the teacher is asked about at once
    device: str = ""  # the kind of device on which it answers; empty: unknown

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.rows // self.part_rows)

    def part(self, number: int) -> range:
        """The rows of a part."""
        return range(number * self.part_rows, min(self.rows, (number + 1) * self.part_rows))

    def blocks(self, number: int) -> list[range]:
        """The rows of each block of a part."""
        rows = self.part(number)
        return [range(at, min(at + self.block_rows, rows.stop)) for at in range(rows.start, rows.stop, self.block_rows)]

    def form(self) -> dict[str, Any]:
        """All that determines the bytes of the parts, given the answers."""
        return {
            "key": dict(self.key.parts),
            "fields": [{"name": f.name, "shape": list(f.shape), "dtype": f.dtype} for f in self.fields],
            "rows": self.rows,
            "views": self.views,
            "block_rows": self.block_rows,
            "part_rows": self.part_rows,
            "row_hashes": self.hashed,
        }

    @cached_property
    def digest(self) -> str:
        """xxh3-128 of the form: each part names it."""
        return xxhash.xxh3_128_hexdigest(json.dumps(self.form(), sort_keys=True).encode())

    def files(self, number: int) -> dict[str, tuple[bytes, int]]:
        """By name of a field, and ``row_hashes``, the header of its file in a part and the file's size in bytes.

        The headers of a field have one length, so that its answers lie at one distance from the start of each file.
        """
        rows = len(self.part(number))
        found = {}
        for field in self.fields:
            whole = npy_header((self.part_rows, self.views, *field.shape), field.stored)
            header = npy_header((rows, self.views, *field.shape), field.stored, len(whole))
            found[field.name] = header, len(header) + rows * self.views * field.nbytes
        if self.hashed:
            header = npy_header((rows,), np.dtype("<u8"))
            found[RESERVED] = header, len(header) + 8 * rows
        return found

    @property
    def nbytes(self) -> int:
        """Bytes of the fields' files of all parts, headers included."""
        numbers = {0: self.parts - 1, self.parts - 1: 1}  # all parts but the last are alike
        names = {field.name for field in self.fields}
        return sum(
            times * size for n, times in numbers.items() for name, (_, size) in self.files(n).items() if name in names
        )

    def to_bytes(self) -> bytes:
        """The content of ``plan.json``."""
        head = {"format": PLAN_FORMAT, "version": PARTS_VERSION}
        return sealed_lines(head | self.form() | {"batch": self.batch, "device": self.device})

    def manifest(self, seals: list[str], row_hashes: str | None) -> bytes:
        """The content of ``manifest.json``: written last, when all parts are there."""
        head = {"format": FORMAT, "version": PARTS_VERSION}
        return sealed_lines(head | self.form() | {"row_hashes": row_hashes, "parts": seals})


class Root(NamedTuple):
    """A merged store: its ``manifest.json``."""

    plan: Plan
    seals: list[str]  # xxh3-128 of each part's sidecar
    row_hashes: str | None  # xxh3-128 over the hashes of the parts' row hashes


class File(NamedTuple):
    """A file of a part."""

    nbytes: int
    digest: str  # xxh3-128 of the whole file


@dataclass(frozen=True)
class Sidecar:
    """What one part holds."""

    store: str  # digest of the plan
    part: int
    rows: int
    files: Mapping[str, File]  # by field, and ``row_hashes``
    blocks: tuple[tuple[str, ...], ...]  # for each block the xxh3-128 of its bytes in each field's file

    def to_bytes(self) -> bytes:
        """The content of the file: deterministic."""
        table = {
            "format": PART_FORMAT,
            "version": PARTS_VERSION,
            "store": self.store,
            "part": self.part,
            "rows": self.rows,
            "files": {name: [file.nbytes, file.digest] for name, file in self.files.items()},
            "blocks": self.blocks,
        }
        return sealed_lines(table)

    def as_manifest(self, plan: Plan) -> Manifest:
        """The part as a store of its own, with row numbers from 0."""
        return Manifest(plan.key, plan.fields, self.rows, plan.views, plan.block_rows, None, self.blocks)


def sealed_lines(table: Mapping[str, Any]) -> bytes:
    """A table as sealed JSON, a key a line."""
    return sealed(",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in table.items()) + "\n}\n")


def sidecar_name(number: int) -> str:
    """Where the sidecar of a part lies in the store."""
    return f"{PARTS}{number:08d}.json"


def file_name(number: int, name: str, digest: str) -> str:
    """Where a file of a part lies in the store: its name follows its content, so that nobody overwrites another's.

    >>> file_name(3, "logits", "0123456789abcdef0123456789abcdef")
    'parts/00000003.logits.0123456789abcdef.npy'
    """
    return f"{PARTS}{number:08d}.{quote(name, safe='')}.{digest[:16]}.npy"


def part_rows(fields: tuple[Field, ...] | list[Field], views: int, part_bytes: int) -> int:
    """The power of two of rows that is nearest ``part_bytes``.

    >>> part_rows([Field("logits", (10,), "float16")], 1, 700)
    32
    """
    wanted = part_bytes / (views * sum(field.nbytes for field in fields))
    below = 1 << max(0, int(wanted).bit_length() - 1)
    return below if wanted - below <= 2 * below - wanted else 2 * below


def read_plan(data: bytes, path: str) -> Plan:
    """Read ``plan.json``.

    Raises:
        DamagedError, RejectedError: it is damaged, or no plan of a store in parts.
    """
    cure = "Delete it, and run `stillhouse label RECIPE --plan` again: it makes the same plan."
    table = unsealed(data, path, cure, PLAN_FORMAT)
    with reading(Path(path), cure):
        return _plan(table, table["row_hashes"], table["batch"], table["device"])


def read_root(data: bytes, path: str) -> Root:
    """Read a ``manifest.json`` of version 2.

    Raises:
        DamagedError, RejectedError: it is damaged, or no such manifest.
    """
    cure = f"`stillhouse store repair {path.rpartition('/')[0]}` makes it again from the parts."
    table = unsealed(data, path, cure)
    if table["version"] != PARTS_VERSION:
        raise RejectedError(f"{path} is that of a store in one piece, which one process labels; it has no parts.")
    with reading(Path(path), cure):
        plan = _plan(table, table["row_hashes"] is not None)
        if len(table["parts"]) != plan.parts:
            raise ValueError("the number of parts")
        return Root(plan, table["parts"], table["row_hashes"])


def _plan(table: dict[str, Any], hashed: bool, batch: int = UNKNOWN_BATCH, device: str = "") -> Plan:
    sizes = {name: table[name] for name in ("rows", "views", "block_rows", "part_rows")} | {"batch": batch}
    if odd := [name for name, size in sizes.items() if not isinstance(size, int) or size < 1]:
        raise ValueError(odd[0])
    return Plan(key=Key(table["key"]), fields=fields_in(table), hashed=hashed, device=device, **sizes)


def read_sidecar(data: bytes, plan: Plan, number: int, path: str, cure: str) -> Sidecar:
    """Read the sidecar of a part, and check that it is this part of this store.

    Raises:
        DamagedError: it is damaged.
        RejectedError: it is foreign: another store's, or another part.
    """
    table = unsealed(data, path, cure, PART_FORMAT)
    with reading(Path(path), cure):
        files = {name: File(*facts) for name, facts in table["files"].items()}
        blocks = tuple(map(tuple, table["blocks"]))
        found = Sidecar(table["store"], table["part"], table["rows"], files, blocks)
    if (found.store, found.part) != (plan.digest, number):
        what = f"part {found.part} of this store" if found.store == plan.digest else "a part of another store"
        raise RejectedError(f"{path} is foreign: it is {what}. {cure}")
    sizes = {name: size for name, (_, size) in plan.files(number).items()}
    if (
        found.rows != len(plan.part(number))
        or {name: file.nbytes for name, file in files.items()} != sizes
        or [len(block) for block in blocks] != [len(plan.fields)] * len(plan.blocks(number))
    ):
        raise DamagedError(f"{path} does not describe part {number} of its store. {cure}")
    return found


def shard_of(text: str, parts: int, flag: str = "--shard") -> range:
    """The parts of a share such as "0/4", counted from 0.

    >>> list(shard_of("1/3", 8))
    [1, 4, 7]

    Raises:
        UsageError: it is no such share.
    """
    first, slash, of = text.partition("/")
    if not (slash and first.isdecimal() and of.isdecimal() and int(first) < int(of)):
        raise UsageError(
            f"{flag} {text!r}: write which share of how many, counted from 0: `{flag} 0/4` to `{flag} 3/4`; or "
            f"`{flag} auto` in an array job."
        )
    return range(int(first), parts, int(of))
