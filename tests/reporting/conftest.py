"""Runs made once a session, and the tool that turns a page into text and tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reporting import runs


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judged run on images: 10 classes, 3 seeds."""
    return runs.make(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="session")
def breast_cancer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judged run on a table: 2 classes, 1 seed."""
    return runs.make(tmp_path_factory.mktemp("runs") / "breast_cancer", "breast_cancer", labels=40, seeds=(0,))
