"""``hashes.json``: the hash of each file beside it, by which a file that has changed is found before it is used.

Its first line seals all bytes after it. A file's new hash is written before the file gets its name, beside the hash of
the file that is there: a kill between the two leaves a file that is known. Each folder has its own, so that folders
can be written side by side, copied and removed.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path

import xxhash

from stillhouse import writing
from stillhouse.errors import DamagedError, UsageError

NAME = "hashes.json"
RUN = "run.json"
SEALED = 2  # the first version of the run folder that has hashes
_HEAD = '{"seal": "%s",'
_SCHEMA = 1
_READ = 1 << 20  # bytes at a time
_ALL = ("run.json", "recipe.toml", NAME)  # in a run folder: what tells whose the other files are
_PILOT = "pilot.json"  # in the folder of a pilot, which is cheap and has no command of its own

Known = dict[str, list[str]]  # by name, the hashes that a file may have; "<hash>@<size>" of its first bytes alone


def begin(folder: Path, *, afresh: bool = False) -> None:
    """Keep hashes of the files that are written into a folder from now on.

    Args:
        folder: is made where it is missing.
        afresh: forget the hashes that are there.

    Raises:
        StoppedError: the folder cannot be written.
    """
    with writing.explained(folder / NAME):
        folder.mkdir(parents=True, exist_ok=True)
    with writing.explained(folder / NAME), writing.alone_in(folder):
        if afresh or not (folder / NAME).exists():
            _write(folder, {})


def record(path: Path, digest: str) -> None:
    """Note the hash of a file that is about to get its name; nothing where the folder keeps none."""
    if path.name == NAME or not (path.parent / NAME).exists():
        return
    known = _read(path.parent)
    before = [one for one in known.get(path.name, []) if one != digest and path.exists() and _fits(path, one)]
    if known.get(path.name) != [digest, *before]:
        _write(path.parent, known | {path.name: [digest, *before]})


def record_start(path: Path) -> None:
    """Note the hash of what a file holds now, where more is written behind it later."""
    if not (path.parent / NAME).exists():
        return
    with writing.explained(path), writing.alone_in(path.parent):
        size = _synced(path)
        _write(path.parent, _read(path.parent) | {path.name: [f"{digest_of(path, size)}@{size}"]})


def remove(path: Path) -> None:
    """Delete a file and its hash."""
    if (path.parent / NAME).exists():
        with writing.explained(path), writing.alone_in(path.parent):
            known = _read(path.parent)
            if known.pop(path.name, None) is not None:
                _write(path.parent, known)
    with writing.explained(path):
        writing.remove(path)


def digest_of(path: Path, size: int | None = None) -> str:
    """The xxh3-128 of a file, or of its first ``size`` bytes."""
    digest, left = xxhash.xxh3_128(), size
    with path.open("rb") as file:
        while part := file.read(_READ if left is None else min(_READ, left)):
            digest.update(part)
            left = None if left is None else left - len(part)
    return digest.hexdigest()


def check(path: Path, *, ours: bool = True) -> None:
    """Refuse a file whose bytes are not those that were written; a file that is not there is not refused.

    Args:
        path: the file, about to be read.
        ours: whether this program wrote it: then its folder must keep its hash, unless it is of a run from before
            there were hashes.

    Raises:
        DamagedError: names the file, and what makes it again.
        UsageError: it may not be read.
    """
    if not path.exists():
        return
    if not (path.parent / NAME).exists():
        if ours and has_hashes(path):
            raise DamagedError(f"{path.parent / NAME} is missing, so {path.name} cannot be checked. {cure(path)}")
        return
    known = _read(path.parent)
    if path.name not in known:
        if ours:
            raise DamagedError(f"{path} is not among the files of {path.parent / NAME}. {cure(path)}")
        return
    if not any(_fits(path, one) for one in known[path.name]):
        raise DamagedError(
            f"{path} has changed since it was written: its hash is not that in {NAME}. It is not used. {cure(path)}"
        )


def keeps(path: Path) -> bool:
    """Whether a folder keeps the hash of a file; not where its hashes are damaged."""
    try:
        return (path.parent / NAME).exists() and path.name in _read(path.parent)
    except (DamagedError, UsageError):
        return False


def complete(folder: Path, deep: bool = False) -> bool:
    """Whether a folder keeps hashes, and each of their files is there; ``deep``: and so do all folders within."""
    places = [folder, *(Path(place) for place, _, names in os.walk(folder) if names and deep)]
    return all((place / NAME).exists() and all((place / name).exists() for name in _read(place)) for place in places)


def check_all(folder: Path) -> None:
    """Check every file of every folder within that keeps hashes; files that are missing are not refused.

    Raises:
        DamagedError: a file has changed.
    """
    for place, folders, names in os.walk(folder):
        folders.sort()
        if NAME in names:
            for name in _read(Path(place)):
                check(Path(place) / name)


def _synced(path: Path) -> int:
    """The size of a file whose bytes are on the disk now."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        writing.sync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def has_hashes(path: Path) -> bool:
    """Whether a file is in the folder of a run that keeps hashes."""
    record_of = next((parent / RUN for parent in path.parents[:5] if (parent / RUN).exists()), None)
    if record_of is None:
        return False
    try:
        return int(json.loads(record_of.read_bytes())["version"]) >= SEALED
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False  # whoever reads that file says what is wrong with it


