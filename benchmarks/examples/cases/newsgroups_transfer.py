"""Text: two layers of the teacher itself as the student; transfer alone, distillation alone, and both."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.examples.cases import newsgroups
from benchmarks.examples.running import run_folder
from benchmarks.examples.text_speed import TEACHER
from benchmarks.examples.texts import distil_all, transfer

EXAMPLE = replace(
    newsgroups.EXAMPLE,
    title="20 Newsgroups: transfer, distillation, and both",
    about="""
The rows, labels and teacher of [20 Newsgroups](newsgroups.md). The student is cut out of the teacher: its embeddings,
the first two of its six layers, and its head. So it may learn in four ways: from the 300 labels alone, begun at random
or from these weights (transfer), and from the teacher's answers to the pool besides, begun at random (distillation) or
from these weights (both). All have the same number of steps.
""",
    extra=transfer,
    limits="""
- The budget is short: 300 steps of 32 texts, about four passes over the pool. Begun at random, a net of this size wants
  far more steps and texts; what is shown is what pretrained weights save, not what distillation alone could reach.
- The learning rate is one for all four arms, the better of two on the validation rows, by the arm that has both.
- One draw of 300 labels and 2,000 texts, and three seeds: intervals are over seeds and test rows, not over draws.
""",
    distil=lambda recipe: distil_all([recipe], run_folder("newsgroups") / TEACHER),
)
