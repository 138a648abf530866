"""Measures of language models from sums over documents; the mean over tokens is a ratio of two sums."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from stillhouse.evaluation.statistics import Floats, Statistic, ratio, root
from stillhouse.task import Measure, Record
from stillhouse.tasks.language_modelling import records as kept

LOSS, BITS, KNOWN = "loss", "bits_per_byte", "known"
KL, REVERSE, ACCEPTANCE, AGREEMENT, RMS = "kl", "reverse_kl", "acceptance", "agreement", "rms_change"
QUANTILES = (0.5, 0.9, 0.99)


def _nats(label: str, listed: bool = False) -> Measure:
    return Measure(label, "nats", False, (0.0, np.inf), listed=listed)


def _share(label: str, higher: bool = True) -> Measure:
    return Measure(label, "share", higher, (0.0, 1.0), listed=True)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        BITS: Measure("bits per byte", "", False, (0.0, np.inf), ("better in {label}", "worse in {label}")),
        LOSS: _nats("loss a token"),
        KNOWN: Measure("tokens in its vocabulary", "share", True, (0.0, 1.0)),
        KL: _nats("KL from the teacher", listed=True),
        REVERSE: _nats("reverse KL", listed=True),
        ACCEPTANCE: _share("acceptance (1 - TV)"),
        AGREEMENT: _share("same top token"),
        RMS: _share("RMS change of a token's probability", higher=False),
    }
)


def quality(record: Record) -> dict[str, Statistic]:
    """Loss in nats a token; bits per byte of text; the share of tokens in the net's own vocabulary."""
    bits = ratio(record[kept.NLL_BYTES], math.log(2) * record[kept.BYTES])
    tokens = record[kept.TOKENS]
    return {BITS: bits, LOSS: ratio(record[kept.NLL], tokens), KNOWN: ratio(record[kept.KNOWN], tokens)}


def fidelity(record: Record) -> dict[str, Statistic]:
    """Means over tokens: both KL divergences, 1 - total variation, the same most probable token, and the root mean
    square change of the probability of the token that follows.
    """  # noqa: D205
    names = {KL: kept.KL, REVERSE: kept.REVERSE, ACCEPTANCE: kept.ACCEPTED, AGREEMENT: kept.AGREED}
    tokens = record[kept.TOKENS]
    found = {name: ratio(record[key], tokens) for name, key in names.items()}
    return found | {RMS: root(ratio(record[kept.SQUARES], tokens))}


def quantiles(record: Record) -> dict[str, float]:
    """Quantiles over tokens of the KL from the teacher, in nats, to within an eighth of their size."""
    counts: Floats = record[kept.HISTOGRAM].sum(0)
    upto = np.cumsum(counts) / max(counts.sum(), 1.0)
    ends = np.append(kept.EDGES, kept.EDGES[-1])
    return {f"{q:g}": float(ends[int(np.searchsorted(upto, q))]) for q in QUANTILES}
