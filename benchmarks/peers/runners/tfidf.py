"""TF-IDF of whole texts with logistic regression or complement naive Bayes, by scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from benchmarks.peers.runners.common import Array, Fit, Model, World, run, spread
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import ComplementNB

ALPHA = 0.3
C_LABELS, C_ANSWERS = 30.0, 10.0  # the values of the trial runs, not searched here


def rows(world: World, numbers: Array) -> list[str]:
    found: list[str] = world.frame["text"].iloc[numbers].tolist()
    return found


def fitted(make: Callable[[], Any], answers: bool) -> Fit:
    """A fit of one kind; the vocabulary is always of all training texts, which need no label."""

    def fit(world: World, seed: int) -> Model:
        texts = rows(world, world.train)
        words = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
        x = words.fit_transform(texts)
        known = world.labelled
        positions, classes, weights = world.weighted() if answers else (known, world.labels[known], None)
        model = make().fit(x[positions], classes, sample_weight=weights)
        table = model.coef_ if hasattr(model, "coef_") else model.feature_log_prob_
        size = 2 * table.size + sum(len(word.encode()) + 2 for word in words.vocabulary_)  # float16, and the words

        def predict(given: list[str]) -> Array:
            found = model.predict_proba(words.transform(given))
            return spread(model.classes_, found, len(world.classes))

        return Model(predict, size)

    return fit


def logistic(c: float) -> Callable[[], Any]:
    return lambda: LogisticRegression(C=c, max_iter=60, tol=1e-3)


if __name__ == "__main__":
    entries = {
        "labels": (fitted(logistic(C_LABELS), answers=False), 1),
        "distilled": (fitted(logistic(C_ANSWERS), answers=True), 1),
        "bayes_distilled": (fitted(lambda: ComplementNB(alpha=ALPHA), answers=True), 1),
    }
    run(entries, rows, ("scikit-learn", "numpy"))
