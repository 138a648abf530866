"""A store several times as large as the memory that its writer and its reader may take."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MIB = 1 << 20
WORK = """
import sys
import numpy as np
from stillhouse.store import Field, Key, Store, Writer, verify

ROWS, WIDTH = 32_768, 1024  # a store of 128 MiB

def values(start, stop):
    return (np.arange(start, stop, dtype=np.float32)[:, None] + np.arange(WIDTH, dtype=np.float32) / 2048)[:, None]

with Writer(sys.argv[1], Key({}), [Field("x", (WIDTH,), "float32")], rows=ROWS, views=1, block_rows=256) as writer:
    for rows in writer.missing():
        writer.put(rows.start, {"x": values(rows.start, rows.stop)})
store = Store.open(sys.argv[1])
assert store.nbytes > 128 << 20
for batch in np.random.default_rng(0).permutation(ROWS)[:16_384].reshape(-1, 128):
    found = store.read(batch, np.zeros(128, np.int64))["x"]
    assert (found[:, 0] == batch).all() and (found[:, 512] == batch + 0.25).all()
assert verify(sys.argv[1]) == []
"""
LIMITED_DATA = """
import resource
import numpy as np
taken = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (taken + (24 << 20),) * 2)
try:
    np.ones(32 << 20, np.uint8)
    raise SystemExit("the limit does not hold here")
except MemoryError:
    pass
"""
JOIN_GROUP = """
import os, sys
open(sys.argv[2] + "/cgroup.procs", "w").write(str(os.getpid()))
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group whose processes have 48 MiB together, page cache included."""
    one, two = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    root, limit = (one, "memory.limit_in_bytes") if one.exists() else (two, "memory.max")
    folder = root / f"stillhouse-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("no memory control groups for this user here")
    try:
        if not (folder / limit).exists():
            pytest.skip("no memory controller in this control group")
        (folder / limit).write_text(str(48 * MIB))
        yield folder
    finally:
        folder.rmdir()


def run(script: str, *arguments: Path) -> None:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts all private memory on Linux only")
def test_no_more_than_a_few_blocks_of_private_memory_are_taken(tmp_path: Path) -> None:
    run(LIMITED_DATA + WORK, tmp_path / "s")


@pytest.mark.slow
def test_a_store_larger_than_all_memory_is_written_read_shuffled_and_verified(
    tmp_path_factory: pytest.TempPathFactory, group: Path
) -> None:
    run(JOIN_GROUP + WORK, tmp_path_factory.mktemp("disk") / "s", group)
