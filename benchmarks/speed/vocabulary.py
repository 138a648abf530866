"""The divergence over a large vocabulary: time over its matrix products, peak memory over the plain way."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import torch
from benchmarks.speed import memory
from benchmarks.speed.timing import Row, floor, interleaved, ratio, timed
from torch import Tensor

from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.vocabulary import vocabulary_loss

CLASSES, TOKENS, OURS, THEIRS, CHUNK = 49_152, 2_048, 256, 512, 256


def sides() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states and output matrices of both nets; the student's learn."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(TOKENS, OURS), 2 * torch.randn(CLASSES, OURS) / OURS**0.5
    states, head = torch.randn(TOKENS, THEIRS), 2 * torch.randn(CLASSES, THEIRS) / THEIRS**0.5
    return hidden.requires_grad_(), weight.requires_grad_(), states, head


def chunked(hidden: Tensor, weight: Tensor, states: Tensor, head: Tensor) -> None:
    """Value and gradients, without the logits."""
    vocabulary_loss(forward_kl, hidden, weight, states, teacher_weight=head, chunk=CHUNK).backward()  # type: ignore[no-untyped-call]


def plain(hidden: Tensor, weight: Tensor, states: Tensor, head: Tensor) -> None:
    """Value and gradients, through the logits."""
    forward_kl(hidden @ weight.T, states @ head.T).backward()  # type: ignore[no-untyped-call]


@torch.no_grad()
def products(hidden: Tensor, weight: Tensor, states: Tensor, head: Tensor) -> None:
    """The four matrix products that no way can do without, in the same chunks."""
    for start in range(0, TOKENS, CHUNK):
        rows = hidden[start : start + CHUNK]
        logits = rows @ weight.T
        states[start : start + CHUNK] @ head.T
        logits @ weight
        logits.T @ rows


def divergence(quick: bool) -> list[Row]:
    """Both figures."""
    given = sides()
    found = interleaved(
        {
            "divergence": timed(partial(chunked, *given)),
            "products": timed(partial(products, *given)),
            "products again": timed(partial(products, *given)),
        },
        1 if quick else 5,
    )
    value = ratio(found, "divergence", "products")
    peaks = {way: peak_of(way) for way in ("chunked", "plain")}
    share = peaks["chunked"] / peaks["plain"]
    what = "divergence, vocabulary 49,152, 2,048 tokens"
    told = f"{peaks['chunked'] / 2**20:,.0f} MiB against {peaks['plain'] / 2**20:,.0f} MiB, gradients included"
    return [
        Row(f"{what}: time / its matrix products", "<= 1.2", value, value <= 1.2,
            floor=floor(found, "products", "products again"), seconds=found),
        Row(f"{what}: peak memory / plain", "<= 0.10", share, share <= 0.10, note=told),
    ]  # fmt: skip


def peak_of(way: str) -> int:
    """Bytes that a process of its own needs on top of the inputs."""
    command = [sys.executable, "-m", "benchmarks.speed.vocabulary", way]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main(way: str) -> None:
    """Print how much resident memory grows at most."""
    torch.set_num_threads(1)
    given = sides()
    small = [side[:CHUNK].detach().clone().requires_grad_(side.requires_grad) for side in given]
    for work in (chunked, plain):
        work(*small)  # what libraries need once is not the figure
    memory.forget_peak()
    before = memory.resident()
    {"chunked": chunked, "plain": plain}[way](*given)
    print(memory.peak() - before)


if __name__ == "__main__":
    main(sys.argv[1])
