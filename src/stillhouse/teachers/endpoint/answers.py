"""Reading a service's answers: the named class, the probability of each class, and answers that name no class.

An answer that is neither an id nor the name of a class is no label: it is counted, and its meaning is never guessed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import DamagedError
from stillhouse.teachers.endpoint.drift import TOLD, told_by
from stillhouse.teachers.endpoint.journal import Record
from stillhouse.teachers.endpoint.naming import Naming

# void: not an answer, but a mark in the journal: the failures before it do not count, so the text is asked again
Kind: TypeAlias = Literal["scored", "label", "listed", "refused", "malformed", "rejected", "lost", "void"]
FAILED = ("refused", "malformed")
EDGES = " \t\r\n\"'`*.,:()[]{}"  # characters allowed around an id
SHOWN = 200  # characters of an answer that are kept
LEAST_MASS = 0.5  # probability that the ids must have together, else the model was going to write something else
SMALLEST = 1e-6  # a probability of 0 becomes this: its logarithm is finite and fits every codec
APOLOGY = re.compile(r"\b(can(no|')t|can’t|won'?t|unable|not able|sorry|apologi[sz]e|decline)\b", re.IGNORECASE)
FIELD = re.compile(r'\s*\{\s*"label"\s*:\s*')


class MalformedError(ValueError):
    """The body is not a chat completion."""


class Reply(NamedTuple):
    """One answer of the service to one text."""

    kind: Kind  # lost: perhaps paid for, but never received; rejected: the service does not accept the text
    label: int | None = None  # position in the classes
    log_probs: tuple[float, ...] | None = None  # (C,), normalised; only where kind is "scored"
    tokens_in: int | None = None  # None: the service did not report it
    tokens_out: int | None = None
    content: str = ""  # its text, the first ``SHOWN`` characters
    model: str | None = None  # what the service says of itself; None: nothing
    system_fingerprint: str | None = None
    listed: str | None = None  # the classes of each token and their log-probabilities; only where kind is "listed"

    def record(self) -> dict[str, Any]:
        """As JSON-able values; absent ones are left out."""
        return {name: value for name, value in self._asdict().items() if value not in (None, "")}


def reply_of(record: Record, classes: int) -> Reply:
    """A journal's record as a reply.

    Raises:
        DamagedError: it is not a record for this number of classes.
    """
    values = {name: record.get(name, default) for name, default in Reply._field_defaults.items()}
    reply = Reply(record.get("kind", ""), **values)
    scores: list[Any] = reply.log_probs if isinstance(reply.log_probs, list) else []
    scored = len(scores) == classes and all(isinstance(score, (int, float)) for score in scores)
    labelled = isinstance(reply.label, int) and 0 <= reply.label < classes
    if (
        reply.kind not in get_args(Kind)
        or not all(isinstance(getattr(reply, name), str | None) for name in TOLD)
        or (reply.kind == "scored" and not scored)
        or (reply.kind == "label" and not labelled)
    ):
        raise DamagedError(
            f"A record of the journal (key {record['key']}) is not an answer for {classes} classes. Delete the lines "
            "with that key; the question is then asked again."
        )
    return reply


def parse(body: bytes, naming: Naming) -> Reply:
    """Read the body of a chat completion.

    Raises:
        MalformedError: it is not JSON, or has no first choice with a message.
    """
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        usage = data.get("usage")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedError(f"no chat completion ({type(error).__name__}): {body[:SHOWN]!r}") from None
    usage = usage if isinstance(usage, dict) else {}
    if isinstance(content, list):  # in parts, as some services send it
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str)) or None
    if refusal or choice.get("finish_reason") == "content_filter":
        reply = Reply("refused", content=str(refusal or content or "")[:SHOWN])
    elif isinstance(content, str):
        reply = _read(content, choice.get("logprobs"), naming, cut=choice.get("finish_reason") == "length")
    else:
        reply = Reply("malformed", content=json.dumps(message)[:SHOWN])
    return reply._replace(
        tokens_in=_count(usage.get("prompt_tokens")),
        tokens_out=_count(usage.get("completion_tokens")),
        **told_by(data),
    )


def _read(content: str, log_probs: Any, naming: Naming, *, cut: bool) -> Reply:
    """The text of an answer, and the probabilities of its tokens where it has them, as a reply."""
    label = naming.named(content, cut=cut)
    scores = _scores(log_probs, content, naming.ids, label)
    if scores is not None:
        return Reply(
            "scored", int(np.argmax(scores)), tuple(round(float(s), 6) for s in scores), content=content[:SHOWN]
        )
    kind: Kind = "label" if label is not None else "refused" if APOLOGY.search(content) else "malformed"
    return Reply(kind, label, content=content[:SHOWN])


class Settled(NamedTuple):
    """The result for a text that needs no more questions."""

    log_probs: NDArray[np.float32] | None  # (C,); None: there is no answer
    scored: bool = False


def settle(replies: Iterable[Reply], samples: int, smoothing: float, classes: int) -> Settled | None:
    """A text's distribution from its answers so far, or None while more are needed.

    One answer with token probabilities is enough. Without them ``samples`` answers are drawn, and their shares
    are smoothed: ``(n_c + smoothing / C) / (n + smoothing)``. A text has no answer where half of the draws or more were
    refused or malformed, or where the service rejected it.
    """
    counts, failed = np.zeros(classes), 0
    for reply in replies:
        if reply.kind == "scored":
            return Settled(np.asarray(reply.log_probs, dtype=np.float32), scored=True)
        if reply.kind == "label" and reply.label is not None:
            counts[reply.label] += 1
        elif reply.kind == "rejected":
            return Settled(None)
        elif reply.kind == "void":
            failed = 0
        elif reply.kind in FAILED:
            failed += 1
    if 2 * failed >= samples:
        return Settled(None)
    if counts.sum() + failed < samples:
        return None
    shares = (counts + smoothing / classes) / (counts.sum() + smoothing)
    return Settled(np.log(np.maximum(shares, SMALLEST)).astype(np.float32))


class Answered(NamedTuple):
    """The answers of a service to some texts."""

    log_probs: NDArray[np.float32]  # (N, C); NaN where there is no answer
    answered: NDArray[np.bool_]  # (N,)
    scored: int  # texts whose distribution comes from the service; for the others it comes from repeated answers
    refused: int  # answers that were refusals, over all texts asked here; texts of apology count
    malformed: int  # answers that named no class
    rejected: int  # texts that the service did not accept (for instance too long)
    calls: int  # all paid answers of this teacher, of this run and earlier ones
    tokens_in: int
    tokens_out: int
    cost: float | None  # None: there are no prices
    drifted: NDArray[np.bool_]  # (N,); whether the service told of another model than in its first answer
    told: dict[str, list[str]]  # what it told of its model ("model", "system_fingerprint"): each value, first one first


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _scores(log_probs: Any, content: str, ids: Sequence[str], label: int | None) -> NDArray[np.float64] | None:
    """Log-probabilities (C,) of the classes from the alternatives of the token that holds the id.

    None where there are no alternatives, where the token is only a piece of an id or of a name, or where the ids
    together have less than ``LEAST_MASS``. Classes that are not among the alternatives share the remaining mass; each
    gets at most as much as the least likely alternative.

    Args:
        log_probs: of the completion.
        content: its text.
        ids: of the classes.
        label: the class that the text names, or None.
    """
    try:
        drawn, after, listed = _alternatives(log_probs["content"], content)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if drawn in ids and (after.isalnum() or (label is not None and ids[label] != drawn)):
        return None  # the beginning of a word, such as "B" of "B2B", is no id
    if drawn not in ids and label is not None:
        return None  # a name: its first token is not an id, and the others tell nothing of the ids
    masses = np.exp([value for _, value in listed])
    if not listed or masses.sum() > 1.01:  # not a distribution: rounding of logarithms adds far less than 0.01
        return None
    known = np.zeros(len(ids))
    for (token, _), mass in zip(listed, masses, strict=True):
        bare = token.strip(EDGES)
        if bare in ids:
            known[ids.index(bare)] += mass
    if known.sum() < LEAST_MASS:
        return None
    missing = known == 0
    if missing.any():
        known[missing] = min(max(1.0 - masses.sum(), 0.0) / missing.sum(), masses.min())
    logs: NDArray[np.float64] = np.log(np.maximum(known, SMALLEST) / np.maximum(known, SMALLEST).sum())
    return logs


def _alternatives(tokens: list[dict[str, Any]], content: str) -> tuple[str, str, list[tuple[str, float]]]:
    """The token in the place of the id, the character after it, and its alternatives with finite log-probabilities."""
    opening = FIELD.match(content)
    begin = opening.end() if opening else 0
    while begin < len(content) and content[begin] in EDGES:
        begin += 1
    end = 0
    for token in tokens:
        end += len(token["token"])
        if end > begin:
            break
    else:
        return "", "", []
    found = {other["token"]: float(other["logprob"]) for other in [token, *token["top_logprobs"]]}
    if not token["top_logprobs"] or any(math.isnan(value) or value > 0.01 for value in found.values()):
        return "", "", []
    return token["token"].strip(EDGES), content[end : end + 1], list(found.items())
