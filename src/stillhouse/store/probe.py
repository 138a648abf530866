"""The cost of a codec, before anything is written: bytes for each row, and the error in a gradient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stillhouse.errors import UsageError, nearest
from stillhouse.store.codecs import Codec, Dense, TopK
from stillhouse.store.fields import Array
from stillhouse.store.probabilities import log_softmax
from stillhouse.store.sampling import Sampled

_KINDS = {"dense": Dense, "topk": TopK, "sampled": Sampled}


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
        logits: the teacher's outputs, float ``(N, C)``.
        student: the student's outputs ``(N, C)``; None: an untrained student, with equal logits for all
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
    error = ((codec.target(arrays, compared) - teacher) ** 2).sum(axis=1)
    exact = ((compared - teacher) ** 2).sum(axis=1) + np.finfo(np.float64).tiny
    known = np.abs(codec.target(arrays, teacher) - teacher).sum(axis=1)
    return GradientError(
        relative=float(np.sqrt(error.sum() / exact.sum())),
        worst=float(np.sqrt(error / exact).max()),
        bound=float((known + 2.0 * codec.open_mass(arrays)).max()),
    )


def codec(name: str) -> Dense | TopK | Sampled:
    """Build a codec from its name in a store's key or a recipe.

    Args:
        name: ``dense:<dtype>``, ``topk:<k>:<dtype>`` or ``sampled:<count>:<draws>:<seed>:<dtype>``; parts left out at
            the end have their defaults; raises ``UsageError`` for any other name.

    >>> codec("topk:8").name
    'topk:8:float16'
    """
    kind, *settings = name.split(":")
    if kind not in _KINDS:
        raise UsageError(f"There is no codec {kind!r}.{nearest(kind, _KINDS)} Write one as topk:32:float16.")
    try:
        made: Dense | TopK | Sampled = _KINDS[kind](*(int(s) if s.isdigit() else s for s in settings))
    except TypeError as error:
        raise UsageError(f"The codec {name!r} has wrong settings: {error}. Write one as topk:32:float16.") from None
    return made
