"""What every run of a test would wait for and no test looks at: the disk, and the repeats of a measured time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from stillhouse import timing

# No test fails because the machine is busy.
settings.register_profile("stillhouse", deadline=None)
settings.load_profile("stillhouse")


@pytest.fixture(autouse=True, scope="session")
def no_waiting() -> Iterator[None]:
    """Only a power loss would show a missing fsync, and its tests have a disk of their own.

    A run spends seconds on the repeats of each call that it times; a test needs a time, and never its accuracy.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(timing, "WARM_UP", 1)
        patch.setattr(timing, "LEAST_REPEATS", 3)
        patch.setattr(timing, "MOST_REPEATS", 5)
        yield
