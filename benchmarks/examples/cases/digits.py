"""Vision: 8x8 digits of scikit-learn, 100 labels, a pool of 1,200 unlabelled images."""

from __future__ import annotations

from benchmarks.examples.example import Example, Origin

EXAMPLE = Example(
    title="Digits: a convolutional net into one a hundredth of its size",
    about="""
1,797 handwritten digits, 8x8 pixels of 17 grey levels (the test half of UCI's *Optical Recognition of Handwritten
Digits*, Alpaydin and Kaynak 1998). The teacher has all training labels, as one that somebody hands over; the
student's owner has 100. What is asked is whether the teacher's answers to the unlabelled images are worth having.
""",
    origins=(Origin("scikit-learn", "BSD", "`load_digits`"),),
    limits="""
Writers are not known row by row in this copy, so the same hand may stand on both sides of the split: all figures are
for new images of known hands. The set is small and easy.
""",
)
