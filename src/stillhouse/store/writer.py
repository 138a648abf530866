"""Writing a store block by block; a rename commits each block, so that a kill loses at most the current one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from stillhouse.errors import RejectedError, UsageError
from stillhouse.store import disk
from stillhouse.store.fields import Array, Field, narrow
from stillhouse.store.keys import Key
from stillhouse.store.manifest import COPY, NAME, Manifest, check_key, read_manifest
from stillhouse.store.reader import Store
from stillhouse.store.reuse import Draft, Earlier, runs
from stillhouse.store.shards import ROW_HASHES, Damage, damaged, make_shard, map_shard, read_row_hashes, row_hash_file


class Writer:
    """Creates a store, or continues an existing one with an equal key.

    Args:
        folder: where the store is or will be; parents are created.
        key: the key of the answers.
        fields: the outputs kept for each (row, view).
        rows: number of rows.
        views: number of views of each row.
        block_rows: rows written and committed together; an existing store keeps its own number.
        row_hashes: uint64 ``(rows,)``, the content hash of each row (``hash_rows``), so that for later data that
            differs in some rows only those are asked.
        reuse: an earlier store whose key differs in the rows alone: answers that are still valid are copied, not asked.
        aside: other parts of its key that may differ, because these answers do not depend on them.
        wait: seconds to wait for another writer before refusing; negative: without limit.

    Raises:
        RejectedError: the folder holds another store (with the reasons) or other files, or another process writes it.
        DamagedError: the existing store is damaged.
        StoppedError: no space on the disk.
        UsageError: the folder cannot be written, or an argument is invalid.
    """

    def __init__(
        self,
        folder: Path | str,
        key: Key,
        fields: Sequence[Field],
        *,
        rows: int,
        views: int,
        block_rows: int = 1024,
        row_hashes: npt.NDArray[Any] | None = None,
        reuse: Path | str | None = None,
        aside: Collection[str] = (),
        wait: float = 0.0,
    ) -> None:
        self.folder = Path(folder)
        hashes = row_hash_file(row_hashes, rows)
        wanted = _plan(key, fields, rows, views, block_rows, hashes)
        with disk.explained(self.folder):
            disk.refuse_link(self.folder)
            disk.make_folder(self.folder)
            self._lock = disk.lock(self.folder, wait)
        self._files: list[int] = []
        self._drafts: dict[int, Draft] = {}
        self._earlier: Earlier | None = None
        try:
            self._manifest = self._claim(wanted)
            self._open_shards(hashes)
            if reuse is not None:
                self._earlier = Earlier(Path(reuse), self._manifest, row_hashes, aside)
                self._copy_known(self._earlier)
        except BaseException:
            self._release()
            raise

    def missing(self) -> Iterator[range]:
        """Row ranges without answers, in order, each within one block."""
        for index in range(len(self._manifest.blocks)):
            if self._manifest.blocks[index] is None:
                yield from runs(self._known(index), self._manifest.block(index).start, of=False)

    def put(self, start_row: int, arrays: dict[str, Array]) -> None:
        """Add the answers of a row range; the block is written and committed once all its rows have answers.

        Args:
            start_row: the first row of a range that ``missing`` returned, or of a part of it.
            arrays: for each field ``(rows of the range, views, *shape)``.

        Raises:
            UsageError: a field is missing or unknown, a shape is wrong, or a row is not missing.
            RejectedError: values that the field's format cannot hold.
            StoppedError: the disk is full; the committed blocks are kept.
        """
        index = start_row // self._manifest.block_rows
        places = self._places(index, start_row, arrays)
        draft = self._draft(index)
        draft.fill(places, {f.name: narrow(f, arrays[f.name], start_row) for f in self._manifest.fields})
        if draft.known.all():
            self._commit(index, self._drafts.pop(index))

    def close(self) -> Store:
        """Finish: keep a second copy of a complete store's manifest, free the lock, and open the store."""
        try:
            if self._manifest.complete:
                with disk.explained(self.folder / COPY):
                    disk.write_whole(self.folder / COPY, self._manifest.to_bytes())
        finally:
            self._release()
        return Store.open(self.folder, self._manifest.key)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._lock.is_locked:  # after an error committed blocks are on the disk already
            self.close()
        self._release()

    def _claim(self, wanted: Manifest) -> Manifest:
        with disk.explained(self.folder):
            names = {p.name for p in self.folder.iterdir()} - {disk.LOCK, f"{NAME}.tmp"}
        if NAME in names:
            there = read_manifest(self.folder)
            check_key(self.folder, there.key, wanted.key)
            _check_same(self.folder, there, wanted)
            return there
        if names:
            raise RejectedError(
                f"{self.folder} holds files that belong to no store, such as {min(names)!r}; a store is not written "
                "among them. Choose an empty or a new folder."
            )
        with disk.explained(self.folder / NAME):
            disk.write_whole(self.folder / NAME, wanted.to_bytes())
            disk.sync_folder(self.folder.parent)
        return wanted

    def _open_shards(self, hashes: bytes | None) -> None:
        """Open the shards for writing; while nothing is committed, create those that are not complete."""
        fresh = not any(self._manifest.blocks)
        kept = read_row_hashes(self.folder, self._manifest)
        if isinstance(kept, Damage) and hashes is not None:
            with disk.explained(self.folder / ROW_HASHES):
                disk.write_whole(self.folder / ROW_HASHES, hashes)
        for field in self._manifest.fields:
            path = self.folder / field.file
            state = map_shard(self.folder, self._manifest, field)
            if isinstance(state, Damage) and not fresh:
                raise damaged(self.folder, state)
            with disk.explained(path):
                whole = not isinstance(state, Damage)
                self._files.append(disk.open_to_write(path) if whole else make_shard(path, self._manifest, field))
        with disk.explained(self.folder):
            disk.sync_folder(self.folder)

    def _known(self, index: int) -> npt.NDArray[np.bool_]:
        """Which rows of an uncommitted block need not be asked."""
        if index in self._drafts:
            return self._drafts[index].known
        block = self._manifest.block(index)
        return np.zeros(len(block), bool) if self._earlier is None else self._earlier.known(block)

    def _draft(self, index: int) -> Draft:
        """The current block, with the answers of an earlier store that are still valid."""
        if index not in self._drafts:
            draft = self._drafts[index] = Draft(self._manifest, index)
            if self._earlier is not None:
                self._earlier.fill(draft)
        return self._drafts[index]

    def _places(self, index: int, start_row: int, arrays: dict[str, Array]) -> npt.NDArray[np.int64]:
        """Check the arguments of ``put``, and return the places of its rows in the block."""
        manifest = self._manifest
        if not self._files:
            raise UsageError(f"The writer of {self.folder} is closed. Open another one to continue the store.")
        if set(arrays) != {f.name for f in manifest.fields}:
            names = ", ".join(f.name for f in manifest.fields)
            raise UsageError(f"The store {self.folder} keeps {names}, but got {', '.join(sorted(arrays))}.")
        count = len(arrays[manifest.fields[0].name])
        block = manifest.block(index)
        if start_row < 0 or not block.start <= start_row < start_row + count <= block.stop:
            raise UsageError(
                f"Rows {start_row}-{start_row + count - 1} are not within one block of {self.folder} "
                f"({manifest.block_rows} rows each, {manifest.rows} in all). Use the ranges that missing() returns."
            )
        places = np.arange(start_row - block.start, start_row - block.start + count)
        if manifest.blocks[index] is not None or self._known(index)[places].any():
            raise UsageError(f"{self.folder} already has row {start_row} or one of the {count} rows from there.")
        for field in manifest.fields:
            expected = (count, manifest.views, *field.shape)
            if arrays[field.name].shape != expected:
                raise UsageError(
                    f"Field {field.name!r} of {self.folder} at row {start_row} needs the shape {expected} (rows, "
                    f"views, payload), but got {arrays[field.name].shape}."
                )
        return places

    def _commit(self, index: int, draft: Draft) -> None:
        hashes = []
        for fd, field in zip(self._files, self._manifest.fields, strict=True):
            data = draft.arrays[field.name].reshape(-1).view(np.uint8).data
            offset = len(self._manifest.header(field)) + draft.start * self._manifest.row_bytes(field)
            with disk.explained(self.folder / field.file):
                disk.write_at(fd, offset, data)
                disk.sync(fd)
            hashes.append(xxhash.xxh3_128_hexdigest(data))
        following = self._manifest.commit(index, tuple(hashes))
        with disk.explained(self.folder / NAME):
            disk.write_whole(self.folder / NAME, following.to_bytes())
        self._manifest = following

    def _copy_known(self, earlier: Earlier) -> None:
        for index, block in enumerate(self._manifest.blocks):
            if block is None and earlier.known(self._manifest.block(index)).all():
                draft = Draft(self._manifest, index)
                earlier.fill(draft)
                self._commit(index, draft)

    def _release(self) -> None:
        while self._files:
            disk.close(self._files.pop())
        self._lock.release()


def _plan(key: Key, fields: Sequence[Field], rows: int, views: int, block_rows: int, hashes: bytes | None) -> Manifest:
    names = [f.name.casefold() for f in fields]
    if not fields or len(set(names)) < len(names):
        raise UsageError(f"A store needs one or more fields with different names, but got {names}.")
    if min(rows, views, block_rows) < 1:
        raise UsageError(f"A store needs rows, views and block_rows of at least 1; got {rows}, {views}, {block_rows}.")
    digest = None if hashes is None else xxhash.xxh3_128_hexdigest(hashes)
    return Manifest(key, tuple(fields), rows, views, block_rows, digest, (None,) * -(-rows // block_rows))


def _check_same(folder: Path, there: Manifest, wanted: Manifest) -> None:
    for name in ("fields", "rows", "views", "row_hashes"):
        old, new = getattr(there, name), getattr(wanted, name)
        if old != new and not (name == "row_hashes" and None in (old, new)):
            raise RejectedError(
                f"The store {folder} has an equal key but other {name}: {old} there, {new} wanted. Choose another "
                "folder, or delete this one to ask the teacher again."
            )
