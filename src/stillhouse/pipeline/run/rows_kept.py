"""A hash of each row of a run's data: which rows have changed since, and which test rows are training rows too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse import hashes
from stillhouse.archives import open_npz
from stillhouse.data import Source, Split
from stillhouse.data.source import row_hashes
from stillhouse.errors import RejectedError
from stillhouse.files import write_npz
from stillhouse.pipeline.run.folder import RunFolder

FILE = "row_hashes.npz"
NOTE = "duplicates"  # the key in run.json: test rows whose inputs a training row has too
SHARE = 0.01  # of the test rows, above which the page warns of them
SHOWN = 5  # rows that are named


class KeptRows:
    """The hash of each row of a run's data.

    Args:
        source: all rows.
        split: of the run.
        most: share of the test rows that may have the same inputs as a training row; None: any.

    Raises:
        RejectedError: there are more than ``most``.
    """

    def __init__(self, source: Source, split: Split, most: float | None) -> None:
        inputs, targets = source.row_hashes(), np.ascontiguousarray(source.targets)
        self.rows = inputs ^ (row_hashes(targets.reshape(len(targets), -1)) if targets.size else np.uint64(0))
        self.twice: NDArray[Any] = split.test[np.isin(inputs[split.test], inputs[split.train])]
        self.share = len(self.twice) / max(1, len(split.test))
        if most is not None and self.share > most:
            raise RejectedError(
                f"{len(self.twice):,} of {len(split.test):,} test rows ({100 * self.share:.1f} %) have the same inputs "
                f"as a training row (rows {', '.join(map(str, self.twice[:SHOWN]))}, counted from 0), and [evaluation] "
                f"max_duplicates = {most:g}. Remove them from the data, split by a group, or raise max_duplicates."
            )

    def keep(self, run: RunFolder, supervised: bool) -> None:
        """Write the hashes into a new run, and note the test rows that are training rows too, where they are many."""
        if not (run.folder / FILE).exists():
            write_npz(run.folder / FILE, {"rows": self.rows})
        if supervised and self.share > SHARE:
            run.note(**{NOTE: [int(row) for row in self.twice]})

    def changed(self, folder: Path) -> str:
        """Say in which rows the data differ from those of a run; empty where it kept no hashes or no row differs."""
        file = folder / FILE
        if not file.exists():
            return ""
        hashes.check(file)
        with open_npz(file) as kept:
            before = kept["rows"]
        if len(before) != len(self.rows):
            return f"the data changed: {len(before):,} rows there, {len(self.rows):,} here"
        odd = np.flatnonzero(before != self.rows)
        if not len(odd):
            return ""
        more = f" and {len(odd) - SHOWN:,} more" if len(odd) > SHOWN else ""
        return f"the data changed: row{'s' * (len(odd) > 1)} {', '.join(map(str, odd[:SHOWN]))}{more} (counted from 0)"