def cure(path: Path) -> str:
    """What makes a file of a run again."""
    kept = (path.parent / NAME).exists()
    if path.parent.name == "export":
        return f"Delete {path}, and export again."
    top = path.name == RUN or (path.parent / RUN).exists()  # the run folder itself
    if top and path.name in _ALL and (path.parent / _PILOT).exists():
        return f"Delete the folder {path.parent}, then run the same command again: it is made again."
    if not top and not kept:
        return "Run the same command as for the run again: the files of that folder are made again."
    if top and (path.name in _ALL or not kept):
        return (
            "Restore it from a copy. Or run the same command as for the run again with another `--output.dir`, or with "
            "`--overwrite`, which keeps the teacher's answers and makes the rest again (in Python `overwrite=True`)."
        )
    return f"Delete {path}, then run the same command as for the run again: it is made again."


def cannot_read(path: Path, error: OSError) -> UsageError | DamagedError:
    """The one error for a file that is there and cannot be read."""
    if error.errno == errno.ENOENT:
        return DamagedError(f"{path} is missing. Run the same command as for the run again: it is made again.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return UsageError(f"{path} may not be read ({error.strerror}). Allow it: `chmod u+r {path}`.")
    return DamagedError(f"{path} cannot be read ({error.strerror or error}). {cure(path)}")


def _fits(path: Path, wanted: str) -> bool:
    digest, _, size = wanted.partition("@")
    try:
        return digest_of(path, int(size) if size else None) == digest
    except OSError as error:
        raise cannot_read(path, error) from error


def _read(folder: Path) -> Known:
    """The hashes of a folder.

    Raises:
        DamagedError: they are not those that were written.
    """
    path = folder / NAME
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise cannot_read(path, error) from error
    if head != (_HEAD % xxhash.xxh3_128_hexdigest(body)).encode():
        raise DamagedError(f"{path} has changed since it was written: it does not fit its own seal. {cure(path)}")
    table = json.loads(b"{" + body)
    if table["schema"] != _SCHEMA:
        raise DamagedError(f"{path} has schema {table['schema']!r}, this Stillhouse reads {_SCHEMA}. {cure(path)}")
    known: Known = table["files"]
    return known


def _write(folder: Path, known: Mapping[str, list[str]]) -> None:
    """Replace the hashes of a folder at once; the caller is alone in it."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known))
    body = f'"schema": {_SCHEMA},\n"files": {{\n{lines}\n}}}}\n'.encode()
    head = (_HEAD % xxhash.xxh3_128_hexdigest(body)).encode()
    with writing.temporary(folder / NAME) as (draft, descriptor):
        writing.write_all(descriptor, head + b"\n" + body)
        writing.sync(descriptor)
        writing.rename(draft, folder / NAME)
    writing.sync_folder(folder)
