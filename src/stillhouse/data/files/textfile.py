"""Lines of a text file: UTF-8, or UTF-16 and UTF-32 with a byte-order mark; plain, or packed with gzip."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from stillhouse.errors import RejectedError

_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
LONGEST_LINE = 1 << 24  # characters
_GZIP = b"\x1f\x8b"
_ESCAPED = re.compile("[\udc80-\udcff]")  # how Python marks bytes that are not UTF-8


@contextmanager
def open_text(path: Path, errors: str = "strict") -> Iterator[TextIO]:
    """Open a text file; its first bytes tell whether it is packed, and its encoding. Ends of lines stay as they are."""
    with path.open("rb") as file:
        plain = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if file.peek(2).startswith(_GZIP) else file
        buffered = io.BufferedReader(cast(io.RawIOBase, plain))
        start = buffered.peek(4)
        encoding = next((name for mark, name in _MARKS.items() if start.startswith(mark)), "utf-8-sig")
        with io.TextIOWrapper(buffered, encoding, errors, newline="") as text:
            yield text


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines and their numbers from 1; a line ends in LF, CR LF or CR.

    Raises:
        RejectedError: the file cannot be read, or holds bytes that are not text: names the line.
    """
    number = 0
    try:
        with open_text(path, "surrogateescape") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), ""), 1):
                if len(line) == LONGEST_LINE:
                    raise RejectedError(
                        f"{path}: line {number} (counted from 1) has {LONGEST_LINE:,} characters or more: this is no "
                        "table with a line for each row. Check the file, or its ends of lines."
                    )
                if not line.isascii() and _ESCAPED.search(line):
                    raise _not_text(path, number, line)
                if "\0" in line:
                    raise RejectedError(
                        f"{path}: line {number} (counted from 1) holds a NUL character, which no text can have. Save "
                        "the file as UTF-8 text and run again."
                    )
                yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise RejectedError(f"{path} cannot be read as a table: {error}. Fix the path or the file.") from None
    except UnicodeDecodeError as error:  # of UTF-16 and UTF-32
        raise RejectedError(
            f"{path}: after line {number} (counted from 1) there is no {error.encoding} text: {error.reason}. Save the "
            "file as UTF-8 and run again."
        ) from None


def _not_text(path: Path, number: int, line: str) -> RejectedError:
    try:
        line.encode("utf-8", "surrogateescape").decode()
    except UnicodeDecodeError as error:
        why = f"byte 0x{error.object[error.start]:02x}, {error.reason}"
    return RejectedError(
        f"{path}: line {number} (counted from 1) is not UTF-8 text: {why}. Save the file as UTF-8 and run again."
    )
