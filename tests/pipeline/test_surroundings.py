"""A run gives the same scores wherever it is called: what the caller has set does not reach it."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stillhouse as sh

pytestmark = pytest.mark.slow  # many whole runs

SEEDS = [0, 1]


class Knowing(nn.Module):
    """A teacher that is right."""

    def forward(self, rows: Tensor) -> Tensor:
        return 4 * rows[:, :3]


def student() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def scores(out: Path, workers: int = 2) -> dict[str, float]:
    """Accuracy of each arm; everything is made here, inside what the caller has set."""
    torch.set_num_threads(1)
    rows = torch.randn(160, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    labels = rows[:, :3].argmax(1)
    run = sh.distill(
        {"evaluation": {"resamples": 100}, "training": {"workers": workers}},
        teacher=Knowing(), student=student(), data=((rows[:100], labels[:100]), None, (rows[100:], labels[100:])),
        steps=12, batch_size=32, seeds=SEEDS, out=out, accept_teacher=True, verbose=False,
    )  # fmt: skip
    return {arm: model["measures"]["nll"]["value"] for arm, model in run.scores["models"].items()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return scores(tmp_path_factory.mktemp("plain") / "run")


@contextmanager
def doubles() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        assert torch.get_default_dtype() == torch.float64, "what the caller has set is there afterwards"
        torch.set_default_dtype(torch.float32)


SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_caller_has_set_in_torch_does_not_reach_a_run(
    name: str, plain: dict[str, float], tmp_path: Path
) -> None:
    with SETTINGS[name]():
        assert scores(tmp_path / "run") == plain


def test_another_default_type_makes_a_student_of_that_type_and_the_run_goes_on(
    plain: dict[str, float], tmp_path: Path
) -> None:
    with doubles():
        found = scores(tmp_path / "run")
    assert found.keys() == plain.keys()


def test_a_thread_trains_one_fit_at_a_time_with_the_same_bits(plain: dict[str, float], tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(scores, tmp_path / "run").result() == plain


def test_a_daemonic_worker_of_a_pool_trains_too(plain: dict[str, float], tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(scores, [tmp_path / "run"])[0] == plain


def test_one_fit_at_a_time_is_said_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "stillhouse"), ThreadPoolExecutor(1) as pool:
        pool.submit(plan_in_a_thread).result()
    assert "One fit at a time: it was called in a thread" in caplog.text


def plan_in_a_thread() -> None:
    rows = torch.randn(60, 4)
    data = ((rows[:40], rows[:40, :3].argmax(1)), None, (rows[40:], rows[40:, :3].argmax(1)))
    sh.plan({"training": {"workers": 2, "steps": 2, "batch_size": 8}}, teacher=Knowing(), student=student, data=data)


class Breaks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)
        self.steps = 0

    def forward(self, rows: Tensor) -> Tensor:
        self.steps += self.training
        if self.steps > 6:
            raise ZeroDivisionError("step seven")
        answer: Tensor = self.net(rows)
        return answer


@pytest.mark.parametrize("workers", [1, 2])
def test_the_error_of_a_student_is_the_one_that_it_raised(workers: int, tmp_path: Path) -> None:
    rows = torch.randn(60, 4)
    data = ((rows[:40], rows[:40, :3].argmax(1)), None, (rows[40:], rows[40:, :3].argmax(1)))
    with pytest.raises(ZeroDivisionError, match="step seven"):
        sh.distill(
            {"training": {"workers": workers}}, teacher=Knowing(), student=Breaks, data=data, steps=20, batch_size=8,
            seeds=SEEDS, out=tmp_path / "run", accept_teacher=True, verbose=False,
        )  # fmt: skip
