"""Reading a store: batches gathered from memory-mapped shards; each block's hash is checked on first use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from stillhouse.errors import RejectedError, UsageError
from stillhouse.store.fields import Array, Field, widen
from stillhouse.store.keys import Key
from stillhouse.store.manifest import Manifest, check_key, in_parts, read_manifest
from stillhouse.store.places import Folder
from stillhouse.store.shards import Damage, Shard, block_damage, cut_short, damaged, map_shard


class Store:
    """The committed answers of a teacher, read by (row, view).

    Opening maps the shards and reads none of them; several processes may read while one writes. Use ``Store.open``.
    """

    def __init__(self, folder: Path, manifest: Manifest, shards: list[Shard], verify: bool) -> None:
        self.folder = folder
        self._manifest = manifest
        self._shards = shards
        self._payloads = [(f.name, f, s.numbers(f)) for f, s in zip(manifest.fields, shards, strict=False)]
        self._shape = (manifest.rows, manifest.views)
        self._verify = verify
        self._trusted = np.zeros(len(manifest.blocks), bool)
        self._all_trusted = False

    @classmethod
    def open(cls, folder: Path | str, key: Key | None = None, verify: bool = True) -> Store:
        """Open a store, complete or not.

        Args:
            folder: where it is.
            key: the key that it must have; None accepts any.
            verify: check each block's hash on first use.

        Raises:
            DamagedError: manifest or shards are damaged; names the shard and the fault.
            RejectedError: no store, another key (with the reasons), a newer format, or a symbolic link.
        """
        from stillhouse.store.part_reading import open_parts

        folder = Path(folder)
        if in_parts(folder):
            return open_parts(Folder(folder), key, verify)
        manifest = read_manifest(folder)
        if key is not None:
            check_key(folder, manifest.key, key)
        shards = []
        for field in manifest.fields if any(manifest.blocks) else ():
            mapped = map_shard(folder, manifest, field)
            if isinstance(mapped, Damage):
                raise damaged(folder, mapped)
            shards.append(mapped)
        return cls(folder, manifest, shards, verify)

    @property
    def fields(self) -> tuple[Field, ...]:
        """Kept for each (row, view)."""
        return self._manifest.fields

    @property
    def rows(self) -> int:
        """Number of rows, committed or not."""
        return self._manifest.rows

    @property
    def views(self) -> int:
        """Number of views of each row."""
        return self._manifest.views

    @property
    def key(self) -> Key:
        """The key of the answers."""
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
        """Length of the committed prefix: every row below it can be read."""
        blocks = self._manifest.blocks
        return self.rows if self.complete else self._manifest.block(blocks.index(None)).start

    def read(self, rows: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> dict[str, Array]:
        """Gather the answers to a batch.

        Args:
            rows: int64 ``(B,)``, row numbers in any order, repeats allowed.
            views: int64 ``(B,)``, the view of each row.

        Returns:
            For each field ``(B, *shape)``: float16 and bfloat16 as float32, other types as stored.

        Raises:
            UsageError: a row or view outside the store.
            RejectedError: a row that is not committed yet.
            DamagedError: a block whose bytes do not match its hash.
        """
        try:
            flat = np.ravel_multi_index((rows, views), self._shape)
        except ValueError:
            raise self._outside(rows, views) from None
        self.trust(rows)
        return {name: widen(field, payload.take(flat, 0)) for name, field, payload in self._payloads}

    def raw(self, rows: npt.NDArray[np.int64]) -> dict[str, Array]:
        """The stored form of all views of some rows, ``(n, views, *shape)`` for each field, without widening."""
        self.trust(rows)
        return {name: p.reshape(*self._shape, *field.shape).take(rows, 0) for name, field, p in self._payloads}

    def trust(self, rows: npt.NDArray[np.int64]) -> None:
        """Check the blocks of some rows, each on first use; raises as ``read``."""
        self._refuse_cut()
        if not self._all_trusted:
            self._trust(np.unique(rows // self._manifest.block_rows))

    def _outside(self, rows: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> UsageError:
        return UsageError(
            f"The store {self.folder} has rows 0-{self.rows - 1} and views 0-{self.views - 1}, but training asks "
            f"for rows {rows.min()}-{rows.max()} and views {views.min()}-{views.max()}. Label these data first."
        )

    def _refuse_cut(self) -> None:
        """Refuse shards that were cut short after they were mapped: reading behind the end would end the process.

        Raises:
            DamagedError: names the shard.
        """
        for field, shard in zip(self.fields, self._shards, strict=False):
            if damage := cut_short(field.file, shard.mapped.size(), len(shard.mapped)):
                raise damaged(self.folder, damage)

    def _trust(self, blocks: npt.NDArray[np.int64]) -> None:
        for index in blocks[~self._trusted[blocks]].tolist():
            block = self._manifest.block(index)
            if self._manifest.blocks[index] is None:
                raise RejectedError(
                    f"Rows {block.start}-{block.stop - 1} of the store {self.folder} are not labelled yet "
                    f"({self.rows_done} of {self.rows} are). Run the same labelling command again to complete it."
                )
            for field, shard in zip(self.fields, self._shards, strict=True) if self._verify else ():
                damage = block_damage(self._manifest, field, shard.block(block), index)
                if damage is not None:
                    raise damaged(self.folder, damage)
            self._trusted[index] = True
        self._all_trusted = bool(self._trusted.all())
