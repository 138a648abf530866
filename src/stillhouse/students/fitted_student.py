"""What a student is that is fitted at once: settings, a fit to soft targets, and a module that takes the weights."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import nn

from stillhouse.students.soft_rows import Rows
from stillhouse.students.trees import TreeEnsemble, stump
from stillhouse.task import Link

Reads = Literal["table", "image", "text"]


class FittedStudent(ABC):
    """A dataclass whose fields are the settings of the recipe.

    Attributes:
        reads: the kinds of inputs that it understands; texts are token ids (N, L) int64, where 0 is padding.
        package: that ``fit`` needs beyond those of every installation; loading and
            predicting need none.
    """

    reads: ClassVar[tuple[Reads, ...]]
    package: ClassVar[str | None] = None

    def in_words(self, link: Link) -> str:
        """Its name in a sentence, such as "logistic regression"."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).lower()

    @abstractmethod
    def fit(self, rows: Rows, seed: int) -> nn.Module:
        """Fit a module from encoded inputs to outputs (B, K); the same arguments give the same bits."""

    @abstractmethod
    def unfitted(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """The module that the weights of a fit with the same settings, shape and outputs are loaded into.

        Raises:
            ValueError, UsageError: inputs of this shape cannot be read.
        """


class FittedTrees(FittedStudent):
    """One tree or a sum of trees of the flattened inputs."""

    reads = ("table", "image")

    def unfitted(self, shape: tuple[int, ...], outputs: int) -> TreeEnsemble:
        """An ensemble of one empty leaf; any fitted ensemble of the same inputs and outputs can be loaded into it."""
        return TreeEnsemble(stump(outputs), math.prod(shape))
