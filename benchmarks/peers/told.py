"""The sentences of docs/peers.md that no figure writes."""

from __future__ import annotations

from typing import NamedTuple


class Told(NamedTuple):
    """Of a section: its title, what the world is, and why the order is what it is."""

    title: str
    about: str
    why: str


ABOUT = """
# What one would do instead

Written by `python -m benchmarks.peers`. Each peer had the same rows, the same labels, the same validation rows and,
where a teacher is named, the same stored answers of the same teacher. It ran in a process of its own, AutoGluon,
imodels and model2vec in environments of their own, with documented calls and settings that were not searched on
these rows. No peer saw a label of a test row: its answers to the test rows were judged here. Our rows come
from the runs behind the pages of the examples.

CPU-seconds are of the process, on one thread, for one fit, reading of the rows left out; our runs do not count theirs.
Milliseconds are the CPU time of `predict` from raw rows (a data frame, texts, pictures) to probabilities, the median
of repeated calls. The machine was shared with other work, so that times bear only large gaps. Bytes are not counted
alike: of ours and of the loop they are the weights (our card, `model.json`, comes on top: 7 KB for the table, 0.5 MB
for texts, where it holds the tokenizer), of LightGBM its model file, of imodels' and scikit-learn's trees a pickle, of
TF-IDF the words and the table as float16, of model2vec vectors and head, of AutoGluon the files of the models that
answer. A dash: not measured. There is one draw of labels and rows: read gaps of a point or two as none.
""".strip()

TOLD = {
    "table": Told(
        "A table: churn, 300 labels",
        """
5,000 customers, 19 columns with categories, two classes: 300 labels, 2,675 rows without one, 525 labelled validation
rows, 1,500 test rows ([the example](examples/churn.md)). The teacher is boosted trees that saw every label. The trees
of imodels and scikit-learn were given columns of 0 and 1 for the categories, made before.
""",
        """
Why: the teacher is boosted trees, and trees copy trees better than a net of 32 hidden units does; here even one tree
of 16 leaves does, which is smaller too. Our own run says so: its `simple_distilled` is LightGBM on the teacher's
answers, and `predict --arm simple_distilled` hands it over. `[student] name = "lightgbm"`, `"figs"` or
`"decision_tree"` make such a model the student. FIGS' log-loss suffers from the form of its probabilities, a tree of
few labels (CART) from leaves that are sure.
""",
    ),
    "texts": Told(
        "Texts: 20 Newsgroups, 300 labels",
        """
20 classes: 300 labels, 2,000 texts without one, 256 labelled validation texts, 1,000 test texts ([the
example](examples/newsgroups.md)). The teacher is all-MiniLM-L6-v2 with a linear head trained on the same 300 labels;
it reads 64 tokens, the others whole texts.
""",
        """
Why: on these texts single words tell the class, and a whole text has more of them than the 64 tokens that the teacher
reads. Our student is itself a linear model of words, so no gap is left in accuracy. The peers' log-loss is higher
because nobody fitted their confidence; ours is fitted on the validation rows. Our student is the larger one: it also
reads pairs of words. model2vec's vectors stay as they are: only the linear head on their 256 numbers learns.
""",
    ),
    "pictures": Told(
        "Pictures: MNIST-5k, 200 labels",
        """
200 labels, 3,800 pictures without one, 1,000 test pictures ([the example](examples/mnist.md)). The teacher is a
convolutional net that saw 4,000 labels. Both peers train the same net as our student, 600 steps.
""",
        """
Why: our recipe asks the teacher about changed pictures; the loop only moves each picture and keeps the answer to the
unmoved one, which teaches this net as much. Such a loop is enough to have the student. What a run adds is the controls
and the intervals that say whether the teacher was worth it, not accuracy.
""",
    ),
}

NOT_RUN = {
    "AutoGluon's `distill()` with our teacher's answers": "it has no way in for a teacher from outside. Handing the "
    "answers over as a model of its own kind was tried; they did not reach its students, so there is no figure. Above, "
    "its teacher is its own.",
    "sentence-transformers": "a release of its own would bring PyTorch for CUDA. What it would do here, "
    "static embeddings trained against MiniLM's vectors, is a student of ours ([embeddings](examples/embeddings.md)).",
}
