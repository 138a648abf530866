"""Where a run works: its folder held alone, the user's objects looked at before and after, and torch as it starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from stillhouse.pipeline.run.context import Given
from stillhouse.pipeline.run.folder import locked
from stillhouse.pipeline.run.workers import in_a_pool
from stillhouse.teachers.identity import using
from stillhouse.timing import one_thread


@contextmanager
def at_work(folder: Path, given: Given) -> Iterator[None]:
    """Work in a run folder with what came from Python.

    Raises:
        UsageError: another process is at work in the folder.
    """
    with locked(folder), objects_at_work(given):
        yield


@contextmanager
def objects_at_work(given: Given) -> Iterator[None]:
    """Work with what came from Python, in a folder that another process holds."""
    # The threads of OpenMP are not in a forked process, and waiting for them would not end.
    threads = one_thread() if in_a_pool() else nullcontext()
    with using(given.teacher, given.student, given.views), usual_torch(), threads:
        yield


@contextmanager
def usual_torch() -> Iterator[None]:
    """Undo what the caller has set: no gradients, inference mode, autocast, another default type or device.

    A run called inside ``torch.no_grad()`` would train nothing, and one inside ``torch.inference_mode()`` would fail at
    its first step.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    torch.set_default_dtype(torch.float32)
    if device.type != "cpu":
        torch.set_default_device("cpu")
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_default_dtype(dtype)
        if device.type != "cpu":
            torch.set_default_device(device)
