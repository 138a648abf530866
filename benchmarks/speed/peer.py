"""torchdistill in an environment of its own, beside this process."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "runs" / "bench" / "peer"
WANTED = ("torchdistill==1.1.5", "torchvision", "pyyaml")


def install() -> Path:
    """Make the environment where it is not there yet; returns its Python.

    Packages come without their dependencies, and torch, numpy and scipy from this very environment, so that both sides
    run the same build.
    """
    python = HOME / "bin" / "python"
    if not (HOME / ".installed").exists():
        subprocess.run([sys.executable, "-m", "venv", HOME], check=True)
        quiet = ["--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([python, "-m", "pip", "install", *quiet, *WANTED], check=True, stderr=subprocess.DEVNULL)
        (site,) = (HOME / "lib").glob("python*/site-packages")
        (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        (HOME / ".installed").touch()
    return python


class Peer:
    """The other side, which waits while this one is measured."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [install(), "-m", "benchmarks.speed.peer_runner"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
        )  # fmt: skip
        self._read("ready")

    def seconds(self, world: str) -> float:
        """Ten epochs of a world."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{world}\n")
        self.process.stdin.flush()
        return float(self._read())

    def _read(self, expected: str | None = None) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line or (expected is not None and line != expected):
            raise RuntimeError(f"the peer answered {line!r}; its own messages stand above")
        return line

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
