"""Workers are forks of this process: what they inherit, and what they must leave alone."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

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
