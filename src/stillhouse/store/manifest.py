"""The manifest: the content of a store and the hash of every block, in JSON that detects its own damage.

The first line holds the checksum of all bytes after it, so a reader needs no canonical form of JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from stillhouse.errors import DamagedError, RejectedError
from stillhouse.files import reading
from stillhouse.store import disk
from stillhouse.store.fields import Field
from stillhouse.store.keys import Key

NAME = "manifest.json"
COPY = "manifest.copy.json"
PLAN = "plan.json"  # of a store in parts
FORMAT = "stillhouse store"
VERSION = 1  # of a store of one file a field
PARTS_VERSION = 2  # of a store in parts; see ``parts``
_HEAD = '{"checksum": "%s",'


@dataclass(frozen=True)
class Manifest:
    """The content of a store."""

    key: Key
    fields: tuple[Field, ...]  # one shard each, in this order
    rows: int
    views: int  # of each row
    block_rows: int  # rows of a block; the last block may be shorter
    row_hashes: str | None  # xxh3-128 of the file ``row_hashes.npy``; None: there is none
    # For each block None (not committed), or for each field the xxh3-128 of the block's bytes in its shard.
    blocks: tuple[tuple[str, ...] | None, ...]

    @property
    def complete(self) -> bool:
        """Whether every block is committed."""
        return None not in self.blocks

    def block(self, index: int) -> range:
        """The rows of a block."""
        return range(index * self.block_rows, min(self.rows, (index + 1) * self.block_rows))

    def commit(self, index: int, hashes: tuple[str, ...] | None) -> Manifest:
        """The manifest with one more (or, with None, one less) committed block."""
        return replace(self, blocks=(*self.blocks[:index], hashes, *self.blocks[index + 1 :]))

    def row_bytes(self, field: Field) -> int:
        """Bytes of one row with all its views in the field's shard."""
        return self.views * field.nbytes

    def header(self, field: Field) -> bytes:
        """The ``.npy`` header (format 1.0) of the field's shard: the array is ``(rows, views, *shape)`` in C order."""
        return npy_header((self.rows, self.views, *field.shape), field.stored)

    def shard_bytes(self, field: Field) -> int:
        """Size of the field's shard, header included."""
        return len(self.header(field)) + self.rows * self.row_bytes(field)

    def to_bytes(self) -> bytes:
        """The file's content: deterministic, one block a line."""
        table: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "key": dict(self.key.parts),
            "fields": [{"name": f.name, "shape": list(f.shape), "dtype": f.dtype} for f in self.fields],
            "rows": self.rows,
            "views": self.views,
            "block_rows": self.block_rows,
            "row_hashes": self.row_hashes,
        }
        lines = [f"{json.dumps(name)}: {json.dumps(value)}," for name, value in table.items()]
        blocks = ",\n".join("null" if b is None else '["' + '", "'.join(b) + '"]' for b in self.blocks)
        body = "\n".join(lines) + f'\n"blocks": [\n{blocks}\n]}}\n'
        return sealed(body)


def sealed(body: str) -> bytes:
    """JSON without its first brace, behind a first line that holds the checksum of all bytes after it."""
    encoded = body.encode()
    return (_HEAD % xxhash.xxh3_128_hexdigest(encoded)).encode() + b"\n" + encoded


def npy_header(shape: tuple[int, ...], dtype: np.dtype[Any], least: int = 0) -> bytes:
    """The header of a ``.npy`` file of format 1.0, magic included, padded to a multiple of 64 bytes, ``least`` or more.

    numpy does not write it, because its padding has changed between versions, and stores are compared bit by bit.

    >>> len(npy_header((5, 3), np.dtype("<u2")))
    128
    """
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    text = text.ljust(least - 11)
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def read_manifest(folder: Path, name: str = NAME) -> Manifest:
    """Read and check the manifest of a store of version 1.

    Raises:
        RejectedError: there is no store here, it is one in parts, or a newer Stillhouse wrote it.
        DamagedError: the bytes do not match their checksum, or are not a manifest.
    """
    table = read_table(folder, name)
    if table["version"] == PARTS_VERSION:
        raise RejectedError(
            f"The store {folder} is kept in parts (version {PARTS_VERSION}), and only a store in one piece can be used "
            "here. Ask the teacher for all rows, in a new folder."
        )
    with reading(folder / name, _cure(folder)):
        return _of_table(table)


