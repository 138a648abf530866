"""A Gaussian copula of the real rows: each column keeps its values, and pairs of columns their rank correlation.

Categories are ordered by how often they come. Nelsen, "An Introduction to Copulas", Springer, 2006, chapter 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.source import Ints, Raw
from stillhouse.data.splitmix import normal, words
from stillhouse.data.summaries import ordered, summaries
from stillhouse.makers.base import ROWS, Form, Maker, draws
from stillhouse.methods.base import Paper

_NORMAL, _GAPS = 77, 78  # streams of random words


class Copula(Maker):
    """A Gaussian copula.

    Args:
        shrink: share of the identity in the correlation, so that few rows do not make it singular.
    """

    paper = Paper("Patki, Wedge and Veeramachaneni", "The synthetic data vault", "DSAA", 2016)
    prior = "some real rows: the values of each column, and how each two columns go together"
    needs = frozenset({ROWS})
    kinds = frozenset({"table", "array"})
    rank = 20

    def __init__(self, *, shrink: float = 0.02) -> None:
        if not 0 < shrink <= 1:
            raise ValueError(f"shrink = {shrink:g} is a share above 0 and up to 1. Write `shrink = 0.02`.")
        self.shrink = shrink

    def make(self, form: Form, ids: Ints, seed: int) -> Raw:
        """Rows with the ranks of correlated normal numbers."""
        from scipy.special import ndtr

        assert form.real is not None
        summary, scores = summaries(form.real), ordered(form.real)
        root = np.linalg.cholesky(self.correlation(scores))
        keys = words(seed, _NORMAL, ids)
        drawn = normal(keys, len(summary)).astype(np.float64)
        # Sums of products one by one: a matrix product may round by the size of the batch.
        shares = np.stack([ndtr((drawn[:, : k + 1] * root[k, : k + 1]).sum(1)) for k in range(len(summary))], 1)
        gaps = draws(seed, _GAPS, ids, len(summary))
        cells = {
            name: one.cells(np.clip(shares[:, k], 0, 1 - 1e-9), gaps[:, k] < one.missing)
            for k, (name, one) in enumerate(summary.items())
        }
        return form.from_cells(cells)

    def correlation(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Correlation (K, K) of normal scores of ranks (N, K)."""
        from scipy.special import ndtri
        from scipy.stats import rankdata

        ranks = (rankdata(scores, axis=0) - 0.5) / len(scores)
        normals = ndtri(ranks)
        spread = normals.std(0)
        normals = (normals - normals.mean(0)) / np.where(spread > 0, spread, 1)
        found: NDArray[np.float64] = normals.T @ normals / len(scores)
        return np.asarray((1 - self.shrink) * found + np.diag(1 - (1 - self.shrink) * np.diag(found)))


MAKER = Copula
