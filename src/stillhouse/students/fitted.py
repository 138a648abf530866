"""Students that are fitted at once, not trained in steps: linear models and trees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from stillhouse import extras
from stillhouse.errors import UsageError, nearest
from stillhouse.settings import check_settings
from stillhouse.students.boosting import GradientBoosting
from stillhouse.students.figs import Figs
from stillhouse.students.fitted_student import FittedStudent, Reads
from stillhouse.students.hog import HogLinear
from stillhouse.students.lightgbm_trees import LightGBM
from stillhouse.students.logistic import Logistic
from stillhouse.students.soft_rows import checked_rows
from stillhouse.students.tfidf import TfidfLinear
from stillhouse.students.tfidf_svd import TfidfSvd
from stillhouse.students.tree_fitting import DecisionTree
from stillhouse.task import Link

FITTED: dict[str, type[FittedStudent]] = {
    "decision_tree": DecisionTree,
    "figs": Figs,
    "gradient_boosting": GradientBoosting,
    "hog_linear": HogLinear,
    "lightgbm": LightGBM,
    "logistic": Logistic,
    "tfidf_linear": TfidfLinear,
    "tfidf_svd": TfidfSvd,
}


def is_fitted(name: str) -> bool:
    """Whether a student of this name is fitted by ``fit_soft`` instead of trained."""
    return name in FITTED


def check_reads(name: str, shape: tuple[int, ...], text: bool) -> None:
    """Refuse a student that is fitted at once and does not understand such inputs, or whose library is missing.

    Nets that are trained pass.

    Args:
        name: of any student.
        shape: of one encoded row.
        text: whether rows are token ids.

    Raises:
        UsageError: it reads other inputs (names students that read these), or a library is not installed.
    """
    if not is_fitted(name):
        return
    kind: Reads = "text" if text else "image" if len(shape) == 3 else "table"
    _check_package(name)
    if kind not in FITTED[name].reads:
        able = ", ".join(repr(other) for other, one in FITTED.items() if kind in one.reads)
        raise UsageError(
            f"The student {name!r} reads {' and '.join(f'{one}s' for one in FITTED[name].reads)}, and these rows are "
            f"{kind}s. Students that are fitted at once to {kind}s: {able}."
        )


def in_words(name: str, settings: Mapping[str, Any], link: Link) -> str:
    """A student that is fitted at once in a sentence.

    >>> in_words("tfidf_linear", {"variant": "naive_bayes"}, "softmax"), in_words("logistic", {}, "identity")
    ('TF-IDF with complement naive Bayes', 'ridge regression')
    """
    return _settled(name, settings).in_words(link)


def fit_soft(
    name: str,
    *,
    inputs: Tensor,
    targets: Tensor,
    weights: Tensor | None,
    settings: Mapping[str, Any],
    seed: int,
    link: Link = "softmax",
) -> nn.Module:
    """Fit a student to probabilities or values; the same arguments give the same bits.

    Args:
        name: One of ``FITTED``.
        inputs: Encoded rows (N, ...), finite, or token ids.
        targets: (N, K): a teacher's outputs, labels, or a mixture of both; see ``link``.
        weights: (N,) at least 0; None: 1 each.
        settings: Keyword arguments of the class in ``FITTED``.
        seed: Of the random choices.
        link: Meaning of targets and outputs: ``"softmax"``, probabilities of K classes that add up to 1 (fitted by the
            cross-entropy; the outputs are their logarithms, up to a constant for each row); ``"sigmoid"``,
            probabilities of K independent labels (the outputs are logits); ``"identity"``, K values (fitted by least
            squares). For the last two, NaN means unknown.

    Raises:
        UsageError: unknown name or setting, a value out of range, or targets that do not fit ``link``.
        RejectedError: inputs that are not finite, or no row with a weight.

    Example:
        >>> import torch
        >>> x = torch.arange(20.0)[:, None]
        >>> p = torch.where(x < 12, torch.tensor([[0.9, 0.1]]), torch.tensor([[0.3, 0.7]]))
        >>> tree = fit_soft("decision_tree", inputs=x, targets=p, weights=None, settings={"smoothing": 0.0}, seed=0)
        >>> tree.size, tree(torch.tensor([[11.0], [12.0]])).softmax(-1)
        (3, tensor([[0.9000, 0.1000],
                [0.3000, 0.7000]]))
    """
    student = _settled(name, settings)
    _check_package(name)
    return student.fit(checked_rows(inputs, targets, weights, link), seed)


def unfitted(name: str, shape: tuple[int, ...], outputs: int, settings: Mapping[str, Any]) -> nn.Module:
    """Make the module of a student without a fit; the state of a fit with these arguments can be loaded into it.

    Raises:
        UsageError: as ``fit_soft``; or the student cannot read inputs of this shape.
    """
    return _settled(name, settings).unfitted(shape, outputs)


def is_installed(name: str) -> bool:
    """Whether the package that a student's fit needs is here."""
    package = FITTED[name].package
    return package is None or extras.is_installed(package)


def _check_package(name: str) -> None:
    if (package := FITTED[name].package) is not None and not is_installed(name):
        others = [other for other, one in FITTED.items() if one.package is None and one.reads == FITTED[name].reads]
        without = f"Without it: {', '.join(map(repr, others))}."
        raise UsageError(f"{extras.missing(package, f'The student {name!r}')} {without}")


def _settled(name: str, settings: Mapping[str, Any]) -> FittedStudent:
    if name not in FITTED:
        raise UsageError(f"No student {name!r} is fitted at once.{nearest(name, FITTED)}")
    check_settings(f"The student {name!r}", FITTED[name], settings)
    try:
        return FITTED[name](**settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The student {name!r} cannot be fitted with {dict(settings)}: {error}.") from error
