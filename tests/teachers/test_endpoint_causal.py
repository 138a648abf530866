"""A served language model as a teacher, behind a server that answers rightly, wrongly, or about something else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stillhouse.errors import DamagedError, RejectedError, StoppedError, UsageError
from stillhouse.teachers.endpoint.causal import ServedCausalTeacher
from stillhouse.types import Batch
from tests.teachers.misbehaving_server import Handler, Server, answer, raw, status
from tests.teachers.test_endpoint_faults import FakeTime

pytestmark = pytest.mark.enable_socket
CLASSES, K = 12, 3
NAMES = [f"w{number}" for number in range(CLASSES)]
Change = Callable[[list[Any]], Any]

table = np.random.default_rng(0).normal(scale=2.0, size=(CLASSES, CLASSES))
LOG_P = table - np.log(np.exp(table).sum(1, keepdims=True))  # of the next token, by the last one


def places(prompt: list[int], k: int) -> list[Any]:
    """``prompt_logprobs`` as vLLM gives them: the largest ones, and that of the token itself."""
    found: list[Any] = [None]
    for last, token in pairwise(prompt):
        largest = np.argsort(-LOG_P[last])[:k].tolist()
        listed = dict.fromkeys([token, *largest])
        found.append(
            {
                str(one): {"logprob": LOG_P[last, one], "rank": i + 1, "decoded_token": NAMES[one]}
                for i, one in enumerate(listed)
            }
        )
    return found


def scoring(change: Change = lambda found: found, **more: Any) -> Callable[[Handler], None]:
    """The bigram model, its answer changed."""

    def act(handler: Handler) -> None:
        asked = handler.server.bodies[-1]
        found = change(places(asked["prompt"], asked["prompt_logprobs"]))
        usage = {"prompt_tokens": len(asked["prompt"]), "completion_tokens": 1}
        body = {"model": "m", "choices": [{"text": "x", "prompt_logprobs": found}], "usage": usage} | more
        handler.send(200, json.dumps(body).encode())

    return act


def teacher_of(server: Server, folder: Path, **given: Any) -> ServedCausalTeacher:
    defaults: dict[str, Any] = {"journal": folder / "a.jsonl", "concurrency": 1, "timing": FakeTime().timing}
    return ServedCausalTeacher(server.url, "m", (5, CLASSES), **(defaults | {"names": NAMES} | given))


def windows() -> Batch:
    """Two windows of 5 positions: two documents packed into the first, padding in the second."""
    inputs = torch.tensor([[[1, 4, 7, 2, 9], [1, 1, 1, 2, 2]], [[1, 5, 5, 0, 0], [1, 1, 1, 0, 0]]])
    rows = torch.tensor([7, 8])
    return Batch(inputs, torch.full((2, 5), -1), rows, torch.zeros(2, dtype=torch.int64))


def test_every_position_lists_the_largest_classes_and_the_mass_of_the_rest(tmp_path: Path) -> None:
    with Server(scoring()) as server:
        teacher = teacher_of(server, tmp_path)
        found = teacher.listed(windows(), K).sparse
        assert found is not None
        inputs = windows().inputs
        for row, place in np.argwhere(inputs[:, 1].numpy()).tolist():
            expected = LOG_P[int(inputs[row, 0, place])]
            order = np.argsort(-expected)[:K]
            assert found.indices[row, place].tolist() == order.tolist()
            np.testing.assert_allclose(found.log_probs[row, place], expected[order], rtol=1e-6)
            rest = np.log(np.delete(np.exp(expected), order).sum())
            assert float(tail(found.log_tail)[row, place]) == pytest.approx(rest, rel=1e-4)
        assert (found.log_probs[1, 3:] == -math.inf).all()  # padding
        assert [body["prompt"] for body in server.bodies] == [[1, 4, 7, 1], [2, 9, 2], [1, 5, 5, 1]]
        assert {body["path"] for body in server.bodies} == {"/v1/completions"}
        # A second teacher of the same journal asks nothing.
        again = teacher_of(server, tmp_path, max_calls=3).listed(windows(), K).sparse
        assert len(server.bodies) == 3
        assert again is not None
        assert torch.equal(found.indices, again.indices)
        assert torch.equal(found.log_probs, again.log_probs)


def tail(found: Tensor | None) -> Tensor:
    assert found is not None
    return found


def at(place: int, change: Callable[[dict[str, Any]], Any]) -> Change:
    """Change one place of an answer."""

    def changed(found: list[Any]) -> list[Any]:
        found[place] = change(found[place])
        return found

    return changed


def with_log_prob(value: float) -> Change:
    return at(1, lambda entry: entry | {next(iter(entry)): {"logprob": value}})


HOSTILE: dict[str, tuple[Any, str]] = {
    "nan": (scoring(with_log_prob(math.nan)), "place 1 has the log-probability nan"),
    "positive": (scoring(with_log_prob(0.5)), "place 1 has the log-probability 0.5"),
    "infinity": (scoring(with_log_prob(math.inf)), "log-probability inf"),
    "text": (scoring(at(1, lambda entry: {"4": {"logprob": "-1"}})), "log-probability '-1'"),
    "too much mass": (scoring(at(1, lambda e: {key: {"logprob": -0.1} for key in e})), "add up to more than 1"),
    "missing position": (scoring(lambda found: found[:-1]), "it has 3 places, 4 tokens were sent"),
    "empty position": (scoring(at(2, lambda entry: None)), "place 2 of 12 classes is empty"),
    "wrong tokens": (scoring(lambda found: [*found[:1], *found[2:], found[1]]), "does not list the token 4"),
    "k too small": (
        scoring(at(1, lambda e: dict([next(iter(e.items()))]))),
        r"lists 1 of the 3 classes.*--max-logprobs 3",
    ),
    "class beyond the vocabulary": (scoring(at(1, lambda e: e | {"12": {"logprob": -9.0}})), "lists class 12"),
    "class that is a word": (scoring(at(1, lambda e: e | {"w4": {"logprob": -9.0}})), "no number of a token"),
    "other tokenizer": (
        scoring(lambda f: [f[0], *({k: v | {"decoded_token": "x" + k} for k, v in e.items()} for e in f[1:])]),
        "token 4 is 'x4' there and 'w4' here",
    ),
    "start token added": (scoring(usage={"prompt_tokens": 5}), "the service read 5 tokens, 4 were sent"),
    "no scores": (answer("A"), "no prompt_logprobs"),
    "no completion": (raw(b'{"choices": []}'), "no completion"),
    "refused": (status(400, "max_logprobs is 2"), "does not accept 3 tokens of window 7: 400: max_logprobs is 2"),
}


@pytest.mark.parametrize(("act", "message"), HOSTILE.values(), ids=HOSTILE)
def test_an_answer_that_is_not_about_this_window_is_refused(act: Any, message: str, tmp_path: Path) -> None:
    with Server(act) as server:
        with pytest.raises(RejectedError, match=message):
            teacher_of(server, tmp_path).listed(windows(), K)
        assert len(server.bodies) <= 3  # tries of the first prompt
        server.default = scoring()
        found = teacher_of(server, tmp_path).listed(windows(), K)  # the same command again
        assert found.sparse is not None


def test_a_broken_answer_is_asked_for_again_and_paid_answers_are_kept(tmp_path: Path) -> None:
    acts = [raw(b"{"), status(503), scoring()]
    with Server(scoring(), {"2 9 2": acts}) as server:
        teacher_of(server, tmp_path).listed(windows(), K)
        assert server.asked == {"1 4 7 1": 1, "2 9 2": 3, "1 5 5 1": 1}


def test_a_ceiling_stops_before_the_call_and_the_run_resumes(tmp_path: Path) -> None:
    with Server(scoring()) as server:
        with pytest.raises(StoppedError, match="max_calls = 2"):
            teacher_of(server, tmp_path, max_calls=2).listed(windows(), K)
        assert len(server.bodies) == 2
        teacher_of(server, tmp_path, max_calls=3).listed(windows(), K)
        assert len(server.bodies) == 3


def test_a_service_that_changes_its_model_is_refused(tmp_path: Path) -> None:
    with Server(scoring(), {"2 9 2": [scoring(model="m2")]}) as server:
        with pytest.raises(RejectedError, match="'m' in the answers so far, and is 'm2'"):
            teacher_of(server, tmp_path).listed(windows(), K)
        teacher_of(server, tmp_path, accept_drift=True).listed(windows(), K)
        assert len(server.bodies) == 3


def test_what_a_service_cannot_give_is_refused_before_it_is_asked(tmp_path: Path) -> None:
    with Server(scoring()) as server:
        teacher = teacher_of(server, tmp_path)
        with pytest.raises(UsageError, match="temperature = 2"):
            teacher.listed(windows(), K, temperature=2.0)
        with pytest.raises(UsageError, match="1 to 11 classes"):
            teacher.listed(windows(), CLASSES)
        with pytest.raises(UsageError, match="codec"):
            teacher.outputs(windows())
        assert not server.bodies


def test_a_journal_of_other_answers_is_damage(tmp_path: Path) -> None:
    with Server(scoring()) as server:
        teacher = teacher_of(server, tmp_path)
        teacher.listed(windows(), K)
        key, records = next(iter(teacher.journal._records.items()))
        with teacher.journal.session():
            teacher.journal.append(key, records[0]["of"], {"kind": "listed", "listed": "AAAA"})
        teacher.journal._records[key] = teacher.journal._records[key][1:]
        with pytest.raises(DamagedError, match="Delete the lines with that key"):
            teacher.listed(windows(), K)