def _of_table(table: dict[str, Any]) -> Manifest:
    """A manifest of version 1; ``ValueError`` or another error where the table is none."""
    sizes = {name: whole_number(table[name]) for name in ("rows", "views", "block_rows")}
    fields, hashes = fields_in(table), table["row_hashes"]
    blocks = tuple(None if b is None else tuple(b) for b in table["blocks"])
    if len(blocks) != -(-sizes["rows"] // max(sizes["block_rows"], 1)):
        raise ValueError("the number of blocks")
    if any(len(block) != len(fields) or {*map(type, block)} - {str} for block in blocks if block is not None):
        raise ValueError("the hashes of a block")
    if not isinstance(hashes, str | None):
        raise ValueError("row_hashes")
    return Manifest(key=Key(table["key"]), fields=fields, row_hashes=hashes, blocks=blocks, **sizes)


def fields_in(table: dict[str, Any]) -> tuple[Field, ...]:
    """The fields that a manifest lists."""
    for field in table["fields"]:
        if not isinstance(field["name"], str) or not field["name"]:
            raise ValueError("the name of a field")
    return tuple(Field(f["name"], tuple(map(whole_number, f["shape"])), f["dtype"]) for f in table["fields"])


def whole_number(value: object) -> int:
    """A size, at least 0; ``ValueError`` for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError(f"{value!r} is no size")
    return value


def read_table(folder: Path, name: str = NAME) -> dict[str, Any]:
    """Read and check a store's manifest of either version, as a table.

    Raises:
        RejectedError: there is no store here, or a newer Stillhouse wrote it.
        DamagedError: the bytes do not match their checksum, or are not a manifest.
    """
    path = folder / name
    with disk.explained(folder):
        disk.refuse_link(folder)
    try:
        with disk.explained(path):
            data = disk.read_whole(path)
    except (FileNotFoundError, NotADirectoryError):
        raise RejectedError(
            f"There is no store in {folder}: it has no {name}. Give the folder of a store, or make one with "
            "`stillhouse label`."
        ) from None
    return unsealed(data, str(path), _cure(folder))


def _cure(folder: Path) -> str:
    return f"`stillhouse store repair {folder}` restores it from its copy where there is one."


def unsealed(data: bytes, path: str, cure: str, form: str = FORMAT) -> dict[str, Any]:
    """The table of a sealed file.

    Args:
        data: of the file.
        path: for the errors.
        cure: the end of the error for damage.
        form: its "format".

    Raises:
        RejectedError: it is of another format, or a newer Stillhouse wrote it.
        DamagedError: the bytes do not match their checksum.
    """
    head, _, body = data.partition(b"\n")
    if head != (_HEAD % xxhash.xxh3_128_hexdigest(body)).encode():
        raise DamagedError(f"{path}: its bytes do not match its own checksum, so it was truncated or changed. {cure}")
    with reading(Path(path), cure):
        table: dict[str, Any] = json.loads(b"{" + body)
        found, version = table["format"], table["version"]
        newer = version > PARTS_VERSION or found != form
    if newer:
        raise RejectedError(
            f"{path} is {found!r} of version {version}, and this Stillhouse reads versions up to "
            f"{PARTS_VERSION}: a newer version wrote it. Upgrade with `pip install --upgrade stillhouse`."
        )
    return table


def in_parts(folder: Path) -> bool:
    """Whether a folder holds a store in parts; where its manifest is damaged, its plan tells."""
    try:
        return bool(read_table(folder)["version"] == PARTS_VERSION)
    except (RejectedError, DamagedError):
        return (folder / PLAN).exists()


def check_key(folder: Path, there: Key, key: Key) -> None:
    """Raise ``RejectedError``, with the reasons, for a store that belongs to another key."""
    reasons = key.why(there)
    if reasons:
        raise RejectedError(
            f"The store {folder} holds answers to another question: {', '.join(reasons)}. It is not used. "
            "Choose another folder, or delete this one to ask the teacher again."
        )
