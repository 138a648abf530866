"""Tables: 20,000 letters described by 16 numbers, 1,000 of them labelled."""

from __future__ import annotations

from pathlib import Path

from benchmarks.examples.data import MLBENCH, MLBENCH_VERSION, mlbench, write_csv
from benchmarks.examples.example import Example, Origin


def prepare(folder: Path) -> None:
    """Write ``letter.csv``: 16 numbers and the letter."""
    write_csv(mlbench("LetterRecognition", folder), folder / "letter.csv", "lettr")


EXAMPLE = Example(
    title="Letter: trees of a million nodes into a small net",
    about="""
20,000 images of capital letters in twenty fonts, each described by 16 whole numbers of statistics of its pixels (UCI,
Slate 1991): no image, a table. The teacher, extremely randomised trees, has all training labels; the student, a net
of 32 hidden units, has 1,000.
""",
    origins=(Origin(MLBENCH, "GPL-2", "`LetterRecognition`", MLBENCH_VERSION),),
    file="letter.csv",
    prepare=prepare,
    limits="""
The set holds rows that stand in it more than once, and the split does not keep them together: the warning above
counts them. All arms meet the same test rows, so that comparisons between students bear it better than the accuracies
do, which are a little high.
""",
)
