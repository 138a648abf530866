"""A fitted tree as rules that a person can read, in the raw columns' own units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import UsageError
from stillhouse.students.trees import TreeEnsemble

ZERO = 1e-6  # a threshold below it is 0: the rest is rounding of the standardisation


class Column(NamedTuple):
    """The meaning of one encoded value in the raw row."""

    name: str
    category: str | None = None  # the value is 1 where the column holds this category, else 0
    mean: float = 0.0  # encoded = (raw - mean) * factor
    factor: float = 1.0  # at least 0; 0: the column never varied

    def raw(self, encoded: float) -> float:
        """An encoded value in the column's units."""
        return encoded / self.factor + self.mean if self.factor else self.mean


class Leaf(NamedTuple):
    """The outputs of a leaf in words."""

    answer: str  # "class: ill"
    detail: str = ""  # "ill 0.50, well 0.50"


def as_rules(tree: TreeEnsemble, columns: Sequence[Column], describe: Callable[[NDArray[np.float64]], Leaf]) -> str:
    """Indented rules; each leaf shows its answer and the share of the training rows that end there.

    Args:
        tree: One tree, as ``fit_soft("decision_tree", ...)`` returns it.
        columns: One for each value of the flattened encoded input.
        describe: From the outputs (K,) of a leaf to words.

    Raises:
        UsageError: more than one tree, which has no readable rules, or names for another number of columns.

    Example:
        >>> from stillhouse.students.trees import stump
        >>> print(as_rules(TreeEnsemble(stump(1), inputs=1), [Column("age")], lambda value: Leaf(f"dose: {value[0]}")))
        |--- dose: 0.0 (100.0% of the training rows)
    """
    if len(tree.roots) != 1 or tree.value.shape[1] != tree.outputs:
        raise UsageError(f"A sum of {len(tree.roots)} trees has no readable rules. Use the student `decision_tree`.")
    if len(columns) != tree.inputs:
        raise UsageError(
            f"The tree reads {tree.inputs} values, but there are {len(columns)} names. "
            "Give the columns of its own encoder."
        )
    return "\n".join(_Writer(tree, columns, describe).lines(int(tree.roots[0]), 0))


class _Writer:
    """The tree as plain lists, and how its figures are written."""

    def __init__(
        self, tree: TreeEnsemble, columns: Sequence[Column], describe: Callable[[NDArray[np.float64]], Leaf]
    ) -> None:
        self.columns = [column._replace(name=one_line(column.name)) for column in columns]
        self.describe = describe
        self.feature, self.threshold = tree.feature.tolist(), tree.threshold.tolist()
        self.left, self.right, self.share = tree.left.tolist(), tree.right.tolist(), tree.share.tolist()
        self.outputs: NDArray[np.float64] = (tree.base + tree.value).double().cpu().numpy()
        self.decimals = self._decimals()

    def lines(self, node: int, depth: int) -> Iterator[str]:
        """The rules below a node."""
        bars = "|   " * depth + "|--- "
        if self.left[node] == node:
            yield f"{bars}{self.leaf(node)}"
            return
        for child, rule in zip((self.left[node], self.right[node]), self.question(node), strict=True):
            yield f"{bars}{rule}"
            yield from self.lines(child, depth + 1)

    def question(self, node: int) -> tuple[str, str]:
        """The conditions on the left and on the right of a split."""
        column, threshold = self.columns[self.feature[node]], self.threshold[node]
        if column.category is not None:
            category = one_line(column.category)
            return f"{column.name} is not {category}", f"{column.name} is {category}"
        value = f"{column.raw(threshold):.{self.decimals}f}"
        return f"{column.name} <= {value}", f"{column.name} >  {value}"

    def leaf(self, node: int) -> str:
        """The answer of a leaf, and its share of the rows."""
        answer, detail = self.describe(self.outputs[node])
        rows = [f"{self.share[node]:.1%} of the training rows"] if self.share else []
        more = "; ".join([*([detail] if detail else []), *rows])
        return f"{answer} ({more})" if more else answer

    def _decimals(self) -> int:
        """As many decimals as show three digits of the smallest threshold, between 2 and 6."""
        splits = [i for i, left in enumerate(self.left) if left != i and self.columns[self.feature[i]].category is None]
        sizes = [abs(self.columns[self.feature[i]].raw(self.threshold[i])) for i in splits]
        least = min((size for size in sizes if size >= ZERO), default=1.0)
        return min(max(2 - math.floor(math.log10(least)), 2), 6)


def one_line(name: str) -> str:
    """A name on one line: rules are read line by line."""
    return " ".join(name.split())
