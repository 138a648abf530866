"""One small run of a table, made once; a test that changes it takes a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.runs import FLAGS, write_table
from tests.shell import run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; only to be read. Its table is beside it, ``rows.csv``."""
    folder = tmp_path_factory.mktemp("faults")
    write_table(folder / "rows.csv")
    code, _, err = run(f"distill {FLAGS} --data.path {folder / 'rows.csv'} --output.dir {folder / 'run'}")
    assert code == 0, err
    return folder / "run"


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be harmed; its table is beside it."""
    shutil.copytree(finished.parent, tmp_path / "copy")
    return tmp_path / "copy" / "run"
