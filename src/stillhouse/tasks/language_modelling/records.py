"""What is kept of a language model's answers: sums over the tokens of each document, beside the teacher's answers.

The full distributions of both are needed for this, so every net answers a window before the next one is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data import Prepared
from stillhouse.data.corpus.prepare import OWNER
from stillhouse.functional.kept_classes import spread
from stillhouse.task import Record, Streamed

# Sums over the counted tokens of a document; of "bytes" and "nll_bytes" only tokens that stand for text count.
TOKENS, BYTES, NLL, NLL_BYTES = "tokens", "bytes", "nll", "nll_bytes"
KL, REVERSE, ACCEPTED, AGREED, SQUARES, KNOWN = "kl", "reverse_kl", "accepted", "agreed", "squares", "known"
SUMS = (TOKENS, BYTES, NLL, NLL_BYTES, KL, REVERSE, ACCEPTED, AGREED, SQUARES, KNOWN)
HISTOGRAM = "kl_histogram"  # (D, bins + 1): tokens by their KL to the teacher
EDGES = np.geomspace(1e-5, 1e2, 141)  # nats, 20 bins for each power of ten
PIECE = 256  # positions whose distributions are compared together

Net = Callable[[Tensor], Tensor]


@torch.inference_mode()
def stream(
    nets: Mapping[str, Net], data: Prepared, part: str, most: int | None, advance: Callable[[int], None]
) -> Streamed:
    """See ``Task.stream``; the things that are judged are the documents of the part, in their order."""
    encoder: Any = data.encoder
    numbers = np.asarray(getattr(data.split, part))[:most]
    owners: NDArray[np.int32] = np.asarray(data.source.kept[OWNER])[numbers]
    rows = getattr(data, part)
    sizes = torch.from_numpy(encoder.bytes)
    documents, first = _documents(owners)
    sums = {name: np.zeros((len(documents), len(SUMS))) for name in nets}
    bins = {name: np.zeros((len(documents), len(EDGES) + 1)) for name in nets}
    for row in range(len(numbers)):
        targets = rows.targets[row]
        counted = torch.nonzero(targets >= 0).flatten()
        place = np.searchsorted(documents, owners[row][counted.numpy()])
        inputs, true = rows.inputs[row : row + 1], targets[counted]
        teacher: Tensor | None = None
        for name, net in nets.items():
            log_q = _whole(net, inputs, counted, len(sizes))
            teacher = log_q if teacher is None else teacher
            found, apart = _compared(log_q, teacher, true, sizes)
            found[:, SUMS.index(KNOWN)] = _known(net, true)
            np.add.at(sums[name], place, found)
            np.add.at(bins[name], (place, np.searchsorted(EDGES, apart)), 1)
        advance(1)
    kept = sums[next(iter(nets))][:, 0] > 0  # a document may have no counted token
    records: dict[str, Record] = {
        name: {**{key: found[kept, i] for i, key in enumerate(SUMS)}, HISTOGRAM: bins[name][kept]}
        for name, found in sums.items()
    }
    tokens = sums[next(iter(nets))][kept, 0].astype(np.int64)
    return Streamed(records, tokens, numbers[first][kept])


def _documents(owners: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The documents of windows, sorted, and the window in which each begins."""
    flat = owners.ravel()
    documents, first = np.unique(flat, return_index=True)
    inside = documents >= 0
    return documents[inside], (first // owners.shape[1])[inside]


def _whole(net: Net, inputs: Tensor, counted: Tensor, classes: int) -> Tensor:
    """Log-probabilities (n, V) of the teacher's classes at the counted positions of one window."""
    logits = net(inputs)[0].to(counted.device)[counted].float()
    table = getattr(net, "table", None)
    if isinstance(table, Tensor):
        return spread(logits.log_softmax(-1), table.to(logits.device)[:classes])
    return logits[:, :classes].log_softmax(-1)


def _known(net: Net, targets: Tensor) -> NDArray[np.float64]:
    """1 where the net has a class of its own for a token."""
    table = getattr(net, "table", None)
    if not isinstance(table, Tensor):
        return np.ones(len(targets))
    found: NDArray[np.float64] = (table.cpu()[targets] != int(table.max())).double().numpy()
    return found


def _compared(
    log_q: Tensor, log_p: Tensor, targets: Tensor, sizes: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The numbers (n, SUMS) of some tokens, and their KL to the teacher (n,)."""
    parts = [
        _piece(q, p, t, sizes)
        for q, p, t in zip(*(torch.split(x, PIECE) for x in (log_q, log_p, targets)), strict=True)
    ]
    found = torch.cat(parts).double().numpy() if parts else np.zeros((0, len(SUMS)))
    return found, found[:, SUMS.index(KL)]


def _piece(log_q: Tensor, log_p: Tensor, targets: Tensor, sizes: Tensor) -> Tensor:
    p, q = log_p.exp(), log_q.exp()
    gap = log_p - log_q
    bytes_ = sizes[targets].float()
    nll = -log_q.gather(1, targets[:, None])[:, 0]
    change = (p - q).gather(1, targets[:, None])[:, 0]
    columns = {
        TOKENS: torch.ones_like(nll),
        BYTES: bytes_,
        NLL: nll,
        NLL_BYTES: nll * (bytes_ > 0),
        KL: _sum(p, gap),
        REVERSE: -_sum(q, gap),
        ACCEPTED: torch.minimum(p, q).sum(1),
        AGREED: (log_p.argmax(1) == log_q.argmax(1)).float(),
        SQUARES: change.square(),
        KNOWN: torch.ones_like(nll),
    }
    return torch.stack([columns[name] for name in SUMS], 1)


def _sum(weights: Tensor, gap: Tensor) -> Tensor:
    """The sum of weights times logarithms; where the weight is 0 there is nothing."""
    found: Tensor = (weights * gap).masked_fill(weights == 0, 0.0).sum(1)
    return found
