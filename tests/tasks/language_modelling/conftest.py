"""A small teacher, and one run that several tests look at."""

from pathlib import Path
from typing import Any

import pytest

import stillhouse as sh
from tests.tasks.language_modelling.models import save_causal, write_corpus


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random causal model."""
    return save_causal(tmp_path_factory.mktemp("teacher"))


def table(teacher: Path, folder: Path, **data: Any) -> dict[str, Any]:
    """A small recipe."""
    return {
        "task": {"name": "language_modelling"},
        "data": {"context": 16, **data},
        "teacher": {"hub": str(teacher)},
        "student": {"settings": {"hidden": 8, "layers": 1, "heads": 2, "feedforward": 16}},
        "training": {"steps": 6, "seeds": [0], "log_every": 3, "workers": 1},
        "evaluation": {"resamples": 200},
        "output": {"dir": str(folder)},
    }


@pytest.fixture(scope="session")
def run(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    """A finished run on a corpus of six books."""
    room = tmp_path_factory.mktemp("language")
    corpus = write_corpus(room / "corpus.jsonl")
    return sh.distill(table(teacher, room / "run", corpus=str(corpus), group="book", rows=12), accept_teacher=True)
