"""Under torchrun one process dies, hangs or is told to stop: all end in time, and the same command resumes."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillhouse.engine.signals import PATIENCE
from tests.pipeline import several_runs
from tests.pipeline.several_runs import differing, files, gone, in_step, launched, wait_until, weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of a run in /proc"),
]
LIMIT = 45  # seconds, of the recipe
SOON = 30.0  # seconds in which torch lets go, beside what the promise says


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The students of a run that nobody has disturbed."""
    folder = files(tmp_path_factory.mktemp("whole") / "f")
    with launched(folder) as run:
        assert run.launcher.wait(400) == 0, run.said
    return weights(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A run's folder; no process of it is left in the end."""
    made = files(tmp_path / "f")
    yield made
    assert gone(several_runs.processes_of(made / "recipe.toml"))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_all_and_the_same_command_resumes(
    folder: Path, whole: dict[str, bytes], rank: int
) -> None:
    with launched(folder) as run:
        wait_until(lambda: in_step(folder))
        ranks = run.ranks()
        os.kill(ranks[rank], signal.SIGKILL)
        wait_until(lambda: gone(ranks) and not run.alive, LIMIT + SOON)
        assert "SIGKILL" in run.said
        assert f"rank      : {rank} (local_rank: {rank})" in run.said.partition("Root Cause")[2]
    assert weights(folder) != whole
    with launched(folder) as again:
        assert again.launcher.wait(400) == 0, again.said
    assert not differing(whole, weights(folder))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_also_where_the_launcher_has_gone(folder: Path, rank: int) -> None:
    with launched(folder) as run:
        wait_until(lambda: in_step(folder))
        ranks = run.ranks()
        os.kill(run.launcher.pid, signal.SIGKILL)
        os.kill(ranks[rank], signal.SIGKILL)
        wait_until(lambda: gone(ranks), LIMIT + SOON)
        said = run.said
    lost = rf"Of 2 processes that train together, number {rank} does not answer \(.*Connection (closed|reset) by peer"
    assert re.search(lost, said), said
    assert "run the same command again to resume" in said


def test_a_run_whose_launcher_has_gone_is_stopped_by_sigterm(folder: Path) -> None:
    """The first process trains alone meanwhile: it has nobody to tell."""
    with launched(folder) as run:
        wait_until((folder / "run" / "fits").exists)
        ranks = run.ranks()
        os.kill(run.launcher.pid, signal.SIGKILL)
        os.kill(ranks[0], signal.SIGTERM)
        wait_until(lambda: gone(ranks), SOON)
        assert "stopped: finished work is kept" in run.said


def test_a_process_that_waits_for_one_that_hangs_is_stopped_by_sigterm(folder: Path) -> None:
    with launched(folder) as run:
        wait_until(lambda: in_step(folder))
        ranks = run.ranks()
        os.kill(ranks[1], signal.SIGSTOP)
        os.kill(ranks[0], signal.SIGTERM)
        wait_until(lambda: gone(ranks[:1]), PATIENCE + SOON)


def test_a_process_that_hangs_ends_the_others_in_time(folder: Path) -> None:
    with launched(folder) as run:
        wait_until(lambda: in_step(folder))
        ranks = run.ranks()
        os.kill(ranks[1], signal.SIGSTOP)
        wait_until(lambda: gone(ranks[:1]), LIMIT + SOON)
        assert "Of 2 processes that train together, number 1 does not answer (Timed out waiting" in run.said
