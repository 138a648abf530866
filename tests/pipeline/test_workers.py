"""Workers are forks of this process: what they inherit, and what they must leave alone."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from stillhouse.errors import RejectedError, StillhouseError
from stillhouse.pipeline.run.workers import run_all


class Session:
    """Native state as a library's session has it: only the process that made it may end it."""

    def __init__(self, ended: Path) -> None:
        self.ended, self.own = ended, self  # in a circle, so that it waits for the collector

    def __del__(self) -> None:
        with self.ended.open("a") as file:
            file.write(f"{os.getpid()}\n")


def test_workers_do_not_end_what_their_parent_has_left_uncollected(tmp_path: Path) -> None:
    def job(number: int, advance: Any) -> None:
        gc.collect()
        (tmp_path / f"job{number}").write_text(str(os.getpid()))

    gc.disable()
    try:
        Session(tmp_path / "ended")
        run_all([0, 1, 2], job, 2, lambda amount: None)
    finally:
        gc.enable()
    workers = {int((tmp_path / f"job{number}").read_text()) for number in range(3)}
    assert os.getpid() not in workers
    assert not (tmp_path / "ended").exists(), "a worker has ended it"
    gc.collect()
    assert (tmp_path / "ended").read_text().split() == [str(os.getpid())], "its own process ends it, once"


class OwnError(Exception):
    """Needs two arguments, so that it cannot be built again from its words."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} {number}")


def failing(error: Callable[[], BaseException], job: int = 1) -> Callable[[int, Any], None]:
    def work(number: int, advance: Any) -> None:
        if number == job:
            raise error()

    return work


def test_the_error_of_a_job_is_passed_on_as_it_was_raised() -> None:
    with pytest.raises(ZeroDivisionError, match="by nothing") as caught:
        run_all([0, 1, 2], failing(lambda: ZeroDivisionError("by nothing")), 2, lambda amount: None)
    assert "in work" in "".join(caught.value.__notes__), "with the place in the code"
    with pytest.raises(RejectedError, match="bad row"):
        run_all([0, 1, 2], failing(lambda: RejectedError("bad row")), 2, lambda amount: None)


def test_an_error_that_cannot_be_sent_is_passed_on_in_words() -> None:
    for error, words in ((lambda: OwnError("rows", 3), "OwnError: rows 3"), (lambda: SystemExit("no key"), "no key")):
        with pytest.raises(RuntimeError, match=words):
            run_all([0, 1, 2], failing(error), 2, lambda amount: None)


def test_a_long_error_does_not_block_its_worker() -> None:
    with pytest.raises(ValueError, match=r"x{200000}"):
        run_all([0, 1], failing(lambda: ValueError("x" * 200_000)), 2, lambda amount: None)


def test_a_worker_that_ends_without_an_error_is_named_and_not_those_that_were_stopped_for_it() -> None:
    def killed(number: int, advance: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL) if number == 1 else signal.pause()

    with pytest.raises(StillhouseError, match="by SIGKILL, most often because memory ran out"):
        run_all([0, 1], killed, 2, lambda amount: None)

    def left(number: int, advance: Any) -> None:
        os._exit(3) if number == 1 else signal.pause()

    with pytest.raises(StillhouseError, match="with code 3 and without an error"):
        run_all([0, 1], left, 2, lambda amount: None)


def where_it_runs(_: int = 0) -> list[int]:
    places: list[int] = []

    def job(number: int, advance: Any) -> None:
        places.append(os.getpid() if torch.get_num_threads() == 1 else -1)

    run_all([0, 1], job, 2, lambda amount: None)
    return places


def test_a_thread_does_its_jobs_itself_with_one_thread_of_torch() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(where_it_runs).result() == [os.getpid()] * 2


@pytest.mark.parametrize("pool", ["daemons", "futures", "joblib"])
def test_a_worker_of_a_pool_does_its_jobs_itself(pool: str) -> None:
    if pool == "daemons":
        with multiprocessing.get_context("fork").Pool(1) as daemons:
            places = daemons.map(where_it_runs, [0])[0]
    elif pool == "futures":
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as workers:
            places = workers.submit(where_it_runs).result()
    else:
        joblib = pytest.importorskip("joblib")
        places = joblib.Parallel(2)(joblib.delayed(where_it_runs)(i) for i in range(2))[0]
    assert len(set(places)) == 1
    assert len(places) == 2
    assert os.getpid() not in places
