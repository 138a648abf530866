"""Reading a store: batched gathers from memory-mapped shards, each block's hash checked on first touch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from stillhouse.errors import DamagedError, RejectedError, UsageError
from stillhouse.store import disk
from stillhouse.store.fields import RESERVED, Array, Field, widen
from stillhouse.store.keys import Key
from stillhouse.store.manifest import Manifest, npy_header, read_manifest


class Damage(NamedTuple):
    """One thing that is wrong with a store's files."""

    shard: str  # the file's name
    block: int | None  # None: the whole file
    what: str

    def __str__(self) -> str:
        place = self.shard if self.block is None else f"{self.shard}, block {self.block}"
        return f"{place}: {self.what}"


def shard_name(field: Field) -> str:
    """Name of the file that holds a field."""
    return f"{field.name}.npy"


def map_shard(folder: Path, manifest: Manifest, field: Field) -> npt.NDArray[np.uint8] | Damage:
    """Map a shard's payload as bytes ``(rows, row_bytes)``, or say why it is not the shard of the manifest."""
    name, header = shard_name(field), manifest.header(field)
    whole = _mapped(folder, name, manifest.shard_bytes(field), header)
    if isinstance(whole, Damage):
        return whole
    return whole[len(header) :].reshape(manifest.rows, manifest.row_bytes(field))


def _mapped(folder: Path, name: str, size: int, header: bytes) -> npt.NDArray[np.uint8] | Damage:
    """Map a ``.npy`` file as bytes after checking its size and its header."""
    try:
        with disk.explained(folder / name):
            mapped = disk.map_file(folder / name)
    except FileNotFoundError:
        return Damage(name, None, "the file is missing")
    found = 0 if mapped is None else len(mapped)
    if mapped is None or found != size:
        word = "truncated" if found < size else "too long"
        return Damage(name, None, f"the file is {word}: {found:,} bytes instead of {size:,}")
    whole = np.frombuffer(mapped, np.uint8)
    if whole[: len(header)].tobytes() != header:
        return Damage(name, None, "its header is damaged, or it is another store's file")
    return whole


def read_row_hashes(folder: Path, manifest: Manifest) -> npt.NDArray[np.uint64] | Damage | None:
    """Read the content hash of each row (uint64), or say what is wrong; None where the store keeps none."""
    if manifest.row_hashes is None:
        return None
    name, header = f"{RESERVED}.npy", npy_header((manifest.rows,), np.dtype("<u8"))
    whole = _mapped(folder, name, len(header) + 8 * manifest.rows, header)
    if isinstance(whole, Damage):
        return whole
    if xxhash.xxh3_128_hexdigest(whole.data) != manifest.row_hashes:
        return Damage(name, None, "its bytes do not match the hash in the manifest")
    return whole[len(header) :].view("<u8")


def block_damage(manifest: Manifest, field: Field, payload: npt.NDArray[np.uint8], index: int) -> Damage | None:
    """Compare a committed block's bytes with its hash, and say where they come from when they were swapped."""
    block, rows = manifest.blocks[index], manifest.block(index)
    if block is None:
        return None
    found = xxhash.xxh3_128_hexdigest(payload[rows.start : rows.stop].data)
    if found == block[manifest.fields.index(field)]:
        return None
    for other, hashes in enumerate(manifest.blocks):
        if hashes is not None and found in hashes:
            whose = shard_name(manifest.fields[hashes.index(found)])
            return Damage(shard_name(field), index, f"swapped: it holds block {other} of {whose}")
    return Damage(shard_name(field), index, "its bytes do not match the hash in the manifest")


def committed(manifest: Manifest) -> Iterator[int]:
    """Numbers of the committed blocks."""
    return (i for i, block in enumerate(manifest.blocks) if block is not None)


def damaged(folder: Path, damage: Damage) -> DamagedError:
    """The error for a damage, with its cure."""
    return DamagedError(
        f"The store {folder} is damaged: {damage}. Its answers are not used. Run `stillhouse store repair {folder}`, "
        "then the same command again: only the damaged blocks are asked of the teacher again."
    )


def check_key(folder: Path, manifest: Manifest, key: Key) -> None:
    """Refuse a store that belongs to another key.

    Raises:
        RejectedError: with the reasons.
    """
    reasons = key.why(manifest.key)
    if reasons:
        raise RejectedError(
            f"The store {folder} holds answers to another question: {', '.join(reasons)}. It is never used silently. "
            "Choose another folder, or delete this one to ask the teacher anew."
        )


