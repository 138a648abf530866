"""Students by kind of data: the cheap models of a minute, and the families that a tournament tries."""

from __future__ import annotations

from typing import Any

import torch

from stillhouse.errors import UsageError
from stillhouse.students import zoo
from stillhouse.students.families import FAMILIES, Member
from stillhouse.students.fitted import is_installed
from stillhouse.task import Link
from stillhouse.types import count_parameters

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


TREES: dict[str, tuple[dict[str, Any], ...]] = {
    "decision_tree": tuple({"max_leaf_nodes": n, "max_depth": d} for n, d in ((8, 6), (16, 8), (32, 10), (64, 12))),
    "figs": tuple({"max_splits": n} for n in (8, 15, 31)),
    "lightgbm": (*BOOSTED, {"max_iter": 200, "max_leaf_nodes": 16}, {"max_iter": 300, "max_leaf_nodes": 31}),
    "gradient_boosting": (*BOOSTED, {"max_iter": 200, "max_leaf_nodes": 16}),
}


def fitted_families(shape: tuple[int, ...], text: bool, link: Link, outputs: int) -> dict[str, tuple[Member, ...]]:
    """Students that are fitted at once to inputs of a kind, by name, each with settings from small to large.

    Args:
        shape: of one encoded row.
        text: whether rows are token ids.
        link: what outputs are.
        outputs: how many there are.

    >>> list(fitted_families((1, 28, 28), text=False, link="softmax", outputs=10))
    ['hog_linear', 'logistic']
    """
    found: dict[str, tuple[Member, ...]] = {}
    for member in simple_candidates(shape, text, link, outputs):
        found[member.name] = (*found.get(member.name, ()), member)
    if text or len(shape) == 3:  # trees of pixels are many and weak
        return found
    boosting = [name for name in ("lightgbm", "gradient_boosting") if name in found]
    for name in ("decision_tree", "figs", *boosting):
        found[name] = tuple(Member(name, settings) for settings in TREES[name])
    return found


def net_families(
    shape: tuple[int, ...], outputs: int, vocabulary: int | None, most: int, least: int
) -> dict[str, tuple[Member, ...]]:
    """Nets that read inputs of a kind, by family, each from small to large.

    Args:
        shape: of one encoded row.
        outputs: width of the output.
        vocabulary: number of token ids, for texts; None: rows are numbers.
        most: learned numbers of the largest.
        least: learned numbers of the smallest.

    >>> list(net_families((16,), 3, None, most=2000, least=100))
    ['mlp', 'soft_tree']
    """
    found = {}
    for family, members in FAMILIES.items():
        reads_text = "vocabulary" in zoo.defaults(members[0].name)
        if reads_text != (vocabulary is not None):
            continue
        own = {"vocabulary": vocabulary} if reads_text else {}
        sized = [(one, _parameters(one._replace(settings={**one.settings, **own}), shape, outputs)) for one in members]
        fitting = tuple(member for member, size in sized if size is not None and least <= size <= most)
        if fitting:
            found[family] = fitting
    return found


def _parameters(member: Member, shape: tuple[int, ...], outputs: int) -> int | None:
    """How many numbers a net learns; None where it cannot read such rows."""
    try:
        with torch.device("meta"):
            return count_parameters(zoo.make(member.name, shape=shape, outputs=outputs, settings=member.settings))
    except UsageError:
        return None
