"""The cost of a codec, before anything is written: bytes for each row, and the error in a gradient."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stillhouse.errors import UsageError, nearest
from stillhouse.store.codecs import Codec, Dense, TopK
from stillhouse.store.fields import Array
from stillhouse.store.hidden import Hidden
from stillhouse.store.probabilities import log_softmax
from stillhouse.store.sampling import Sampled
from stillhouse.store.shaped import ShapedTail

_KINDS = {"dense": Dense, "topk": TopK, "sampled": Sampled, "shaped": ShapedTail, "hidden": Hidden}


class GradientError(NamedTuple):
    """How much a codec changes a student's gradient with respect to its outputs.

    The exact gradient of one row is ``q - p`` (student minus teacher): of the forward KL, in probabilities at
    temperature 1; of half the squared error, where the codec keeps values that are not logits of classes.
    """

    relative: float  # norm of the error divided by the norm of the gradient, all probe rows together
    worst: float  # the largest such ratio of a single row
    bound: float  # largest error of any student's gradient on any probe row, as a sum of absolute values


def gradient_error(codec: Codec, logits: Array, student: Array | None = None) -> GradientError:
    """Measure a codec on a probe batch.

    Args:
        codec: the codec to measure.
        logits: the teacher's outputs, float ``(N, C)``; of tokens ``(N, T, C)``.
        student: the student's outputs, in the same shape; None: an untrained student, with equal logits for all
            classes, or the mean of the teacher's values for all rows.

    >>> flat = np.zeros((1, 4))
    >>> gradient_error(Dense("float32"), flat, np.array([[1.0, 0, 0, 0]])).relative
    0.0
    >>> round(gradient_error(TopK(2), flat).bound, 2)
    1.0
    >>> gradient_error(Dense("float16", field="values", shift=False), np.array([[0.0], [2.0]])).relative
    0.0
    """
    if isinstance(codec, Dense) and not codec.shift:
        teacher = logits.astype(np.float64)
        compared = np.broadcast_to(teacher.mean(0), teacher.shape) if student is None else student
    else:
        teacher = np.exp(log_softmax(logits))
        compared = np.exp(log_softmax(np.zeros(logits.shape) if student is None else student))
    arrays = codec.encode(logits)
    error = ((codec.target(arrays, compared) - teacher) ** 2).sum(axis=-1)
    exact = ((compared - teacher) ** 2).sum(axis=-1) + np.finfo(np.float64).tiny
    known = np.abs(codec.target(arrays, teacher) - teacher).sum(axis=-1)
    return GradientError(
        relative=float(np.sqrt(error.sum() / exact.sum())),
        worst=float(np.sqrt(error / exact).max()),
        bound=float((known + 2.0 * codec.open_mass(arrays)).max()),
    )


class Cost(NamedTuple):
    """What a codec costs on a teacher's answers."""

    codec: str  # its name
    bytes_a_token: float  # stored, all fields together; of answers without tokens, bytes a row
    gradient_error: float  # ``GradientError.relative``
    tokens_a_second: float  # that it encodes in this process


def compare(codecs: Sequence[Codec], logits: Array, student: Array | None = None) -> list[Cost]:
    """Measure several codecs on the same answers.

    Args:
        codecs: to measure.
        logits: the teacher's outputs, float ``(N, T, C)``, or ``(N, C)`` without tokens.
        student: the student's outputs, in the same shape; None: an untrained one.

    >>> [one.bytes_a_token for one in compare([TopK(1), TopK(2)], np.zeros((1, 3, 4)))]
    [6.0, 10.0]
    """
    found, tokens = [], logits[..., 0].size
    for one in codecs:
        start = time.perf_counter()
        one.encode(logits)
        rate = tokens / max(time.perf_counter() - start, 1e-9)
        size = one.bytes_per_row(*logits.shape[1:]) * len(logits) / tokens
        found.append(Cost(one.name, size, gradient_error(one, logits, student).relative, rate))
    return found


def best_within(costs: Sequence[Cost], bytes_a_token: float) -> Cost:
    """The codec with the smallest gradient error among those that take so many bytes a token at most.

    Raises:
        UsageError: none does.
    """
    able = [one for one in costs if one.bytes_a_token <= bytes_a_token]
    if not able:
        smallest = min(costs, key=lambda one: one.bytes_a_token)
        raise UsageError(
            f"No codec fits {bytes_a_token:g} bytes a token: the smallest, {smallest.codec}, takes "
            f"{smallest.bytes_a_token:g}. Allow more, or keep fewer classes."
        )
    return min(able, key=lambda one: one.gradient_error)


def codec(name: str) -> Dense | TopK | Sampled | ShapedTail | Hidden:
    """Build a codec from its name in a store's key or a recipe.

    Args:
        name: ``dense:<dtype>``, ``topk:<k>:<dtype>``, ``sampled:<count>:<draws>:<seed>:<dtype>``,
            ``shaped:<k>:<m>:<dtype>`` or ``hidden:<width>:<dtype>``; parts left out at the end have their
            defaults; raises ``UsageError`` for any other name.

    >>> codec("topk:8").name
    'topk:8:float16'
    """
    kind, *settings = name.split(":")
    if kind not in _KINDS:
        raise UsageError(f"There is no codec {kind!r}.{nearest(kind, _KINDS)} Write one as topk:32:float16.")
    try:
        made: Dense | TopK | Sampled | ShapedTail | Hidden = _KINDS[kind](
            *(int(s) if s.isdigit() else s for s in settings)
        )
    except TypeError as error:
        raise UsageError(f"The codec {name!r} has wrong settings: {error}. Write one as topk:32:float16.") from None
    return made
