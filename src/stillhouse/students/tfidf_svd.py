"""Vectors of texts without a teacher: TF-IDF, reduced by a singular value decomposition (latent semantic analysis).

Deerwester et al., "Indexing by latent semantic analysis", Journal of the American Society for Information Science 1990.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from stillhouse.students.bounds import whole
from stillhouse.students.fitted_student import FittedStudent
from stillhouse.students.soft_rows import Rows
from stillhouse.students.text import MOST_WORDS
from stillhouse.students.text_parts import text_length
from stillhouse.students.tfidf import Grams, WeighedGrams, counted, inverse_frequencies, weighed
from stillhouse.task import Link


@dataclass(frozen=True, kw_only=True)
class TfidfSvd(FittedStudent):
    """The first K right singular vectors of the TF-IDF of the training texts; the values of the targets are not read.

    Args:
        vocabulary: number of token ids; in a run it is that of the tokenizer.
        buckets: numbers that runs of two and three tokens share.
        ngrams: longest run, 1 to 3.
    """

    reads = ("text",)

    vocabulary: int = 8192
    buckets: int = 16384
    ngrams: int = 1

    def __post_init__(self) -> None:
        whole("vocabulary", self.vocabulary, least=2)
        whole("buckets", self.buckets, least=2)
        whole("ngrams", self.ngrams, most=MOST_WORDS)

    def in_words(self, link: Link) -> str:
        """TF-IDF with the decomposition."""
        return "TF-IDF with a singular value decomposition"

    def fit(self, rows: Rows, seed: int) -> WeighedGrams:
        """Fit; the seed draws the start of the decomposition. Coordinates that the texts do not span stay 0."""
        from sklearn.decomposition import TruncatedSVD

        net = self.unfitted(rows.inputs.shape[1:], rows.targets.shape[1])
        counts = counted(net.grams, rows.inputs)
        net.idf.copy_(torch.from_numpy(inverse_frequencies(counts)))
        seen = np.flatnonzero(net.idf.numpy())
        x = weighed(counts[:, seen], net.idf.numpy()[seen].astype(np.float64))
        width = min(rows.targets.shape[1], min(x.shape) - 1)
        if width > 0:
            found = TruncatedSVD(width, random_state=seed).fit(x).components_.T
            net.weight[seen, :width] = torch.from_numpy(found).to(net.weight.dtype)
        return net

    def unfitted(self, shape: tuple[int, ...], outputs: int) -> WeighedGrams:
        """All weights 0."""
        text_length("TF-IDF", shape)
        return WeighedGrams(Grams(self.vocabulary, self.buckets, self.ngrams), outputs)