class Store:
    """The committed answers of a teacher, read by (row, view).

    Opening maps the shards and reads none of them; several processes may read while one writes. Make one with
    ``Store.open``.
    """

    def __init__(self, folder: Path, manifest: Manifest, maps: list[npt.NDArray[np.uint8]], verify: bool) -> None:
        self.folder = folder
        self._manifest = manifest
        self._bytes = maps
        self._flat = [_typed(manifest, f, m) for f, m in zip(manifest.fields, maps, strict=False)]
        self._verify = verify
        self._trusted = np.zeros(len(manifest.blocks), bool)
        self._all_trusted = False

    @classmethod
    def open(cls, folder: Path | str, key: Key | None = None, verify: bool = True) -> Store:
        """Open a store, complete or not.

        Args:
            folder: where it is.
            key: what it must belong to; None takes any.
            verify: check each block's hash when it is first touched.

        Raises:
            DamagedError: manifest or shards are damaged; names the shard and what is wrong.
            RejectedError: no store, another key (with the reasons), a newer format, or a symbolic link.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if key is not None:
            check_key(folder, manifest, key)
        maps = []
        for field in manifest.fields if any(manifest.blocks) else ():
            mapped = map_shard(folder, manifest, field)
            if isinstance(mapped, Damage):
                raise damaged(folder, mapped)
            maps.append(mapped)
        return cls(folder, manifest, maps, verify)

    @property
    def fields(self) -> tuple[Field, ...]:
        """What is kept for each (row, view)."""
        return self._manifest.fields

    @property
    def rows(self) -> int:
        """Number of rows, committed or not."""
        return self._manifest.rows

    @property
    def views(self) -> int:
        """Number of views a row."""
        return self._manifest.views

    @property
    def key(self) -> Key:
        """What the answers belong to."""
        return self._manifest.key

    @property
    def nbytes(self) -> int:
        """Bytes of all shards, headers included."""
        return sum(self._manifest.shard_bytes(f) for f in self.fields)

    @property
    def complete(self) -> bool:
        """Whether every row is committed."""
        return self._manifest.complete

    @property
    def rows_done(self) -> int:
        """Length of the committed prefix: rows below it can be read."""
        blocks = self._manifest.blocks
        return self.rows if self.complete else self._manifest.block(blocks.index(None)).start

    def read(self, rows: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> dict[str, Array]:
        """Gather the answers to a batch.

        Args:
            rows: int64 ``(B,)``, row numbers in any order, repeats allowed.
            views: int64 ``(B,)``, the view of each row.

        Returns:
            For each field ``(B, *shape)``: float16 and bfloat16 as float32, all else as stored.

        Raises:
            UsageError: a row or view outside the store.
            RejectedError: a row that is not committed yet.
            DamagedError: a block whose bytes do not match its hash.
        """
        manifest = self._manifest
        try:
            flat = np.ravel_multi_index((rows, views), (manifest.rows, manifest.views))
        except ValueError:
            raise UsageError(
                f"The store {self.folder} has rows 0-{self.rows - 1} and views 0-{self.views - 1}; asked were rows "
                f"{rows.min()}-{rows.max()} and views {views.min()}-{views.max()}. Label the data that is trained on."
            ) from None
        if not self._all_trusted:
            self._trust(np.unique(rows // manifest.block_rows))
        return {
            field.name: widen(field, payload.take(flat, 0))
            for field, payload in zip(manifest.fields, self._flat, strict=True)
        }

    def _trust(self, blocks: npt.NDArray[np.int64]) -> None:
        for index in blocks[~self._trusted[blocks]].tolist():
            if self._manifest.blocks[index] is None:
                rows = self._manifest.block(index)
                raise RejectedError(
                    f"Rows {rows.start}-{rows.stop - 1} of the store {self.folder} are not labelled yet "
                    f"({self.rows_done} of {self.rows} are). Run the same labelling command again to complete it."
                )
            for field, payload in zip(self.fields, self._bytes, strict=True) if self._verify else ():
                damage = block_damage(self._manifest, field, payload, index)
                if damage is not None:
                    raise damaged(self.folder, damage)
            self._trusted[index] = True
        self._all_trusted = bool(self._trusted.all())


def _typed(manifest: Manifest, field: Field, payload: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """The payload as numbers ``(rows * views, *shape)``: one (row, view) lies contiguous."""
    flat: npt.NDArray[Any] = payload.reshape(-1).view(field.stored)
    return flat.reshape(manifest.rows * manifest.views, *field.shape)
