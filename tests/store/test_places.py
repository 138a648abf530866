"""Full disks, read-only folders, file modes, links, foreign files, and other processes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from stillhouse.errors import RejectedError, StoppedError, UsageError
from stillhouse.store import Store, Writer, gc, repair, verify
from tests.store import tiny

ROOT = Path(__file__).parents[2]


def with_mounts(script: str, *arguments: Path) -> str:
    """Run Python in a process that may mount; skip where the system does not allow it."""
    for flags in ("-m", "-Urm"):
        if subprocess.run(["unshare", flags, "true"], capture_output=True, check=False).returncode == 0:
            break
    else:
        pytest.skip("no namespaces for mounts here")
    command = ["unshare", flags, sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_disk_that_is_too_small_is_found_before_the_teacher_is_asked(tmp_path: Path) -> None:
    said = with_mounts(
        """
        import subprocess, sys
        from pathlib import Path
        from stillhouse.errors import StoppedError
        from stillhouse.store import Field, Writer
        from tests.store import tiny
        place = Path(sys.argv[1])
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
        try:
            Writer(place / "s", tiny.KEY, [Field("logits", (1000,), "float32")], rows=100, views=1)
        except StoppedError as error:
            print(error)
        """,
        tmp_path,
    )
    assert "no space left" in said
    assert "logits.npy" in said


def test_a_disk_that_fills_up_loses_only_the_block_in_hand(tmp_path: Path) -> None:
    said = with_mounts(
        """
        import subprocess, sys
        from pathlib import Path
        from stillhouse.errors import StoppedError
        from stillhouse.store import Store, Writer
        from tests.store import tiny
        place = Path(sys.argv[1])
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", place], check=True)
        writer = Writer(place / "s", tiny.KEY, tiny.FIELDS, rows=10, views=2, block_rows=4)
        writer.put(0, tiny.answers(tiny.inputs()[:4]))
        try:
            with open(place / "filler", "wb", buffering=0) as filler:
                while filler.write(bytes(4096)): pass
        except OSError:
            pass
        try:
            writer.put(4, tiny.answers(tiny.inputs()[4:8]))
        except StoppedError as error:
            print(error)
        try:
            writer.put(4, tiny.answers(tiny.inputs()[4:8]))
        except StoppedError as error:
            print("still full")
        print("rows", Store.open(place / "s").rows_done)
        (place / "filler").unlink()
        for rows in writer.missing():
            print(rows)
            writer.put(rows.start, tiny.answers(tiny.inputs()[rows.start : rows.stop]))
        tiny.assert_answers(writer.close())
        """,
        tmp_path,
    )
    assert "manifest.json" in said
    assert said.splitlines()[1:] == ["still full", "rows 4", "range(4, 8)", "range(8, 10)"]


def test_a_limit_on_file_sizes_ends_in_the_same_error(tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
        with pytest.raises(StoppedError, match="no space left"):
            tiny.label(tmp_path / "s", tiny.inputs(200))

    assert tiny.in_child(limited) == 0
    tiny.label(tmp_path / "s", tiny.inputs(200))
    tiny.assert_answers(Store.open(tmp_path / "s"), tiny.inputs(200))


def test_a_read_only_folder_is_read_but_not_written(tmp_path: Path) -> None:
    tiny.label(tmp_path / "s")
    said = with_mounts(
        """
        import subprocess, sys
        from pathlib import Path
        from stillhouse.errors import UsageError
        from stillhouse.store import Store, repair, verify
        from tests.store import tiny
        place = Path(sys.argv[1])
        subprocess.run(["mount", "--bind", place, place], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        for work in (lambda: tiny.label(place / "s"), lambda: tiny.label(place / "new"), lambda: repair(place / "s")):
            try:
                work()
            except UsageError as error:
                print(error)
        tiny.assert_answers(Store.open(place / "s"))
        print(verify(place / "s"))
        """,
        tmp_path,
    )
    assert said.count("cannot be written (Read-only file system). Choose another folder") == 3
    assert said.splitlines()[-1] == "[]"


def test_a_path_below_a_file_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "s"):
        with pytest.raises(UsageError, match="Choose another folder"):
            tiny.label(folder)


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o077, 0o600, 0o700), (0o002, 0o664, 0o775)])
def test_modes_follow_the_umask(tmp_path: Path, mask: int, file: int, folder: int) -> None:
    def masked() -> None:
        os.umask(mask)
        tiny.label(tmp_path / "a" / "s")

    assert tiny.in_child(masked) == 0
    assert {(tmp_path / d).stat().st_mode & 0o777 for d in ("a", "a/s")} == {folder}
    files = [p for p in (tmp_path / "a/s").iterdir() if p.name != "writer.lock"]
    assert {p.stat().st_mode & 0o777 for p in files} == {file}


@pytest.mark.parametrize("name", ["manifest.json", "logits.npy", "manifest.json.tmp", "writer.lock"])
def test_a_link_in_the_store_is_not_followed(tmp_path: Path, name: str) -> None:
    with Writer(tmp_path / "s", tiny.KEY, tiny.FIELDS, rows=10, views=2, block_rows=4) as writer:
        writer.put(0, tiny.answers(tiny.inputs()[:4]))
    target = tmp_path / "victim"
    path = tmp_path / "s" / name
    if path.exists():
        path.rename(target)
    else:
        target.write_text("precious")
    path.symlink_to(target)
    before = target.read_bytes()
    with pytest.raises(RejectedError, match="symbolic link"):
        tiny.label(tmp_path / "s")
    assert target.read_bytes() == before
    if name in ("manifest.json", "logits.npy"):
        with pytest.raises(RejectedError, match="symbolic link"):
            Store.open(tmp_path / "s")


def test_a_store_that_is_itself_a_link_is_refused(tmp_path: Path) -> None:
    tiny.label(tmp_path / "real")
    (tmp_path / "s").symlink_to(tmp_path / "real")
    for use in (Store.open, tiny.label, verify, repair):
        with pytest.raises(RejectedError, match="symbolic link"):
            use(tmp_path / "s")
    assert gc(tmp_path, keep=[tiny.KEY.digest]) == []


def test_a_folder_with_other_files_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "logits.npy").write_bytes(b"mine")
    with pytest.raises(RejectedError, match=r"logits\.npy"):
        tiny.label(tmp_path)
    assert (tmp_path / "logits.npy").read_bytes() == b"mine"


def test_a_second_writer_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    with Writer(tmp_path / "s", tiny.KEY, tiny.FIELDS, rows=10, views=2) as first:
        for use in (tiny.label, repair):
            with pytest.raises(RejectedError, match="Another process is writing"):
                use(tmp_path / "s")
        first.put(0, tiny.answers(tiny.inputs()))
    tiny.assert_answers(Store.open(tmp_path / "s"))


def test_a_second_writer_that_waits_asks_for_nothing_again(tmp_path: Path) -> None:
    ready, told = os.pipe()
    go, let = os.pipe()

    def first() -> None:
        with Writer(tmp_path / "s", tiny.KEY, tiny.FIELDS, rows=10, views=2) as writer:
            os.write(told, b"x")
            os.read(go, 1)
            writer.put(0, tiny.answers(tiny.inputs()))

    child = tiny.start_child(first)
    os.read(ready, 1)
    os.write(let, b"x")
    assert tiny.label(tmp_path / "s", wait=-1) == []
    assert tiny.end_of(child) == 0
    tiny.assert_answers(Store.open(tmp_path / "s"))


def test_four_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    shown = tiny.inputs(100)
    children = [tiny.start_child(lambda: tiny.label(tmp_path / "s", shown, wait=-1)) for _ in range(4)]
    assert [tiny.end_of(child) for child in children] == [0, 0, 0, 0]
    tiny.assert_answers(Store.open(tmp_path / "s"), shown)
    assert verify(tmp_path / "s") == []


def test_the_lock_of_a_dead_writer_is_free(tmp_path: Path) -> None:
    def die_with_the_lock() -> None:
        Writer(tmp_path / "s", tiny.KEY, tiny.FIELDS, rows=10, views=2)
        tiny.die()

    assert tiny.in_child(die_with_the_lock) < 0
    assert len(tiny.label(tmp_path / "s")) == 10


def test_a_reader_during_writing_always_sees_a_right_prefix(tmp_path: Path) -> None:
    shown = tiny.inputs(400)
    expected = tiny.answers(shown)
    with Writer(tmp_path / "s", tiny.KEY, tiny.FIELDS, rows=400, views=2, block_rows=4):
        pass
    child = tiny.start_child(lambda: tiny.label(tmp_path / "s", shown))
    seen: set[int] = set()
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        store = Store.open(tmp_path / "s", tiny.KEY)
        assert store.rows_done >= max(seen, default=0)
        seen.add(store.rows_done)
        rows = np.arange(store.rows_done)
        for name, values in store.read(rows, rows % 2).items() if len(rows) else ():
            np.testing.assert_array_equal(values, expected[name][rows, rows % 2])
    assert tiny.end_of(child) == 0
    assert len(seen) > 2
    tiny.assert_answers(Store.open(tmp_path / "s"), shown)


def test_after_an_error_the_lock_is_free_and_the_blocks_are_kept(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "s", tiny.KEY, tiny.FIELDS, rows=10, views=2, block_rows=4)

    def fail() -> None:
        with writer:
            writer.put(0, tiny.answers(tiny.inputs()[:4]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with FileLock(tmp_path / "s" / "writer.lock", timeout=0):
        assert Store.open(tmp_path / "s").rows_done == 4
    with pytest.raises(UsageError, match="is closed"):
        writer.put(4, tiny.answers(tiny.inputs()[4:8]))
