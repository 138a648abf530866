"""What 128 bytes a token do to the gradient."""

from __future__ import annotations

import numpy as np
from benchmarks.speed.timing import Row

from stillhouse.store import Codec, Sampled, TopK, gradient_error

CLASSES, TOKENS, BYTES = 49_152, 64, 128


def teachers() -> dict[str, np.ndarray]:
    """Logits (tokens, classes): probabilities that fall with the rank in different ways."""
    rng = np.random.default_rng(0)
    ranks = np.stack([rng.permutation(CLASSES) for _ in range(TOKENS)]) + 1.0
    return {
        "peaked (p ~ rank^-2)": -2.0 * np.log(ranks),
        "flat (p ~ rank^-1)": -1.0 * np.log(ranks),
        "flat (normal logits, deviation 5)": rng.normal(scale=5.0, size=(TOKENS, CLASSES)),
    }


def gradients(quick: bool) -> list[Row]:
    """The error of the forward KL's gradient for a student whose logits are the teacher's plus unit noise."""
    del quick
    rows = []
    codecs: list[Codec] = [TopK(21), Sampled(21)]
    for name, logits in teachers().items():
        student = logits + np.random.default_rng(1).normal(size=logits.shape)
        errors = {c.name: gradient_error(c, logits, student).relative for c in codecs}
        most = 0.013 if name.startswith("peaked") else 0.10
        value = errors[TopK(21).name]
        note = ", ".join(f"{c.name} ({c.bytes_per_row(CLASSES)} bytes) {errors[c.name]:.3g}" for c in codecs)
        rows.append(
            Row(f"gradient error at {BYTES} bytes a token, {name}", f"<= {100 * most:g} %", 100 * value,
 value <= most,
                unit=" %", note=note)
        )  # fmt: skip
    return rows
