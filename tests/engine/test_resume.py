"""A fit that is stopped at any moment and started again ends with the same student, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stillhouse.engine import CHECKPOINT, LOG, read_weights
from stillhouse.errors import UsageError
from tests.engine.small import BUDGET, run, small_step

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def start(folder: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.engine.small", str(folder), str(pause)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    weights = {k: v.clone() for k, v in run(folder).state_dict().items()}
    return weights, (folder / LOG).read_text()


def wait_for_log(folder: Path, lines: int) -> None:
    """Until the fit has come so far; the process itself sets the pace."""
    while not (folder / LOG).exists() or len((folder / LOG).read_text().splitlines()) < lines:
        os.sched_yield()


@pytest.mark.parametrize("lines", random.Random(0).sample(range(1, 11), 4))
@pytest.mark.fault("B22", "kill -9 at any moment of a training: the same command ends with the same bits", exit=137)
def test_a_fit_killed_at_any_moment_ends_with_the_same_student(
    lines: int, tmp_path: Path, undisturbed: tuple[dict[str, torch.Tensor], str]
) -> None:
    process = start(tmp_path, 0.01)
    wait_for_log(tmp_path, lines)
    process.kill()
    process.communicate()
    assert not (tmp_path / "final.safetensors").exists()
    again = run(tmp_path).state_dict()
    weights, log = undisturbed
    assert {k: v for k, v in again.items() if not torch.equal(v, weights[k])} == {}
    assert (tmp_path / LOG).read_text() == log


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 1)])
@pytest.mark.fault("B23", "TERM and INT in a training: saved at that step, and the same command resumes", exit=143)
def test_a_signal_saves_at_the_very_step_and_resumes(
    number: int, code: int, tmp_path: Path, undisturbed: tuple[dict[str, torch.Tensor], str]
) -> None:
    process = start(tmp_path, 0.01)
    wait_for_log(tmp_path, 3)
    process.send_signal(number)
    _, errors = process.communicate()
    # The interpreter turns an uncaught KeyboardInterrupt into the signal itself; the command line makes it 130.
    assert process.returncode == code or (number == signal.SIGINT and process.returncode == -signal.SIGINT), errors
    metadata = read_weights(tmp_path / CHECKPOINT)[1]
    assert int(metadata["step"]) >= 15
    again = run(tmp_path).state_dict()
    assert all(torch.equal(v, undisturbed[0][k]) for k, v in again.items())


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    from stillhouse.engine.checkpoint import load_checkpoint
    from stillhouse.engine.optim import make_optimiser

    process = start(tmp_path, 0.01)
    wait_for_log(tmp_path, 3)
    process.kill()
    process.communicate()
    step = small_step()
    with pytest.raises(UsageError, match="belongs to another fit"):
        load_checkpoint(
            tmp_path / CHECKPOINT,
            identity="other",
            module=step,
            optimiser=make_optimiser(step, lr=1.0, weight_decay=0.0),
        )


def test_the_log_names_every_term_with_its_share_of_the_gradient(
    undisturbed: tuple[dict[str, torch.Tensor], str],
) -> None:
    lines = [json.loads(line) for line in undisturbed[1].splitlines()]
    assert [line["step"] for line in lines] == list(range(5, BUDGET.steps + 1, 5))
    for line in lines:
        assert set(line["terms"]) == {"labels", "hinton", "fitnet"}
        assert sum(line["shares"].values()) == pytest.approx(1.0)
        assert min(line["shares"].values()) > 0
        assert line["loss"] == pytest.approx(sum(line["terms"].values()), rel=1e-5)
        assert 0 <= line["valid_accuracy"] <= 1


@pytest.mark.parametrize("when", range(1, 7))
def test_a_signal_at_any_point_of_a_step_is_answered_with_a_checkpoint(when: int, tmp_path: Path) -> None:
    """The signal comes as the n-th line of the loop's last step is reached, so between any two of its checks."""
    from stillhouse.engine import loop

    lines: list[int] = []

    def trace(frame: Any, event: str, _: object) -> Any:
        if frame.f_code is not loop.fit.__code__:
            return None
        if event == "line" and frame.f_locals.get("done") == 17 and "sizes" in frame.f_locals:
            lines.append(frame.f_lineno)
            if len(lines) == when:
                signal.raise_signal(signal.SIGTERM)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(SystemExit):
            run(tmp_path)
    finally:
        sys.settrace(before)
    assert int(read_weights(tmp_path / CHECKPOINT)[1]["step"]) >= 17
