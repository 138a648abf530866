"""One finished run that many tests look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from stillhouse.cli import main
from stillhouse.pipeline import Run, distill
from stillhouse.recipe import read
from tests.pipeline import embedding_runs
from tests.pipeline.recipes import write_recipe


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The tiny recipe, done without a disturbance, one thread a fit."""
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("finished")
    return distill(read(write_recipe(folder, controls={"same_teacher": True})))


@pytest.fixture(scope="session")
def judged(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of that run, judged in full from the command line."""
    folder = tmp_path_factory.mktemp("judged") / "run"
    shutil.copytree(finished.folder, folder)
    assert main(["evaluate", str(folder), "--full"]) == 0
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread while a test runs, as the workers have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def embedding_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder and 90 texts of three kinds."""
    return embedding_runs.write_world(tmp_path_factory.mktemp("embedding"))


@pytest.fixture(scope="session")
def static_embedder(embedding_world: Path) -> Run:
    """A run whose student is a word table."""
    return distill(embedding_runs.recipe(embedding_world, "static"))


@pytest.fixture(scope="session")
def derived_embedder(embedding_world: Path) -> Run:
    """A run whose student is cut out of its teacher."""
    return distill(embedding_runs.derived_recipe(embedding_world, "derived"))
