"""What rows on disk are for: less memory than reading them whole, measured in a process of their own."""

from __future__ import annotations

import re
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

MB = 1 << 20
COLUMNS = 50
PREPARE = """
import sys
from pathlib import Path
from stillhouse.data import prepare, split
from tests.data.reading import read
import pandas, pyarrow.parquet

print("ready", flush=True)
path, rows = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
source = read(path=path, on_disk=rows)
data = prepare(source, split(source, labels="all", valid=0.1, test=0.2, seed=0), on_disk=rows)
print(sum(float(data.train.inputs[i : i + 4096].sum()) for i in range(0, len(data.train.inputs), 4096)))
"""


def anonymous(pid: int) -> int:
    """Bytes of a process that stand in no file: what mapped rows have read can be dropped at any time."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def peak(*arguments: str) -> tuple[int, str]:
    """Run the preparation; the greatest number of bytes it took above what its imports did, and what it printed."""
    command = [sys.executable, "-c", PREPARE, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        begun = highest = anonymous(child.pid)
        while child.poll() is None:
            highest = max(highest, anonymous(child.pid))
            select.select([child.stdout], [], [], 0.003)
        return highest - begun, child.stdout.read()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(("suffix", "rows"), [(".parquet", 400_000), (".csv", 200_000)])
def test_a_table_on_disk_takes_a_part_of_the_memory(tmp_path: Path, suffix: str, rows: int) -> None:
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 10_000, (rows, COLUMNS))
    frame = pd.DataFrame({f"c{i}": cells[:, i] for i in range(COLUMNS)} | {"label": rng.integers(0, 2, rows)})
    path = tmp_path / f"table{suffix}"
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_csv(path, index=False)
    whole, total = peak(str(path))
    disk, again = peak(str(path), str(tmp_path / "rows"))
    assert total == again
    assert whole > 300 * MB
    assert disk < 100 * MB
