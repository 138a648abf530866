"""Text: Reuters R8: a sentence transformer into microseconds."""

from __future__ import annotations

from benchmarks.examples.texts import several_students

EXAMPLE = several_students(
    "r8",
    "reuters-r8",
    {"`static_embedding`": "", "`bag_hashed`": "_bag", "`transformer_tiny`": "_transformer"},
    title="Reuters R8: a sentence transformer into microseconds",
    about="""
Newswire of 1987 about eight subjects, of which two, `earn` and `acq`, are three quarters of the texts and `grain` is
less than one in a hundred. The copy is in lower case, without numbers and punctuation. The teacher's encoder was left
as it is, and the head's settings are those of the 20 Newsgroups, where tuning all of it was no better.

Three students share the teacher and its answers: one that looks words up and averages (`static_embedding`, on this
page), one that hashes words and pairs of words (`bag_hashed`), and a transformer of two layers (`transformer_tiny`),
each by a recipe of its own beside `r8.toml`: `r8_bag.toml` and `r8_transformer.toml`. Their settings were set once and
not searched. All read 64 tokens, as the teacher does; the run of this page is from before students read whole texts.
""",
    limits="""
- One draw of 300 labels and 2,000 texts: intervals are over seeds of the students and test rows, not over draws or
  teachers.
- Accuracy here is mostly that of two classes. The rarest has a handful of test rows, and nothing is shown of it.
- Much of R8 is told by single words, so that a bag of words is hard to beat: read the gain beside that of
  20 Newsgroups.
""",
)
