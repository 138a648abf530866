"""Whether the files of a run are those that were written."""

from __future__ import annotations

from pathlib import Path

from stillhouse import hashes
from stillhouse.pipeline.run.folder import SCORES
from stillhouse.store import check_stores


def check_files(folder: Path) -> None:
    """Refuse a run folder of which a file has changed; of a finished run its stores are read too.

    Raises:
        DamagedError: names the file, and what makes it again.
    """
    hashes.check_all(folder)
    if (folder / SCORES).exists():
        check_stores(folder)
