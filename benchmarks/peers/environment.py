"""An environment for each peer, made from its pinned requirements; the only part that needs the network."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from benchmarks.examples.example import ROOT
from benchmarks.peers.world import HOME

REQUIREMENTS = Path(__file__).parent / "requirements"
ALONE = ("autogluon",)  # wants other versions than ours; the others get their own package and see ours for the rest


def python(name: str | None) -> Path:
    """The interpreter of a peer's environment; None: this one, which has all that the peer needs."""
    if name is None:
        return Path(sys.executable)
    home = HOME / "environments" / name
    done = home / ".installed"
    wanted = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        options = ["--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS / f"{name}.txt")]
        if name not in ALONE:
            (site,) = (home / "lib").glob("python*/site-packages")
            (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
            options.append("--no-deps")
        subprocess.run([home / "bin" / "python", "-m", "pip", "install", *options], check=True)
        done.write_text(wanted, encoding="utf-8")
    return home / "bin" / "python"


def run(name: str | None, runner: str, world: Path, out: Path) -> None:
    """Run a peer's runner on a world, in its environment and on one thread.

    Raises:
        CalledProcessError: the peer failed; its own words stand above.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = os.environ | threads | {"PYTHONPATH": str(ROOT)}
    command = [str(python(name)), "-m", f"benchmarks.peers.runners.{runner}", str(world), str(out)]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)
