"""Reuse of an earlier store: which of its answers belong to rows of a new store, and how they are copied."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stillhouse.errors import RejectedError
from stillhouse.store.fields import Array
from stillhouse.store.keys import reason
from stillhouse.store.manifest import Manifest, read_manifest
from stillhouse.store.reader import Store
from stillhouse.store.shards import Damage, damaged, read_row_hashes, shard_damages


class Draft:
    """A block that is assembled from several row ranges; it is written only when it is complete."""

    def __init__(self, manifest: Manifest, index: int) -> None:
        rows = manifest.block(index)
        self.start = rows.start
        self.known = np.zeros(len(rows), bool)
        self.arrays = {f.name: np.empty((len(rows), manifest.views, *f.shape), f.stored) for f in manifest.fields}

    def fill(self, places: npt.NDArray[np.int64], arrays: dict[str, Array]) -> None:
        """Copy answers in stored form to some places of the block."""
        if len(places) == len(self.known):
            self.arrays = dict(arrays)
        else:
            for name, array in arrays.items():
                self.arrays[name][places] = array
        self.known[places] = True


def runs(flags: npt.NDArray[np.bool_], start: int, of: bool) -> list[range]:
    """Ranges of consecutive places whose flag is ``of``, counted from ``start``.

    >>> runs(np.array([True, False, False, True, False]), 10, of=False)
    [range(11, 13), range(14, 15)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags == of, [False]]).astype(np.int8))).tolist()
    return [range(start + a, start + b) for a, b in zip(edges[::2], edges[1::2], strict=True)]


class Earlier:
    """An earlier store whose key differs in the rows alone, and in parts that its answers do not depend on (``aside``).

    With one view, a row's answer follows its content, whatever the row's new number is. With several, a view depends on
    the row's number, so an answer is valid only for a row that kept both content and number.

    Raises:
        RejectedError: more than the rows differs, or the earlier store has no row hashes.
        DamagedError: its manifest or row hashes are damaged (damaged blocks are only not reused).
    """

    def __init__(
        self, folder: Path, wanted: Manifest, row_hashes: npt.NDArray[np.uint64] | None, aside: Collection[str] = ()
    ) -> None:
        old = read_manifest(folder)
        _refuse_other(folder, old, wanted, {"rows", *aside})
        hashes = read_row_hashes(folder, old)
        if isinstance(hashes, Damage):
            raise damaged(folder, hashes)
        if hashes is None or row_hashes is None:
            raise RejectedError(
                f"It is unknown which rows of {folder} are still valid, because row hashes are missing. Give "
                "`row_hashes` to both writers, or ask the teacher for all rows."
            )
        sound = _sound_rows(folder, old)
        self._source = _match(hashes, sound, row_hashes, by_content=wanted.views == 1)
        self._store = Store.open(folder) if sound.any() else None

    def known(self, rows: range) -> npt.NDArray[np.bool_]:
        """Which of the rows are still valid."""
        held: npt.NDArray[np.bool_] = self._source[rows.start : rows.stop] >= 0
        return held

    def fill(self, draft: Draft) -> None:
        """Copy answers that are still valid into a draft."""
        source = self._source[draft.start : draft.start + len(draft.known)]
        places = np.flatnonzero(source >= 0)
        if self._store is not None and len(places):
            draft.fill(places, self._store.raw(source[places]))


def _refuse_other(folder: Path, old: Manifest, wanted: Manifest, aside: Collection[str]) -> None:
    reasons = [reason(name) for name in old.key.differing(wanted.key) if name not in aside]
    reasons += [f"{name} differ" for name in ("fields", "views") if getattr(old, name) != getattr(wanted, name)]
    if reasons:
        raise RejectedError(
            f"No answer of the store {folder} can be reused: {', '.join(reasons)}. Reuse works only where nothing but "
            "rows changed; ask the teacher for all rows, in a new folder."
        )


def _sound_rows(folder: Path, old: Manifest) -> npt.NDArray[np.bool_]:
    """Which rows of the earlier store are committed and undamaged in every shard."""
    sound = np.array([block is not None for block in old.blocks])
    for field in old.fields if sound.any() else ():
        for damage in shard_damages(folder, old, field):
            sound[slice(None) if damage.block is None else damage.block] = False
    return np.repeat(sound, old.block_rows)[: old.rows]


def _match(
    old: npt.NDArray[np.uint64], sound: npt.NDArray[np.bool_], new: npt.NDArray[np.uint64], by_content: bool
) -> npt.NDArray[np.int64]:
    """For each new row the number of the old row with its answer, or -1."""
    if not by_content:
        common = min(len(old), len(new))
        kept = np.zeros(len(new), bool)
        kept[:common] = sound[:common] & (old[:common] == new[:common])
        return np.where(kept, np.arange(len(new)), -1)
    candidates = np.flatnonzero(sound)
    if not len(candidates):
        return np.full(len(new), -1)
    candidates = candidates[np.argsort(old[candidates], kind="stable")]
    places = np.searchsorted(old[candidates], new).clip(max=len(candidates) - 1)
    return np.where(old[candidates][places] == new, candidates[places], -1)
