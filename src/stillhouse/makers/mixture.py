"""A mixture of Gaussians, fitted to the encoded real rows (scikit-learn's); categories are the likeliest ones drawn."""

from __future__ import annotations

import numpy as np
import torch

from stillhouse.data.source import Ints, Raw
from stillhouse.data.splitmix import normal, words
from stillhouse.data.summaries import frame_of
from stillhouse.makers.base import ROWS, Form, Maker, draws
from stillhouse.methods.base import Paper

_CHOICE, _NORMAL = 79, 80  # streams of random words
ROWS_EACH = 15  # real rows for each part, by default
_MOST, _LEAST = 60, 2
_MARKS = 4.0  # by how much marks of categories and gaps are further apart than their 0 and 1: `spread` mixes them less


class Mixture(Maker):
    """A mixture of Gaussians.

    Args:
        parts: how many Gaussians; 0: one for each 15 rows, 2 to 60.
        spread: added to the variances, in units of the encoded columns, whose variance is 1.
    """

    paper = Paper(
        "Dempster, Laird and Rubin", "Maximum likelihood from incomplete data via the EM algorithm", "JRSS B", 1977
    )
    prior = "some real rows, and that rows near them are rows too"
    needs = frozenset({ROWS})
    kinds = frozenset({"table", "array"})
    rank = 30

    def __init__(self, *, parts: int = 0, spread: float = 0.1) -> None:
        if parts < 0 or not spread > 0:
            raise ValueError("parts is at least 0 and spread above 0. Write `parts = 0`, `spread = 0.1`.")
        self.parts, self.spread = parts, spread

    def make(self, form: Form, ids: Ints, seed: int) -> Raw:
        """Rows around those of a part that was drawn by its weight."""
        from sklearn.mixture import GaussianMixture

        whole = form.encoder.encode(form.real).double().numpy()
        varies = whole.std(0) > 0
        scale = np.full(whole.shape[1], _MARKS)
        scale[list(form.encoder.noise_columns or range(len(scale)))] = 1.0
        real = (whole * scale)[:, varies]
        parts = min(self.parts or int(np.clip(len(real) // ROWS_EACH, _LEAST, _MOST)), len(real))
        fitted = GaussianMixture(parts, reg_covar=self.spread, random_state=seed, max_iter=50).fit(real)
        roots = np.linalg.cholesky(fitted.covariances_)
        ends = np.cumsum(fitted.weights_)
        chosen = np.minimum(np.searchsorted(ends, draws(seed, _CHOICE, ids, 1)[:, 0] * ends[-1]), parts - 1)
        drawn = normal(words(seed, _NORMAL, ids), real.shape[1]).astype(np.float64)
        made = np.repeat(whole[:1].astype(np.float32), len(ids), axis=0)
        for place, part in enumerate(chosen):  # one by one: the same row whatever is made beside it
            made[place, varies] = (fitted.means_[part] + roots[part] @ drawn[place]) / scale[varies]
        cells = frame_of(form.encoder.decode(torch.from_numpy(made)))
        return form.from_cells({str(name): cells[name].to_numpy() for name in cells.columns})


MAKER = Mixture
