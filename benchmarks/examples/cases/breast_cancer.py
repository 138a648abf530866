"""Medicine, small: 569 tumours."""

from __future__ import annotations

from benchmarks.examples.example import Example, Origin
from benchmarks.examples.markdown import fenced
from benchmarks.examples.medical import figures

from stillhouse.pipeline.student.load import rules
from stillhouse.reporting.folder import RunFiles


def extra(run: RunFiles) -> str:
    """The medical figures, and the tree."""
    tree = fenced(rules(run.folder), "text")
    told = "The shipped student, whole, in the units of the data."
    return f"{figures(run, ('malignant',))}\n\n## The tree\n\n{told}\n\n{tree}"


EXAMPLE = Example(
    title="Breast cancer: a small set, where little can be shown",
    about="""
569 tumours of one hospital in Wisconsin, each described by thirty numbers that were measured by hand-drawn outlines
on images of fine needle aspirates, malignant or benign (UCI *Breast Cancer Wisconsin (Diagnostic)*, Wolberg, Street
and Mangasarian 1993). The teacher, extremely randomised trees, has all training labels; the owner of the student, one
tree that can be read, has 40.

Until 2026-11-29 this page held the student against its own labels alone and could not tell. With rivals it says more:
logistic regression on the same 40 labels (*Simple model* below) is about as good as the teacher. The teacher makes a
better tree than the labels do; who does not need a tree needs no teacher here.
""",
    origins=(Origin("scikit-learn", "BSD", "`load_breast_cancer`"),),
    extra=extra,
    limits="""
- **No clinical use.** This shows a method for making models small; nothing here was examined as a medical device.
- **One old data set of one hospital**, of 569 selected tumours, with more malignant ones than any screening meets.
  There is no outside validation; ages and other traits of the patients are not in it, so that no group can be looked
  at.
- **Few test rows**: read the intervals, not the figures.
""",
)
