"""Maintenance of stores: compare two, list a folder, check every bit, repair, and delete unused ones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from stillhouse.errors import DamagedError, RejectedError, StillhouseError
from stillhouse.store import disk, part_care
from stillhouse.store.buckets import folder_of, is_bucket, place_of
from stillhouse.store.fields import Field
from stillhouse.store.manifest import COPY, NAME, PLAN, Manifest, in_parts, read_manifest
from stillhouse.store.part_reading import read_store
from stillhouse.store.part_writing import missing
from stillhouse.store.parts import Plan
from stillhouse.store.places import Folder
from stillhouse.store.shards import (
    ROW_HASHES,
    Damage,
    damaged,
    make_shard,
    map_shard,
    read_row_hashes,
    restore_shape,
    shard_damages,
)

SUPERSEDED = ".superseded-"


class Listing(NamedTuple):
    """What ``ls`` shows of one store."""

    folder: Path
    digest: str  # of the key; "" where the manifest cannot be read
    fields: tuple[Field, ...]
    rows: int
    rows_done: int  # committed rows, anywhere in the store
    views: int
    nbytes: int
    problem: str  # "" where manifest and shards have the right form (``verify`` reads every bit)

    @property
    def complete(self) -> bool:
        """Whether every row is committed."""
        return not self.problem and self.rows == self.rows_done


def why(a: Path | str, b: Path | str) -> list[str]:
    """Plain reasons why two stores do not hold the same answers; empty when they do.

    Raises:
        RejectedError: one of them is not a store.
        DamagedError: a manifest is damaged.
    """
    one, two = described(Path(a)), described(Path(b))
    differ = {
        "the kept fields differ": one.fields != two.fields,
        "the number of rows differs": one.rows != two.rows,
        "the number of views differs": one.views != two.views,
    }
    return one.key.why(two.key) + [reason for reason, holds in differ.items() if holds]


def described(folder: Path) -> Manifest | Plan:
    """Key, fields and sizes of a store of either version."""
    return read_store(Folder(folder))[0] if in_parts(folder) else read_manifest(folder)


def ls(root: Path | str) -> list[Listing]:
    """List the stores in a folder and below it, sorted by path; nothing is changed and no block is read."""
    folders = {path.parent for name in (NAME, PLAN) for path in Path(root).rglob(name)}
    return [_listing(folder) for folder in sorted(folders) if not folder.is_symlink()]


def _listing(folder: Path) -> Listing:
    try:
        if in_parts(folder):
            return _listing_of_parts(folder)
        manifest = read_manifest(folder)
    except StillhouseError as error:
        return Listing(folder, "", (), 0, 0, 0, 0, str(error))
    done = [len(manifest.block(i)) for i, block in enumerate(manifest.blocks) if block is not None]
    states = [map_shard(folder, manifest, f) for f in manifest.fields] if done else []
    problem = "; ".join(str(s) for s in states if isinstance(s, Damage))
    nbytes = sum(manifest.shard_bytes(f) for f in manifest.fields)
    return Listing(
        folder, manifest.key.digest, manifest.fields, manifest.rows, sum(done), manifest.views, nbytes, problem
    )


def _listing_of_parts(folder: Path) -> Listing:
    plan = read_store(Folder(folder))[0]
    left = sum(len(plan.part(number)) for number in missing(Folder(folder), plan))
    return Listing(folder, plan.key.digest, plan.fields, plan.rows, plan.rows - left, plan.views, plan.nbytes, "")


def verify(folder: Path | str) -> list[Damage]:
    """Check every bit of a store: manifest, its copy, headers, sizes, every committed block, and foreign files.

    Returns:
        The faults; an empty list for an intact store. Blocks that are not committed yet are not a fault.

    Raises:
        RejectedError: there is no store, a newer Stillhouse wrote it, or a file is a symbolic link.
    """
    if is_bucket(folder):
        return part_care.verify(place_of(folder))
    folder = folder_of(folder)
    if in_parts(folder):
        return part_care.verify(Folder(folder))
    try:
        manifest = read_manifest(folder)
    except DamagedError:
        return [Damage(NAME, None, "its bytes do not match its own checksum")]
    found: list[Damage] = []
    if any(manifest.blocks):  # before the first block is committed the shards may still be incomplete
        found += [d for field in manifest.fields for d in shard_damages(folder, manifest, field)]
        hashes = read_row_hashes(folder, manifest)
        found += [hashes] if isinstance(hashes, Damage) else []
    if manifest.complete and (folder / COPY).exists() and disk.read_whole(folder / COPY) != manifest.to_bytes():
        found.append(Damage(COPY, None, "it is not the copy of the manifest"))
    own = _own_files(manifest)
    strangers = sorted(p.name for p in folder.iterdir() if p.name not in own)
    return found + [Damage(name, None, "foreign: not a file of this store") for name in strangers]


def check_stores(root: Path | str) -> None:
    """Refuse damaged stores anywhere in a folder; every bit is read.

    Raises:
        DamagedError: the first fault that was found.
    """
    for copy in Path(root).rglob(COPY):
        if not (copy.parent / NAME).exists():
            raise damaged(copy.parent, Damage(NAME, None, "the file is missing"))
    for store in ls(root):
        for fault in verify(store.folder):
            if not fault.what.startswith("foreign: not a file"):
                raise damaged(store.folder, fault)


def unanswered(run: Path) -> set[str]:
    """The stores of a run folder that are not complete, by name: they were not finished, or were repaired."""
    found = [one for one in ls(run) if one.folder.parent == run]
    return {one.folder.name for one in found if one.rows_done < one.rows or not (one.folder / NAME).exists()}


def _own_files(manifest: Manifest) -> list[str]:
    """All names a store's folder may hold, the manifest last: the order in which ``gc`` deletes."""
    small = [ROW_HASHES, COPY, NAME]
    return [*(f.file for f in manifest.fields), *(f"{n}.tmp" for n in small), disk.LOCK, *small]


