"""The pages on own data and own models run, and so do the notebooks made from them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.notebooks import PAGES, notebook, path_of


@pytest.mark.parametrize("page", PAGES)
def test_a_notebook_says_what_its_page_says(page: str) -> None:
    assert path_of(page).read_text(encoding="utf-8") == notebook(page), "run: python -m benchmarks.notebooks"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_notebook_runs_from_its_first_cell_to_its_last(page: str, tmp_path: Path) -> None:
    """In a process of its own: a kernel talks over sockets, which tests may not open."""
    out = tmp_path / "run.ipynb"
    (tmp_path / "page.ipynb").write_text(path_of(page).read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--output", out.name, "page.ipynb"],
        cwd=tmp_path, check=True, timeout=280, capture_output=True,
    )  # fmt: skip
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    ran = [cell for cell in cells if cell["cell_type"] == "code"]
    assert ran
    assert all(cell["execution_count"] for cell in ran)
