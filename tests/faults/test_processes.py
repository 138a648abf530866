"""Workers, signals and limits: no process outlives the run that started it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.runs import FLAGS, write_table
from tests.shell import process

pytestmark = pytest.mark.slow  # many whole runs

LONG = FLAGS.replace("--training.steps 20", "--training.steps 200000").replace("workers 1", "workers 2")
HOLDING = """
import os, sys, time
from stillhouse.pipeline.run.lifeline import lifeline
with lifeline() as line:
    if os.fork() == 0:
        line.hold(by_signal=sys.argv[1] == "signal")
        print(os.getpid(), flush=True)
        time.sleep(600)
    time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.fault(
    "B7", "the process that started the workers is killed: they end, and the same command resumes", exit=137
)
@pytest.mark.fault("B7", "its terminal is closed: work is saved, and the same command resumes", exit=129)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_workers_end_with_their_parent(number: int, tmp_path: Path) -> None:
    write_table(tmp_path / "rows.csv")
    command = f"distill {LONG} --data.path {tmp_path / 'rows.csv'} --output.dir {tmp_path / 'run'}"
    child = process(
        command, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)
    )  # the tests may run under nohup
    assert child.stderr is not None
    fits = tmp_path / "run" / "fits"
    while not list(fits.glob("*/*/checkpoint.safetensors")):
        assert child.poll() is None, child.stderr.read()
        os.sched_yield()
    workers = children(child.pid)
    assert workers
    child.send_signal(number)
    said = child.stderr.read()
    code = child.wait()
    while any(map(is_alive, workers)):
        os.sched_yield()
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert (code, "the same command resumes" in said) == (128 + number, True)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("way", ["signal", "pipe"])
def test_a_held_process_ends_when_its_parent_is_killed(way: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", HOLDING, way], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    held = int(parent.stdout.readline())
    assert is_alive(held)
    parent.kill()
    parent.wait()
    while is_alive(held):
        os.sched_yield()


@pytest.mark.fault("B7", "the terminal is closed under `nohup`: the run goes on", exit=0)
def test_a_hang_up_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    write_table(tmp_path / "rows.csv")
    command = f"distill {FLAGS} --data.path {tmp_path / 'rows.csv'} --output.dir {tmp_path / 'run'}"
    child = process(command, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    while not (tmp_path / "run" / "run.json").exists():
        assert child.poll() is None
        os.sched_yield()
    child.send_signal(signal.SIGHUP)
    _, said = child.communicate()
    assert child.returncode == 0, said


@pytest.mark.fault("E17", "a booster or ONNX teacher under a limit of the cluster (`ulimit -v`)", exit=0)
@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_CORE"])
def test_a_limit_that_is_smaller_already_is_kept(kind: str) -> None:
    from stillhouse.teachers.fitted.child import confine

    number, small = getattr(resource, kind), {"RLIMIT_AS": 1 << 33, "RLIMIT_CPU": 60, "RLIMIT_CORE": 0}[kind]
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(number, (small, small)),
    )  # fmt: skip
    try:
        confine(child.pid, 120)
        assert resource.prlimit(child.pid, number) == (small, small)
    finally:
        child.communicate(b"\n")
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        confine(other.pid, 120)
        assert resource.prlimit(other.pid, resource.RLIMIT_CPU) == (120, 121)
    finally:
        other.communicate(b"\n")