def repair(folder: Path | str, wait: float = 0.0) -> list[Damage]:
    """Mark damaged blocks as missing, so that the next labelling run asks only for those.

    A damaged or missing manifest is restored from its copy. A damaged or missing shard gets its size and header back,
    and keeps its intact blocks. Foreign files stay where they are. ``wait`` is in seconds, for a writer to end.

    Returns:
        The faults that were found.

    Raises:
        DamagedError: the manifest is damaged and its copy is missing or damaged too.
        RejectedError: there is no store, or another process is writing it.
    """
    if is_bucket(folder):
        return part_care.repair(place_of(folder))
    folder = folder_of(folder)
    if in_parts(folder):
        return part_care.repair(Folder(folder))
    with disk.explained(folder):
        disk.refuse_link(folder)
        held = disk.lock(folder, wait)
    try:
        manifest, found = _restored_manifest(folder)
        for field in manifest.fields if any(manifest.blocks) else ():
            shape = _repair_shape(folder, manifest, field)
            found += [shape] if shape else []
        found += verify(folder)
        _forget_blocks(folder, manifest, found)
    finally:
        held.release()
    return found


def _restored_manifest(folder: Path) -> tuple[Manifest, list[Damage]]:
    try:
        return read_manifest(folder), []
    except (DamagedError, RejectedError) as error:
        if isinstance(error, RejectedError) and ((folder / NAME).exists() or not (folder / COPY).exists()):
            raise
        try:
            manifest = read_manifest(folder, COPY)
        except (RejectedError, DamagedError):
            raise DamagedError(
                f"{error} There is no intact copy here, so it is unknown which blocks are right: delete {folder} and "
                "label again."
            ) from None
        with disk.explained(folder / NAME):
            disk.write_whole(folder / NAME, manifest.to_bytes())
        return manifest, [Damage(NAME, None, "it was restored from its copy")]


def _repair_shape(folder: Path, manifest: Manifest, field: Field) -> Damage | None:
    """Restore the size and header of a shard, and return their faults."""
    path, state = folder / field.file, map_shard(folder, manifest, field)
    if not isinstance(state, Damage):
        return None
    with disk.explained(path):
        try:
            fd = disk.open_to_write(path)
        except FileNotFoundError:
            fd = make_shard(path, manifest, field)
        else:
            restore_shape(fd, manifest, field)
        disk.close(fd)
        disk.sync_folder(folder)
    return state


def _forget_blocks(folder: Path, manifest: Manifest, found: list[Damage]) -> None:
    wrong = {d.block for d in found if d.block is not None}
    for index in wrong:
        manifest = manifest.commit(index, None)
    if lost := any(d.shard == ROW_HASHES for d in found):  # later data then share no rows with this store
        manifest = replace(manifest, row_hashes=None)
    with disk.explained(folder / NAME):
        if lost:
            disk.remove(folder / ROW_HASHES)
        if wrong or lost:
            disk.write_whole(folder / NAME, manifest.to_bytes())
            disk.remove(folder / COPY)
        elif any(d.shard == COPY for d in found):
            disk.write_whole(folder / COPY, manifest.to_bytes())


def supersede(folder: Path | str, wait: float = 0.0) -> Path:
    """Rename a store, so that a new one can take its place and reuse its rows (``Writer(..., reuse=...)``).

    Returns:
        The new path: the same name with ``.superseded-`` and the first digits of its key. ``gc`` deletes it.
    """
    folder = folder_of(folder)
    aside = folder.with_name(f"{folder.name}{SUPERSEDED}{described(folder).key.digest[:8]}")
    if in_parts(folder):  # nobody holds it: a writer that is still at work ends with an error
        with disk.explained(aside):
            disk.move(folder, aside)
            disk.sync_folder(folder.parent)
        return aside
    with disk.explained(aside):
        held = disk.lock(folder, wait)
        try:
            disk.move(folder, aside)
            disk.sync_folder(folder.parent)
        finally:
            held.release()
    return aside


def gc(root: Path | str, keep: Collection[str] | None = None) -> list[Path]:
    """Delete files that no run needs: superseded stores, incomplete temporary files and, if asked, stores by key.

    Args:
        root: all stores in and below this folder are examined.
        keep: digests of the keys in use; stores with other keys are deleted. None: only superseded stores are.

    Returns:
        The deleted files and folders. A store that another process is writing stays, and so does every file that
        belongs to no store.
    """
    gone: list[Path] = []
    for listing in ls(root):
        if not listing.digest:
            continue
        unused = keep is not None and listing.digest not in keep
        clear = part_care.clear if in_parts(listing.folder) else _clear
        gone += clear(listing.folder, unused or SUPERSEDED in listing.folder.name)
    return gone


def _clear(folder: Path, whole: bool) -> list[Path]:
    try:
        with disk.explained(folder):
            held = disk.lock(folder, 0.0)
    except RejectedError:
        return []
    try:
        names = _own_files(read_manifest(folder))
        doomed = [folder / n for n in names if whole or n.endswith(".tmp")]
        deleted = [p for p in doomed if p.exists()]
        with disk.explained(folder):
            for path in deleted:
                disk.remove(path)
    finally:
        held.release()
    if not whole:
        return deleted
    disk.remove_folder(folder)
    return [folder]
