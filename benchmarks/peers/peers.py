"""The peers: what each is, where it runs, and how the page names its entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """One peer on one world.

    Attributes:
        world: of ``world.WORLDS``.
        environment: a file of ``requirements``; None: this environment.
        runner: a file of ``runners``.
        entries: how the page names each entry of the runner.
    """

    world: str
    environment: str | None
    runner: str
    entries: Mapping[str, str]


PEERS = {
    "autogluon": Peer(
        "table",
        "autogluon",
        "automl",
        {
            "own_teacher": "AutoGluon `distill()`, its own teacher of the 300 labels",
            "labels": "AutoGluon, the 300 labels",
        },
    ),
    "lightgbm": Peer(
        "table",
        None,
        "boosting",
        {"distilled": "LightGBM on the teacher's answers", "labels": "LightGBM, the 300 labels"},
    ),
    "imodels": Peer(
        "table",
        "imodels",
        "trees",
        {
            "figs_distilled": "FIGS (imodels), 16 leaves, the teacher's answers",
            "shrinkage_distilled": "Hierarchical shrinkage (imodels), 16 leaves, the teacher's answers",
            "cart_distilled": "CART (scikit-learn), 16 leaves, the teacher's answers",
            "figs_labels": "FIGS (imodels), 16 leaves, the 300 labels",
            "shrinkage_labels": "Hierarchical shrinkage (imodels), 16 leaves, the 300 labels",
            "cart_labels": "CART (scikit-learn), 16 leaves, the 300 labels",
        },
    ),
    "tfidf": Peer(
        "texts",
        None,
        "tfidf",
        {
            "distilled": "TF-IDF and logistic regression, the teacher's answers",
            "bayes_distilled": "TF-IDF and complement naive Bayes, the teacher's answers",
            "labels": "TF-IDF and logistic regression, the 300 labels",
        },
    ),
    "model2vec": Peer(
        "texts",
        "model2vec",
        "static",
        {
            "distilled": "model2vec and logistic regression, the teacher's answers",
            "labels": "model2vec (made before) and logistic regression, the 300 labels",
        },
    ),
    "loop": Peer(
        "pictures",
        None,
        "loop",
        {"distilled": "A loop in PyTorch, the teacher's answers", "fixmatch": "FixMatch-like, 200 labels, no teacher"},
    ),
}
