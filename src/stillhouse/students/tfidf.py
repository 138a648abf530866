"""A linear model of weighted counts of tokens and of runs of tokens (TF-IDF), fitted at once; microseconds a text.

Weights of counts: Salton and Buckley, "Term-weighting approaches in automatic text retrieval" (1988), as scikit-learn's
``TfidfVectorizer(sublinear_tf=True)`` computes them. Naive Bayes: Rennie, Shih, Teevan and Karger, "Tackling the poor
assumptions of naive Bayes text classifiers" (ICML 2003), the complement form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.students.bounds import above_zero, one_of, whole
from stillhouse.students.fitted_student import FittedStudent
from stillhouse.students.linear_fitting import fit_linear
from stillhouse.students.naive_bayes import complement_naive_bayes
from stillhouse.students.soft_rows import Rows
from stillhouse.students.text import MOST_WORDS, HashedGrams
from stillhouse.students.text_parts import PADDING, text_length
from stillhouse.task import Link

CHUNK = 4096  # texts whose runs are numbered at once
VARIANTS = ("logistic", "naive_bayes")


@dataclass(frozen=True, kw_only=True)
class TfidfLinear(FittedStudent):
    """Logistic regression or complement naive Bayes on TF-IDF of tokens and runs of tokens (ridge for values).

    A token has a weight of its own; longer runs share ``buckets`` by a hash, so the size is fixed. Weights are stored
    as float16.

    Args:
        variant: ``"logistic"``, or ``"naive_bayes"`` for classes: the complement form, whose temperature is fitted by
            cross-validation on the training rows.
        C: inverse strength of the penalty on squared weights, as in scikit-learn; for ``"logistic"``.
        alpha: counts that are added to each token in naive Bayes.
        vocabulary: number of token ids; in a run it is that of the tokenizer.
        buckets: numbers that runs of two and three tokens share.
        ngrams: longest run, 1 to 3.
    """

    reads = ("text",)

    variant: Literal["logistic", "naive_bayes"] = "logistic"
    C: float = 10.0
    alpha: float = 0.1
    vocabulary: int = 8192
    buckets: int = 16384
    ngrams: int = 1

    def __post_init__(self) -> None:
        one_of("variant", self.variant, VARIANTS)
        above_zero("C", self.C)
        above_zero("alpha", self.alpha)
        whole("vocabulary", self.vocabulary, least=2)
        whole("buckets", self.buckets, least=2)
        whole("ngrams", self.ngrams, most=MOST_WORDS)

    def in_words(self, link: Link) -> str:
        """TF-IDF with the model on it."""
        if self.variant == "naive_bayes":
            return "TF-IDF with complement naive Bayes"
        return f"TF-IDF with {'ridge' if link == 'identity' else 'logistic'} regression"

    def fit(self, rows: Rows, seed: int) -> WeighedGrams:
        """Fit; the seed draws the folds of the temperature.

        Raises:
            UsageError: inputs are not token ids below ``vocabulary``, or naive Bayes is asked for something else than
                classes.
        """
        if self.variant == "naive_bayes" and rows.link != "softmax":
            raise UsageError(
                'variant = "naive_bayes" needs classes of which a text has one. Write `variant = "logistic"`.'
            )
        net = self.unfitted(rows.inputs.shape[1:], rows.targets.shape[1])
        counts = counted(net.grams, rows.inputs)
        net.idf.copy_(torch.from_numpy(inverse_frequencies(counts)))
        seen = np.flatnonzero(net.idf.numpy())  # a weight of what no training text holds would stay 0
        x = weighed(counts[:, seen], net.idf.numpy()[seen].astype(np.float64))
        if self.variant == "logistic":
            table, intercepts = fit_linear(x, rows, self.C)
        else:
            table, intercepts = complement_naive_bayes(x, rows, self.alpha, seed)
        net.weight[seen] = torch.from_numpy(table).to(net.weight.dtype)
        net.bias.copy_(torch.from_numpy(intercepts))
        return net

    def unfitted(self, shape: tuple[int, ...], outputs: int) -> WeighedGrams:
        """All weights 0."""
        text_length("TF-IDF", shape)
        return WeighedGrams(Grams(self.vocabulary, self.buckets, self.ngrams), outputs)


class Grams(nn.Module):
    """Numbers of all runs of up to ``ngrams`` tokens: a token's is its id, longer runs have hashed ones behind."""

    def __init__(self, vocabulary: int, buckets: int, ngrams: int) -> None:
        super().__init__()
        self.vocabulary, self.hashed = vocabulary, HashedGrams(vocabulary, buckets, ngrams) if ngrams > 1 else None
        self.numbers = vocabulary + (buckets - 1 if ngrams > 1 else 0)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, L) to numbers (B, P) int64 below ``numbers``; 0 is padding, or a run with padding in it."""
        if self.hashed is None:
            return ids
        buckets = self.hashed(ids)[:, ids.shape[1] :]
        longer = torch.where(buckets == PADDING, PADDING, buckets + (self.vocabulary - 1))
        return torch.cat([ids, longer], 1)


class WeighedGrams(nn.Module):
    """Outputs (B, K) of token ids (B, L) of any length L: ``bias`` plus the weights of the runs of a text.

    A run that stands n times in a text counts ``(1 + log n) * idf``, and these counts are divided by their length
    (l2). All of the state are buffers: nothing here is trained by steps.
    """

    idf: Tensor  # (numbers,) float32; 0 for padding and for what no training text holds
    weight: Tensor  # (numbers, K) float16
    bias: Tensor  # (K,) float32

    def __init__(self, grams: Grams, outputs: int) -> None:
        super().__init__()
        self.grams = grams
        self.register_buffer("idf", torch.zeros(grams.numbers))
        self.register_buffer("weight", torch.zeros(grams.numbers, outputs, dtype=torch.float16))
        self.register_buffer("bias", torch.zeros(outputs))

    @property
    def size(self) -> int:
        """Number of fitted values, in place of the parameters in a table of costs."""
        return self.idf.numel() + self.weight.numel() + self.bias.numel()

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, L) int64 to the output float32 (B, K)."""
        runs = self.grams(ids).sort(1).values  # equal runs stand side by side
        first = torch.cat([torch.ones_like(runs[:, :1]), (runs[:, 1:] != runs[:, :-1]).long()], 1)
        own = first.cumsum(1) - 1  # (B, P): which different run of the text stands here
        times = torch.zeros_like(runs).scatter_add(1, own, torch.ones_like(runs)).gather(1, own)
        counts = first * (1.0 + times.float().log()) * self.idf[runs]
        counts = counts / counts.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
        return self.bias + torch.bmm(counts[:, None], self.weight[runs].float())[:, 0]


