"""The cheap models that a competent person tries in a minute: what a distilled student must be better than."""

from __future__ import annotations

from typing import Any

from stillhouse.students.families import Member
from stillhouse.students.fitted import is_installed
from stillhouse.task import Link

STRENGTHS = (0.01, 0.1, 1.0)  # of logistic and ridge regression on standardised inputs
TEXT_STRENGTHS = (1.0, 10.0, 100.0)  # rows have length 1, so their weights must be larger

BOOSTED: tuple[dict[str, Any], ...] = (  # few labels allow few leaves
    {"max_iter": 50, "max_leaf_nodes": 4, "min_samples_leaf": 20},
    {"max_iter": 100, "max_leaf_nodes": 8, "min_samples_leaf": 20},
)


MANY = 50  # outputs: boosting fits a tree for each, and so many are no model of a minute


def simple_candidates(shape: tuple[int, ...], text: bool, link: Link, outputs: int = 1) -> tuple[Member, ...]:
    """Fitted students with settings, for the inputs of a run; the one that is best on validation rows is the rival.

    Args:
        shape: of one encoded row.
        text: whether rows are token ids; ``vocabulary`` is then left to the caller, as for every net of texts.
        link: what outputs are.
        outputs: how many there are.

    >>> [member.name for member in simple_candidates((128,), text=True, link="sigmoid")]
    ['tfidf_linear', 'tfidf_linear', 'tfidf_linear']
    """
    if text:
        bayes = (Member("tfidf_linear", {"variant": "naive_bayes"}),) if link == "softmax" else ()
        return (*(Member("tfidf_linear", {"C": c}) for c in TEXT_STRENGTHS), *bayes)
    linear = tuple(Member("logistic", {"C": c}) for c in STRENGTHS)
    if outputs > MANY and len(shape) != 3:
        return linear
    if len(shape) == 3:
        return (*(Member("hog_linear", {"C": c}) for c in STRENGTHS), *linear[:2])  # pixels are many
    boosting = "lightgbm" if is_installed("lightgbm") else "gradient_boosting"
    return (*linear, *(Member(boosting, size) for size in BOOSTED))
