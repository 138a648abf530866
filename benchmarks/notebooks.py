"""Write the pages on own data and own models as notebooks: python -m benchmarks.notebooks

The pages are the source. A test says when a notebook is stale, and another one runs them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
FOLDER = DOCS / "notebooks"
PAGES = ("own-data", "own-models")
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def notebook(page: str) -> str:
    """A page as a notebook without outputs: its text in cells of Markdown, each block of Python in a cell of code."""
    cells: list[dict[str, Any]] = []
    for number, part in enumerate(CODE.split((DOCS / f"{page}.md").read_text(encoding="utf-8"))):
        if part.strip():
            code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "outputs": []}
            cell = code if number % 2 else {"cell_type": "markdown"}
            cells.append(cell | {"id": f"{page}-{len(cells)}", "metadata": {}, "source": part.strip()})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def path_of(page: str) -> Path:
    """Where the notebook of a page lies."""
    return FOLDER / f"{page}.ipynb"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PAGES:
        path_of(name).write_text(notebook(name), encoding="utf-8")
