"""The shards: one ``.npy`` file for each field, mapped and checked against the manifest, block by block."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from stillhouse.errors import DamagedError, UsageError
from stillhouse.store import disk
from stillhouse.store.fields import RESERVED, Field
from stillhouse.store.manifest import Manifest, npy_header

Bytes = npt.NDArray[np.uint8]
ROW_HASHES = f"{RESERVED}.npy"


class Damage(NamedTuple):
    """One fault of a store's files."""

    shard: str  # the file's name
    block: int | None  # None: the whole file
    what: str

    def __str__(self) -> str:
        place = self.shard if self.block is None else f"{self.shard}, block {self.block}"
        return f"{place}: {self.what}"


def damaged(folder: Path, damage: Damage) -> DamagedError:
    """The error for a damage, with the command that repairs it."""
    return DamagedError(
        f"The store {folder} is damaged: {damage}. Its answers are not used. Run `stillhouse store repair {folder}`, "
        "then the same command again: it asks the teacher again only for the damaged blocks."
    )


class Shard(NamedTuple):
    """A mapped shard."""

    mapped: mmap.mmap
    payload: Bytes  # all of the file after its header
    row_bytes: int

    def block(self, rows: range) -> memoryview:
        """The bytes of some rows, read from the disk in one request."""
        start, size = rows.start * self.row_bytes, len(rows) * self.row_bytes
        disk.prefetch(self.mapped, len(self.mapped) - len(self.payload) + start, size)
        return self.payload[start : start + size].data

    def numbers(self, field: Field) -> npt.NDArray[Any]:
        """The payload as stored numbers ``(rows * views, *shape)``: each (row, view) is contiguous."""
        flat: npt.NDArray[Any] = self.payload.view(field.stored)
        return flat.reshape(-1, *field.shape)


def map_shard(folder: Path, manifest: Manifest, field: Field) -> Shard | Damage:
    """Map a field's shard, or return why it is not the shard of the manifest."""
    header = manifest.header(field)
    mapped = map_file(folder, field.file, manifest.shard_bytes(field), header)
    if isinstance(mapped, Damage):
        return mapped
    return Shard(mapped, np.frombuffer(mapped, np.uint8)[len(header) :], manifest.row_bytes(field))


def block_damage(manifest: Manifest, field: Field, data: bytes | memoryview, index: int) -> Damage | None:
    """Compare a committed block's bytes with its hash; of swapped blocks return which block the bytes belong to."""
    block = manifest.blocks[index]
    if block is None:
        return None
    found = xxhash.xxh3_128_hexdigest(data)
    if found == block[manifest.fields.index(field)]:
        return None
    for other, hashes in enumerate(manifest.blocks):
        if hashes is not None and found in hashes:
            whose = manifest.fields[hashes.index(found)].file
            return Damage(field.file, index, f"swapped: it holds block {other} of {whose}")
    return Damage(field.file, index, "its bytes do not match the hash in the manifest")


def shard_damages(folder: Path, manifest: Manifest, field: Field) -> list[Damage]:
    """Check a shard's size, header and every committed block."""
    state = map_shard(folder, manifest, field)
    if isinstance(state, Damage):
        return [state]
    committed = [i for i, block in enumerate(manifest.blocks) if block is not None]
    found = [d for i in committed if (d := _read_damage(folder, manifest, field, i)) is not None]
    if 1 < len(found) == len(committed) and not any(d.what.startswith("swapped") for d in found):
        foreign = "foreign: none of the file's blocks is the one that was committed"
        return [Damage(d.shard, d.block, foreign) for d in found]
    return found


def _read_damage(folder: Path, manifest: Manifest, field: Field, index: int) -> Damage | None:
    """Read one block without the map: memory use stays at one block, and a bad sector raises an error with a name."""
    rows, size = manifest.block(index), manifest.row_bytes(field)
    offset = len(manifest.header(field)) + rows.start * size
    try:
        data = disk.read_at(folder / field.file, offset, len(rows) * size)
    except OSError as error:
        return Damage(field.file, index, f"it cannot be read ({error.strerror})")
    return block_damage(manifest, field, data, index)


def make_shard(path: Path, manifest: Manifest, field: Field) -> int:
    """Create a shard of full size with its header, zeros elsewhere, and return it open for writing."""
    fd = disk.create(path)
    try:
        restore_shape(fd, manifest, field)
    except BaseException:
        disk.close(fd)
        raise
    return fd


def restore_shape(fd: int, manifest: Manifest, field: Field) -> None:
    """Give a shard the size and the header of the manifest; the payload that fits stays."""
    disk.resize(fd, manifest.shard_bytes(field))
    disk.write_at(fd, 0, manifest.header(field))
    disk.sync(fd)


def row_hash_file(row_hashes: npt.NDArray[Any] | None, rows: int) -> bytes | None:
    """The content of ``row_hashes.npy``; raises ``UsageError`` unless there is one unsigned integer for each row."""
    if row_hashes is None:
        return None
    if row_hashes.shape != (rows,) or row_hashes.dtype.kind != "u":
        raise UsageError(
            f"row_hashes must be unsigned integers of shape ({rows},), one for each row as `hash_rows` returns them; "
            f"got {row_hashes.dtype} {row_hashes.shape}."
        )
    return npy_header((rows,), np.dtype("<u8")) + row_hashes.astype("<u8").tobytes()


def read_row_hashes(folder: Path, manifest: Manifest) -> npt.NDArray[np.uint64] | Damage | None:
    """Read the content hash of each row (uint64), or return the fault; None where the store has none."""
    if manifest.row_hashes is None:
        return None
    header = npy_header((manifest.rows,), np.dtype("<u8"))
    mapped = map_file(folder, ROW_HASHES, len(header) + 8 * manifest.rows, header)
    if isinstance(mapped, Damage):
        return mapped
    disk.prefetch(mapped, 0, len(mapped))
    if xxhash.xxh3_128_hexdigest(memoryview(mapped)) != manifest.row_hashes:
        return Damage(ROW_HASHES, None, "its bytes do not match the hash in the manifest")
    return np.frombuffer(mapped, "<u8", offset=len(header))


def map_file(folder: Path, name: str, size: int, header: bytes) -> mmap.mmap | Damage:
    """Map a ``.npy`` file after checking its size and its header."""
    try:
        with disk.explained(folder / name):
            mapped = disk.map_file(folder / name)
    except FileNotFoundError:
        return Damage(name, None, "the file is missing")
    damage = other_size(name, 0 if mapped is None else len(mapped), size)
    if damage is None and mapped is not None:
        damage = other_header(name, mapped[: len(header)], header)
    if damage is not None:
        return damage
    assert mapped is not None  # a file with a header is not empty
    return mapped


def other_size(name: str, found: int, size: int) -> Damage | None:
    """Whether a file has another size than it should."""
    if found == size:
        return None
    word = "truncated" if found < size else "too long"
    return Damage(name, None, f"the file is {word}: {found:,} bytes instead of {size:,}")


def other_header(name: str, found: bytes, header: bytes) -> Damage | None:
    """Whether a file begins in another way than it should."""
    return None if found == header else Damage(name, None, "its header is damaged, or it is another store's file")


def cut_short(name: str, found: int, size: int) -> Damage | None:
    """Whether a file was cut short after it was mapped: reading behind its end would end the process."""
    if found >= size:
        return None
    return Damage(name, None, f"the file was cut to {found:,} bytes while it was read, instead of {size:,}")
