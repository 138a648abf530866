"""A store several times as large as the memory that its writer and its reader may take."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from stillhouse.store import Field, Key, Store, Writer, verify

LIMIT, ROWS, WIDTH = 32 << 20, 32_768, 1024  # a store of 128 MiB

def status(name):
    return next(int(l.split()[1]) << 10 for l in open("/proc/self/status") if l.startswith(name))

def values(start, stop):
    return (np.arange(start, stop, dtype=np.float32)[:, None] + np.arange(WIDTH, dtype=np.float32) / 2048)[:, None]

resource.setrlimit(resource.RLIMIT_DATA, (status("VmData") + LIMIT,) * 2)
try:
    np.ones(4 * LIMIT, np.uint8)
    sys.exit("the limit does not hold here")
except MemoryError:
    pass
with Writer(sys.argv[1], Key({}), [Field("x", (WIDTH,), "float32")], rows=ROWS, views=1) as writer:
    for rows in writer.missing():
        writer.put(rows.start, {"x": values(rows.start, rows.stop)})
store = Store.open(sys.argv[1])
assert store.nbytes > 4 * LIMIT
order = np.random.default_rng(0).permutation(ROWS)
for batch in order.reshape(-1, 128):
    found = store.read(batch, np.zeros(128, np.int64))["x"]
    assert (found[:, 0] == batch).all() and (found[:, 1024 // 2] == batch + 0.25).all()
assert verify(sys.argv[1]) == []
"""


def test_a_store_four_times_the_memory_limit_is_written_read_shuffled_and_verified(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("RLIMIT_DATA limits memory on Linux only")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), tmp_path / "s"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
