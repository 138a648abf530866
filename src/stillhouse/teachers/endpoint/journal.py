"""An append-only file of paid answers: an answer that was paid for survives any kill.

One JSON object for each line, ``{"key": ..., "of": ..., ..., "check": ...}``; the check is the hash of the line
without it. Each line is fsynced before ``append`` returns. A last line that a kill or a power cut left incomplete is
removed when the file is opened; a line that has changed is an error. Questions are kept only as hashes, and only the
owner can read the file: answers may repeat private text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import xxhash
from filelock import FileLock

from stillhouse import writing
from stillhouse.errors import DamagedError, StoppedError, UsageError
from stillhouse.files import cannot_write

Record: TypeAlias = Mapping[str, Any]
CHECK = "check"  # the last key of a line: the hash of the line without it
_ENDING = re.compile(rb', "check": "([0-9a-f]{16})"\}\n$')


class Journal:
    """The answers so far, in memory and on disk.

    Args:
        path: of the file; created when the first session starts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: dict[str, list[Record]] = {}
        self._of: dict[str, list[Record]] = {}
        self._end = 0  # bytes of the file that are in memory
        self._lines = 0
        self._file: int | None = None

    def records(self, key: str) -> list[Record]:
        """The answers to one question, in the order of arrival."""
        return self._records.get(key, [])

    def of(self, asker: str) -> list[Record]:
        """All paid answers of one teacher, for every question."""
        return self._of.get(asker, [])

    @contextmanager
    def session(self) -> Iterator[None]:
        """Read what other runs have added, and lock the file while writing.

        If another run has a session, wait for it: it is asking, and its answers need not be paid for again.

        Raises:
            DamagedError: a line that is not the last is not a record.
            UsageError: the place cannot be written.
        """
        with ExitStack() as stack:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(self.path.with_name(f"{self.path.name}.lock")))
                stack.callback(self._close)
                self._open()
            except (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError) as error:
                raise UsageError(
                    f"The journal {self.path} cannot be written ({error.strerror}). Choose another place for the "
                    "answers of the service, or change its permissions."
                ) from error
            yield

    def append(self, key: str, of: str, record: Record) -> None:
        """Add an answer; it is on the disk when this returns.

        Raises:
            StoppedError: the disk is full; all lines written before are complete.
        """
        if self._file is None:
            raise RuntimeError("append needs a session")
        text = json.dumps({"key": key, "of": of, **record}, ensure_ascii=True, allow_nan=False)
        line = f'{text[:-1]}, "{CHECK}": "{_hash(text.encode())}"}}\n'.encode()
        try:
            writing.write_all(self._file, line)
            writing.sync(self._file)
        except OSError as error:
            self._cut(self._end)  # else the next answer would follow half of this one
            raise cannot_write(self.path, error) from error
        self._end += len(line)
        self._keep(json.loads(text))  # in the form that a later run reads: JSON turns tuples into lists

    def _open(self) -> None:
        new = not self.path.exists()
        self._file = writing.open_to_append(self.path, 0o600)
        if new:
            writing.sync_folder(self.path.parent)
        if os.fstat(self._file).st_size < self._end:  # another file has replaced it
            self._records, self._of, self._end, self._lines = {}, {}, 0, 0
        self._read()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _read(self) -> None:
        """Read the lines behind ``_end``; remove an incomplete last one."""
        with self.path.open("rb") as file:
            file.seek(self._end)
            rest = file.read()
        lines = rest.splitlines(keepends=True)
        for position, line in enumerate(lines):
            record = _record(line)
            if record is not None:
                self._end += len(line)
                self._keep(record)
            elif position == len(lines) - 1 and _ENDING.search(line) is None:
                self._cut(self._end)
            else:
                raise DamagedError(
                    f"Line {self._lines + 1} of the journal {self.path} is not an answer that this program wrote. "
                    "Delete that line; its question is then asked again."
                )

    def _keep(self, record: Record) -> None:
        self._lines += 1
        self._records.setdefault(record["key"], []).append(record)
        self._of.setdefault(record["of"], []).append(record)

    def _cut(self, size: int) -> None:
        if self._file is None:
            return
        try:
            writing.truncate(self._file, size)
            writing.sync(self._file)
        except OSError as error:
            raise StoppedError(
                f"The incomplete last line of {self.path} cannot be removed ({error.strerror}). Fix the disk, then run "
                "the same command again; all complete answers are kept."
            ) from error


def _hash(text: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(text)


def _record(line: bytes) -> dict[str, Any] | None:
    """A line as a record, or None where it is not a record."""
    if not line.endswith(b"\n"):
        return None
    if (ending := _ENDING.search(line)) is not None:
        line, wanted = line[: ending.start()] + b"}", ending[1].decode()
        if _hash(line) != wanted:
            return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(record, dict) and isinstance(record.get("key"), str) and isinstance(record.get("of"), str)
    return record if known else None
