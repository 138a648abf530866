"""A tiny store whose every answer follows from its row and view, and processes that write it and die."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stillhouse.store import Field, Key, Store, Writer, hash_rows

ROWS, VIEWS, BLOCK = 10, 2, 4
FIELDS = (Field("logits", (3,), "float16"), Field("feature:a", (2, 2), "bfloat16"), Field("top", (), "int16"))
KEY = Key({"teacher": "t1", "rows": "r1", "codec": "dense:float16"})

Array = npt.NDArray[Any]


def inputs(rows: int = ROWS) -> Array:
    """What the teacher is shown: one number a row."""
    return np.arange(rows, dtype=np.float32)[:, None]


def answers(shown: Array, views: int = VIEWS) -> dict[str, Array]:
    """The teacher: exact in every format, different for each row and view."""
    row, view = shown.reshape(-1, 1), np.arange(views)
    base = row + view / 4
    return {
        "logits": base[..., None] + np.array([0.0, -1.0, 0.5]),
        "feature:a": np.broadcast_to(base[..., None, None] % 16 * 2, (*base.shape, 2, 2)).copy(),
        "top": (row * 3 + view).astype(np.int64),
    }


def label(folder: Path, shown: Array | None = None, key: Key = KEY, **more: Any) -> list[int]:
    """Write or continue the store; returns the rows that the teacher was asked."""
    shown = inputs() if shown is None else shown
    views = more.pop("views", VIEWS)
    more.setdefault("block_rows", BLOCK)
    asked: list[int] = []
    hashes = hash_rows(shown)
    with Writer(folder, key, FIELDS, rows=len(shown), views=views, row_hashes=hashes, **more) as writer:
        for rows in writer.missing():
            asked += rows
            writer.put(rows.start, answers(shown[rows.start : rows.stop], views))
    return asked


def whole(store: Store) -> dict[str, Array]:
    """Everything a store holds, ``(rows, views, ...)``."""
    rows, views = np.divmod(np.arange(store.rows * store.views), store.views)
    return {n: a.reshape(store.rows, store.views, *a.shape[1:]) for n, a in store.read(rows, views).items()}


def assert_answers(store: Store, shown: Array | None = None) -> None:
    """The store is complete and holds what the teacher says."""
    assert store.complete
    for name, expected in answers(inputs() if shown is None else shown, store.views).items():
        np.testing.assert_array_equal(whole(store)[name], expected)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a store but the lock, by name."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != "writer.lock"}


def start_child(work: Callable[[], object]) -> int:
    """Run something in a process of its own; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def end_of(child: int) -> int:
    """Wait for a child; returns its exit code, or the negative number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(work: Callable[[], object]) -> int:
    """Run something in a process of its own to its end."""
    return end_of(start_child(work))


def die() -> None:
    """End this process at once, as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)
