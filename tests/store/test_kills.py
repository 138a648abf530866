"""kill -9 at every write call and at 30 random moments: at most the block in hand is lost, and nothing differs."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillhouse.store import Field, Store, Writer, disk, repair, verify
from stillhouse.store.keys import Key
from tests.store import tiny


def kill_at(call: int, half: bool) -> None:
    """Let this process die before its ``call``-th write call, or in the middle of it where it writes bytes."""
    left = call

    def wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            nonlocal left
            if left == 0:
                if half and name == "write_at":
                    fd, offset, data = arguments
                    function(fd, offset, bytes(data)[: len(data) // 2])
                tiny.die()
            left -= 1
            return function(*arguments)

        return counted

    for name in disk.WRITES:
        setattr(disk, name, wrap(name, getattr(disk, name)))


def deaths(
    work: Callable[[Path], object], prepare: Callable[[Path], object], root: Path, halves: bool = True
) -> Iterator[Path]:
    """Folders left behind by a process killed at its 0th, 1st, ... write call, until one gets through."""
    for half in (False, True)[: 1 + halves]:
        for call in range(1000):
            folder = root / f"{call}{half}"
            prepare(folder)

            def job(folder: Path = folder, call: int = call, half: bool = half) -> None:
                kill_at(call, half)
                work(folder)

            status = tiny.in_child(job)
            assert status in (0, -signal.SIGKILL)
            yield folder
            if status == 0:
                assert call > 5
                break


def nothing(folder: Path) -> None:
    pass


@pytest.mark.slow
@pytest.mark.fault("B22", "kill -9 at any write of a store: the same command ends with the same bits", exit=137)
def test_killed_at_every_write_call_the_resumed_store_is_bit_identical(tmp_path: Path) -> None:
    tiny.label(tmp_path / "undisturbed")
    expected = tiny.contents(tmp_path / "undisturbed")
    for folder in deaths(tiny.label, nothing, tmp_path):
        assert_prefix(folder)
        tiny.label(folder)
        assert tiny.contents(folder) == expected
        assert verify(folder) == []


def assert_prefix(folder: Path) -> None:
    """What a reader sees of an unfinished store is right."""
    if not (folder / "manifest.json").exists():
        return
    store = Store.open(folder, tiny.KEY)
    rows = np.arange(store.rows_done)
    for name, values in store.read(rows, rows % 2).items() if len(rows) else ():
        np.testing.assert_array_equal(values, tiny.answers(tiny.inputs())[name][rows, rows % 2])


@pytest.mark.slow
def test_a_repair_killed_at_every_write_call_is_made_good_by_repairing_again(tmp_path: Path) -> None:
    def damage(folder: Path) -> None:
        tiny.label(folder)
        shard = folder / tiny.FIELDS[0].file
        data = bytearray(shard.read_bytes())
        data[140] ^= 1
        shard.write_bytes(data)
        (folder / tiny.FIELDS[2].file).unlink()

    tiny.label(tmp_path / "undisturbed")
    for folder in deaths(repair, damage, tmp_path):
        repair(folder)
        tiny.label(folder)
        assert tiny.contents(folder) == tiny.contents(tmp_path / "undisturbed")


@pytest.mark.slow
def test_reuse_killed_at_every_write_call_ends_with_the_same_store(tmp_path: Path) -> None:
    changed = tiny.inputs()
    changed[5] = 99
    tiny.label(tmp_path / "old")
    key = Key({**tiny.KEY.parts, "rows": "r2"})

    def renew(folder: Path) -> None:
        tiny.label(folder, changed, key, reuse=tmp_path / "old")

    renew(tmp_path / "undisturbed")
    for folder in deaths(renew, nothing, tmp_path, halves=False):
        renew(folder)
        assert tiny.contents(folder) == tiny.contents(tmp_path / "undisturbed")


def long_label(folder: Path, notes: int) -> None:
    """Label 60 blocks and tell of each one before it is put and after."""
    with Writer(folder, tiny.KEY, [Field("x", (50,), "float32")], rows=240, views=1, block_rows=4) as writer:
        for rows in writer.missing():
            values = np.random.default_rng(rows.start).normal(size=(4, 1, 50))
            os.write(notes, b"a")
            writer.put(rows.start, {"x": values})
            os.write(notes, b"k")


def labelled(folder: Path, asked: int | None = None, pause: float = 0.0) -> tuple[int, str]:
    """Label in a child, killed after it asked for so many blocks and a pause; returns its end and its notes."""
    reading, writing = os.pipe()
    child = tiny.start_child(lambda: long_label(folder, writing))
    os.close(writing)
    with os.fdopen(reading, "r") as notes:
        told = notes.read(2 * asked + 1) if asked else ""
        timer = threading.Timer(pause, os.kill, (child, signal.SIGKILL))
        if asked is not None:
            timer.start()
        told += notes.read()
    timer.cancel()
    return tiny.end_of(child), told


@pytest.mark.slow
def test_killed_at_30_random_moments_at_most_the_block_in_hand_is_asked_again(tmp_path: Path) -> None:
    started = time.monotonic()
    assert labelled(tmp_path / "undisturbed") == (0, 60 * "ak")
    one_block = (time.monotonic() - started) / 60
    expected, moments = tiny.contents(tmp_path / "undisturbed"), random.Random(0)
    kills = 0
    for attempt in range(300):
        folder = tmp_path / f"s{attempt}"
        end, first = labelled(folder, moments.randrange(40), moments.uniform(0, one_block))
        kills += end == -signal.SIGKILL
        end, again = labelled(folder)
        assert end == 0
        assert tiny.contents(folder) == expected
        assert 60 - first.count("a") <= again.count("a") <= 60 - first.count("k")
        if kills == 30:
            return
    raise AssertionError(f"only {kills} of 300 children were caught at work")