def counted(grams: Grams, ids: Any) -> Any:
    """How often each run (columns) stands in each text (rows): a CSR matrix (N, numbers) of float64.

    Raises:
        UsageError: the inputs are not token ids below the vocabulary.
    """
    from scipy.sparse import csr_matrix, vstack

    if ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= grams.vocabulary:
        raise UsageError(
            f"TF-IDF reads token ids: whole numbers from 0 to {grams.vocabulary - 1} (setting `vocabulary`). "
            "For numbers use `logistic`."
        )
    parts = []
    for start in range(0, len(ids), CHUNK):
        runs = grams(torch.from_numpy(ids[start : start + CHUNK].astype(np.int64, copy=False))).numpy()
        at, place = np.nonzero(runs != PADDING)
        ones = np.ones(len(at))
        parts.append(csr_matrix((ones, (at, runs[at, place])), shape=(len(runs), grams.numbers)))  # adds duplicates up
    return vstack(parts, format="csr")


def inverse_frequencies(counts: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Smoothed log of one over the share of texts that hold each run; 0 for a run that no text holds."""
    texts = np.bincount(counts.indices, minlength=counts.shape[1])
    found = np.log((1 + counts.shape[0]) / (1 + texts)) + 1
    return np.where(texts > 0, found, 0.0).astype(np.float32)


def weighed(counts: Any, idf: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    """Rows of length 1 from counts: ``(1 + log n) * idf``."""
    found = counts.copy()
    found.data = (1 + np.log(found.data)) * idf[found.indices]
    row = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
    lengths = np.sqrt(np.bincount(row, found.data**2, minlength=found.shape[0]))
    found.data /= np.maximum(lengths, 1e-12)[row]
    return found
