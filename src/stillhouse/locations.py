"""Paths and addresses of others that name no place: they are refused before anything is read or written."""

from __future__ import annotations

import os
import re
from pathlib import Path

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # what a path keeps of the head of an address; not a drive's letter
_BUCKET = re.compile(r"s3://([A-Za-z0-9][A-Za-z0-9._-]{1,254})/([^\x00-\x20?#\x7f]+?)/*")
NAME_BYTES, PATH_BYTES = 255, 4095  # at most, on the usual file systems


def no_place(path: Path) -> str:
    """Why a path can be that of no file and no folder; empty where it can.

    >>> no_place(Path("gs://bucket/a")), no_place(Path("rows.csv"))
    ('it is an address, and a path is needed', '')
    """
    if path.parts and _SCHEME.fullmatch(path.parts[0]):
        return "it is an address, and a path is needed"
    try:
        parts, whole = list(map(os.fsencode, path.parts)), os.fsencode(path)
    except UnicodeEncodeError:
        return "it holds a character that no file system takes"
    if b"\0" in whole:
        return "no file has a NUL in its name"
    if len(whole) > PATH_BYTES or any(len(part) > NAME_BYTES for part in parts):
        return f"no file has so long a name: {NAME_BYTES} bytes are the most, {PATH_BYTES} with all its folders"
    return ""


def bucket_of(address: str) -> tuple[str, str]:
    """Bucket and prefix of ``s3://bucket/prefix``.

    >>> bucket_of("s3://answers/mine/")
    ('answers', 'mine')

    Raises:
        ValueError: it is no such address.
    """
    found = _BUCKET.fullmatch(address)
    if found is None or {".", "..", ""} & set(found[2].split("/")):
        raise ValueError("it names no bucket and prefix. Write `s3://BUCKET/PREFIX`")
    return found[1], found[2]
