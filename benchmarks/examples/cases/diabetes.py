"""Regression, small: 442 patients, one target."""

from __future__ import annotations

from pathlib import Path

from benchmarks.examples.data import write_csv
from benchmarks.examples.example import Example, Origin


def prepare(folder: Path) -> None:
    """Write ``diabetes.csv``: ten measurements and the progression after a year."""
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True, scaled=False).frame
    write_csv(frame, folder / "diabetes.csv", "target")


EXAMPLE = Example(
    title="Diabetes: a regression on few rows",
    about="""
442 patients: age, sex, body mass index, blood pressure and six blood measurements, and a number for the progression
of the disease one year later (Efron, Hastie, Johnstone and Tibshirani 2004). The teacher, boosted trees, has all
training labels; the owner of the student, a small net, has 60 and the other rows without a label.
""",
    origins=(Origin("scikit-learn", "BSD", "`load_diabetes`"),),
    file="diabetes.csv",
    prepare=prepare,
    limits="""
- **No clinical use.** One old set without outside validation.
- **Few test rows**: read the intervals, not the figures.
""",
)
