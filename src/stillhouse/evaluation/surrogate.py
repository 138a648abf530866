"""A surrogate: a small decision tree that imitates the student, so that its rules can be read.

After Craven and Shavlik, "Extracting Tree-Structured Representations of Trained Networks" (NeurIPS 1996). The rules
use the raw columns in their own units. Their fidelity is the share of test rows on which tree and student agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stillhouse.data.encoders.base import Readable, one_line
from stillhouse.evaluation.predictions import Integers

LEAVES = (8, 48)  # of the tree, at least and at most; between them 3 for each class
SMALLEST_LEAF = 5  # rows


def fit_surrogate(
    train: Readable, predicted: Integers, test: Readable, test_predicted: Integers, targets: Integers, classes:
    Sequence[str], confidence: float,
) -> dict[str, Any]:  # fmt: skip
    """Fit a tree to a student's predictions of the training rows, and compare them on the test rows.

    Args:
        train: training rows.
        predicted: (N,) the student's classes of them.
        test: test rows.
        test_predicted: (M,) the student's classes of these.
        targets: (M,) the true ones.
        classes: C names.
        confidence: of Wilson's interval of the fidelity.

    Returns:
        ``fidelity`` (with interval), ``accuracy`` of the tree itself, ``majority`` (fidelity of the student's most
        frequent class alone), ``leaves``, ``depth``, ``rows``, ``rules`` as text.
    """
    from scipy.stats import binomtest
    from sklearn.tree import DecisionTreeClassifier

    leaves = int(np.clip(3 * len(classes), *LEAVES))
    smallest = min(SMALLEST_LEAF, max(1, len(predicted) // 20))
    tree = DecisionTreeClassifier(max_leaf_nodes=leaves, min_samples_leaf=smallest, random_state=0)
    tree.fit(train.values, predicted)
    answers = tree.predict(test.values)
    same = int((answers == test_predicted).sum())
    ends = binomtest(same, len(test_predicted)).proportion_ci(confidence, method="wilson")
    most = int(np.bincount(predicted, minlength=len(classes)).argmax())
    return {
        "fidelity": {"value": same / len(test_predicted), "low": float(ends.low), "high": float(ends.high)},
        "accuracy": float((answers == targets).mean()),
        "majority": float((test_predicted == most).mean()),
        "leaves": int(tree.get_n_leaves()),
        "depth": int(tree.get_depth()),
        "rows": len(predicted),
        "rules": rules(tree, train, classes),
    }


def rules(tree: Any, columns: Readable, classes: Sequence[str]) -> str:
    """A fitted tree as indented rules; a 0/1 column reads "is" and "is not", without its threshold of one half."""
    from sklearn.tree import export_text

    named = [one_line(str(classes[c])) for c in tree.classes_]
    depth, digits = max(tree.get_depth(), 1), _decimals(tree)
    text: str = export_text(
        tree, feature_names=list(columns.names), class_names=named, decimals=digits, max_depth=depth
    )
    return "\n".join(_switched(line, columns.switches) for line in text.splitlines())


def _switched(line: str, switches: frozenset[str]) -> str:
    bars, mark, rule = line.partition("--- ")
    for sign, word in ((" <= ", " is not "), (" >  ", " is ")):
        name, found, _ = rule.rpartition(sign)
        if found and name in switches:
            column, _, category = name.partition(" = ")
            return f"{bars}{mark}{column}{word}{category}"
    return line


def _decimals(tree: Any) -> int:
    """As many decimals as show three digits of the smallest threshold, between 2 and 6."""
    thresholds = np.abs(tree.tree_.threshold[tree.tree_.feature >= 0])
    least = float(thresholds[thresholds > 0].min(initial=1.0))
    return int(np.clip(2 - np.floor(np.log10(least)), 2, 6))
