"""A source whose rows are on disk: made once for a content and its settings, and opened after that."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from stillhouse import writing
from stillhouse.data.forms import Form
from stillhouse.data.on_disk.mapped import (
    ARRAY,
    COLUMNS,
    SPOOL,
    TEXTS,
    MappedTable,
    MappedTexts,
    alone_in,
    open_array,
    open_columns,
    write_array,
    write_columns,
)
from stillhouse.data.source import Held, PixelScale, Source
from stillhouse.errors import DamagedError
from stillhouse.files import add_files, cannot_write, write_json

CARD = "source.json"  # written last: if it exists, all other files are complete
_FORMAT = 3
_OWN = re.compile(r"[0-9a-f]{16}(\.part)?")
_FACTS = (
    "names", "kind", "name", "shape", "ignored", "identifiers", "header", "as_is", "column", "label_values", "pixels",
    "shown_types",
)  # fmt: skip


def store_rows(folder: Path, place: Path | None, settings: Mapping[str, Any], make: Callable[[Path], Source]) -> Source:
    """Return a source whose rows are in mapped files of the folder.

    They are made in a separate folder, which gets its name once it is complete: an interrupted run leaves nothing that
    counts, and a process that reads the files of another content can continue.

    Args:
        folder: for the mapped files of one run.
        place: the file or folder of the data; None: a named set.
        settings: how it is read.
        make: reads it; gets a folder for values that do not fit in memory.

    Raises:
        StoppedError: the disk is full.
    """
    key = xxhash.xxh3_64_hexdigest(repr((_FORMAT, _content(place), sorted(settings.items()))).encode())
    whole, draft = folder / key, folder / f"{key}.part"
    with alone_in(folder):
        if not (whole / CARD).exists():
            try:
                _clear_earlier(folder)
                _save(draft, make(draft))
                writing.rename(draft, whole)
            except OSError as error:
                raise cannot_write(draft, error) from error
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return _open(whole)


def _save(draft: Path, source: Source) -> None:
    """Write all parts of a source that are not in the folder yet."""
    raw, facts = source.raw, {name: getattr(source, name) for name in _FACTS}
    if isinstance(raw, np.ndarray) and raw.dtype == object:
        MappedTexts.write(draft / TEXTS, [raw.tolist()])
    elif isinstance(raw, np.ndarray) and not isinstance(raw, np.memmap):
        write_array(draft / ARRAY, raw.shape, raw.dtype, [raw])
    elif not isinstance(raw, np.ndarray | MappedTable | MappedTexts):
        write_columns(draft / COLUMNS, raw.columns, lambda name: raw[name].to_numpy())
    write_array(draft / "targets.npy", source.targets.shape, source.targets.dtype, [source.targets])
    if source.test is not None:
        write_array(draft / "test.npy", source.test.shape, np.int64, [source.test])
    kept = write_columns(draft / "kept", source.kept, lambda name: source.kept[name])
    writing.remove(draft / SPOOL)
    forms = {name: form.state() for name, form in source.forms.items()}
    columns = {"columns": list(getattr(raw, "columns", ())), "kept": list(kept.columns), "forms": forms}
    write_json(draft / CARD, facts | columns)


def _open(whole: Path) -> Source:
    try:
        card = json.loads((whole / CARD).read_bytes())
        facts = {name: _tuples(card[name]) for name in _FACTS}
        facts["pixels"] = None if facts["pixels"] is None else PixelScale(*map(_tuples, facts["pixels"]))
        facts["forms"] = {name: Form.from_state(form) for name, form in card["forms"].items()}
        kept = open_columns(whole / "kept", card["kept"])
        raw: Held
        if card["kind"] == "text":
            raw = MappedTexts.open(whole / TEXTS)
        elif card["kind"] == "table":
            raw = open_columns(whole / COLUMNS, card["columns"])
        else:
            raw = open_array(whole / ARRAY)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{whole} cannot be read ({error!r}). Delete it and run the same command again.") from None
    test = open_array(whole / "test.npy") if (whole / "test.npy").exists() else None
    targets, aside = np.array(open_array(whole / "targets.npy")), {name: kept.cells(name) for name in kept.columns}
    return Source(raw, targets, test=None if test is None else np.array(test), kept=aside, **facts)


def _content(place: Path | None) -> str:
    """Hash a file, or the files of a folder with their names."""
    digest = xxhash.xxh3_64()
    if place is not None:
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        add_files(digest, (path for path in files if path.is_file()), place)
    return digest.hexdigest()


def _clear_earlier(folder: Path) -> None:
    for path in folder.glob("*"):
        if _OWN.fullmatch(path.name):
            shutil.rmtree(path)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
