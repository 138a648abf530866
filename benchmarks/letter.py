"""Write LetterRecognition (20,000 rows, 16 numbers, 26 classes) as the CSV of the example recipe.

    apt-get download r-cran-mlbench && dpkg -x r-cran-mlbench_*.deb mlbench
    python -m benchmarks.letter mlbench/usr/lib/R/site-library/mlbench/data/LetterRecognition.rda letter.csv

The data is the UCI set of Slate (1991), as the Debian package of R's mlbench carries it; it is not in this repository.
"""

from __future__ import annotations

import sys
from pathlib import Path

import rdata


def main() -> None:
    """Read the R file, write the CSV with the label last."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    frame = rdata.read_rda(source)["LetterRecognition"]
    frame = frame[[*(c for c in frame.columns if c != "lettr"), "lettr"]]
    frame.to_csv(out, index=False)
    print(f"{out}: {len(frame):,} rows, {frame.shape[1] - 1} inputs, {frame['lettr'].nunique()} classes")


if __name__ == "__main__":
    main()
