"""A service as teacher: its own probabilities or repeated answers, each paid for once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.endpoint.teacher import EndpointTeacher
from stillhouse.types import Batch, Teacher
from tests.teachers.misbehaving_server import Handler, Server, answer, hang, scored

pytestmark = pytest.mark.enable_socket
CLASSES = ("sport", "politics", "science")
KEY = "sk-secret-4711"


def teacher_of(server: Server, folder: Path, **settings: Any) -> EndpointTeacher:
    return EndpointTeacher(server.url, "m", CLASSES, **({"journal": folder / "answers.jsonl"} | settings))


def batch(texts: list[str] | None, count: int = 2) -> Batch:
    rows = torch.arange(len(texts) if texts else count)
    raw = None if texts is None else np.array(texts, dtype=object)
    return Batch(torch.zeros(len(rows), 4, dtype=torch.int64), torch.full_like(rows, -1), rows, rows * 0, raw=raw)


def test_the_services_own_probabilities_become_the_logits(tmp_path: Path) -> None:
    shares = {"A": 0.7, "B": 0.2, "C": 0.1}
    with Server(scored("A", {k: float(np.log(v)) for k, v in shares.items()})) as server:
        teacher = teacher_of(server, tmp_path)
        assert isinstance(teacher, Teacher)
        logits = teacher.outputs(batch(["one", "two"])).logits
    assert (logits.dtype, logits.shape) == (torch.float32, (2, 3))
    torch.testing.assert_close(logits.exp(), torch.tensor([list(shares.values())] * 2), atol=1e-5, rtol=0)
    assert server.asked == {"one": 1, "two": 1}


def test_without_probabilities_repeated_answers_become_smoothed_shares(tmp_path: Path) -> None:
    with Server(plan={"x": [answer(c) for c in "ABAAC"]}) as server:
        found = teacher_of(server, tmp_path, samples=5, smoothing=1.0).prefetch(["x"])
    # one answer's worth of belief over three classes: (3 + 1/3) / 6, (1 + 1/3) / 6, (1 + 1/3) / 6
    np.testing.assert_allclose(np.exp(found.log_probs), [[10 / 18, 4 / 18, 4 / 18]], rtol=1e-5)
    assert (found.scored, found.calls, server.asked["x"]) == (0, 5, 5)


def test_the_first_answer_counts_whether_or_not_it_brings_probabilities(tmp_path: Path) -> None:
    with Server(answer("B")) as server:
        teacher_of(server, tmp_path, samples=1).prefetch(["x"])
    assert server.asked["x"] == 1
    assert server.bodies[0]["logprobs"] is True
    assert server.bodies[0]["temperature"] == 1.0


def test_a_constrained_answer_is_read_at_the_token_of_its_id(tmp_path: Path) -> None:
    inside: list[dict[str, Any]] = [
        {"token": t, "logprob": -0.1, "top_logprobs": [{"token": t, "logprob": -0.1}]} for t in ('{"', "label")
    ]
    inside += [{"token": '":', "logprob": 0.0, "top_logprobs": [{"token": '":', "logprob": 0.0}]}]
    alternatives = [{"token": t, "logprob": float(np.log(p))} for t, p in ((' "C', 0.9), (' "A', 0.06), (' "B', 0.04))]
    inside += [{"token": ' "C', "logprob": float(np.log(0.9)), "top_logprobs": alternatives}]
    inside += [{"token": '"}', "logprob": 0.0, "top_logprobs": [{"token": '"}', "logprob": 0.0}]}]
    with Server(answer('{"label": "C"}', logprobs={"content": inside})) as server:
        found = teacher_of(server, tmp_path).prefetch(["x"])
    np.testing.assert_allclose(np.exp(found.log_probs), [[0.06, 0.04, 0.9]], atol=1e-5)
    schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["label"]["enum"] == ["A", "B", "C"]


def test_refusals_and_malformed_answers_are_counted_and_never_become_labels(tmp_path: Path) -> None:
    plan = {
        "said": [answer("I'm sorry, but I can't help with that.")],
        "flagged": [answer(None, refusal="No.")],
        "filtered": [answer("A", finish_reason="content_filter")],
        "unlisted": [answer("D")],
        "chatty": [answer("A or perhaps B")],
        "silent": [answer("")],
        "good": [answer("A")],
    }
    with Server(plan=plan) as server:
        found = teacher_of(server, tmp_path, samples=1).prefetch(list(plan))
    assert found.answered.tolist() == [False] * 6 + [True]
    assert np.isnan(found.log_probs[:6]).all()
    assert (found.refused, found.malformed) == (3, 3)


def test_a_text_refused_in_half_of_its_draws_has_no_answer(tmp_path: Path) -> None:
    no = answer("", refusal="No.")
    plan = {"often": [no, answer("A"), no, answer("A"), no], "once": [no, answer("A"), answer("A"), answer("A")]}
    with Server(plan=plan) as server:
        found = teacher_of(server, tmp_path, samples=4).prefetch(["often", "once"])
    assert found.answered.tolist() == [False, True]
    assert server.asked["often"] == 3  # the third could not change it any more
    np.testing.assert_allclose(np.exp(found.log_probs[1]), [(3 + 1 / 3) / 4, 1 / 12, 1 / 12], rtol=1e-5)


def test_outputs_are_nan_for_a_text_without_an_answer(tmp_path: Path) -> None:
    with Server(plan={"bad": [answer("?")]}) as server:
        logits = teacher_of(server, tmp_path, samples=1).outputs(batch(["good", "bad"])).logits
    assert torch.isfinite(logits[0]).all()
    assert torch.isnan(logits[1]).all()


def test_no_question_is_paid_for_twice_within_or_across_runs(tmp_path: Path) -> None:
    with Server(answer("A")) as server:
        first = teacher_of(server, tmp_path, samples=2).prefetch(["x", "y", "x"])
        again = teacher_of(server, tmp_path, samples=2).prefetch(["y", "x", "x"])
    assert server.asked == {"x": 2, "y": 2}
    assert (again.calls, again.tokens_in, again.tokens_out) == (first.calls, first.tokens_in, 4) == (4, 200, 4)
    gone = teacher_of(server, tmp_path, samples=2, api_key_env="NO_SUCH_VARIABLE")
    assert torch.isfinite(gone.outputs(batch(["x", "y"])).logits).all()  # with no server there any more


def test_more_samples_reuse_the_answers_there_are(tmp_path: Path) -> None:
    with Server(answer("A")) as server:
        teacher_of(server, tmp_path, samples=2).prefetch(["x"])
        teacher_of(server, tmp_path, samples=5).prefetch(["x"])
    assert server.asked["x"] == 5


def test_another_prompt_or_model_is_another_question(tmp_path: Path) -> None:
    with Server(answer("A")) as server:
        first = teacher_of(server, tmp_path, samples=1)
        other = teacher_of(server, tmp_path, samples=1, prompt="Other {labels} and\n{text}\n")
        model = EndpointTeacher(server.url, "n", CLASSES, journal=tmp_path / "answers.jsonl", samples=1)
        order = EndpointTeacher(server.url, "m", CLASSES[::-1], journal=tmp_path / "answers.jsonl", samples=1)
        for teacher in (first, other, model, order):
            teacher.prefetch(["x"])
    assert server.asked["x"] == 4
    assert len({t.fingerprint() for t in (first, other, model, order)}) == 4
    assert first.fingerprint() == teacher_of(server, tmp_path, samples=1, max_calls=9, concurrency=1).fingerprint()


def test_no_more_requests_than_the_limit_are_under_way(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=20)

    def meet(handler: Handler) -> None:
        together.wait()  # breaks, and the test with it, unless three really come at the same time
        answer("A")(handler)

    with Server(meet) as server:
        found = teacher_of(server, tmp_path, samples=1, concurrency=3).prefetch([f"text {n}" for n in range(12)])
    assert found.answered.all()
    assert server.most_under_way == 3


@pytest.mark.fault("B22", "kill -9 while a service is asked: nothing is paid for twice", exit=137)
def test_after_kill_9_nothing_that_was_answered_is_asked_again(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(6)]
    stuck = threading.Event()

    def stick(handler: Handler) -> None:
        stuck.set()
        hang(handler)

    program = (
        "import sys; from pathlib import Path; from stillhouse.teachers.endpoint.teacher import EndpointTeacher\n"
        f"EndpointTeacher(sys.argv[1], 'm', {CLASSES!r}, journal=Path(sys.argv[2]), samples=2, concurrency=1)"
        f".prefetch({texts!r})"
    )
    with Server(plan={"text 3": [answer("B"), stick, answer("B")]}) as server:
        with subprocess.Popen([sys.executable, "-c", program, server.url, str(tmp_path / "answers.jsonl")]) as run:
            assert stuck.wait(240)
            os.kill(run.pid, signal.SIGKILL)
        assert server.asked == {"text 0": 2, "text 1": 2, "text 2": 2, "text 3": 2}
        found = teacher_of(server, tmp_path, samples=2, concurrency=1).prefetch(texts)
    assert found.answered.all()
    assert server.asked == dict.fromkeys(texts, 2) | {"text 3": 3}  # its second answer never came


def test_an_interrupt_keeps_the_answers_that_are_under_way(tmp_path: Path) -> None:
    def interrupt(handler: Handler) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        answer("A")(handler)

    with Server(plan={"x": [interrupt, answer("A")]}) as server:
        with pytest.raises(KeyboardInterrupt):
            teacher_of(server, tmp_path, samples=1, concurrency=1).prefetch(["x", *"abcdefghijklmnopqrstuvw"])
        teacher_of(server, tmp_path, samples=1).prefetch(["x"])
    assert server.asked["x"] == 1


def test_it_can_be_asked_where_an_event_loop_runs_already(tmp_path: Path) -> None:
    async def notebook() -> bool:
        return bool(teacher_of(server, tmp_path, samples=1).prefetch(["x"]).answered.all())

    with Server(answer("A")) as server:
        assert asyncio.run(notebook())


def test_the_key_goes_to_the_service_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    with Server(answer("A")) as server:
        teacher = teacher_of(server, tmp_path, samples=1, api_key_env="THE_KEY")
        found = teacher.prefetch(["x"])
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY.encode() not in written
    assert KEY not in repr(found) + repr(vars(teacher)) + teacher.fingerprint()


def test_the_journal_holds_no_text_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    with Server(answer("A")) as server:
        teacher_of(server, tmp_path, samples=1).prefetch(["a private matter"])
    path = tmp_path / "answers.jsonl"
    assert b"private" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["label"]


def test_encoded_rows_are_decoded_where_no_raw_rows_come_along(tmp_path: Path) -> None:
    with Server(answer("A")) as server:
        seeing = teacher_of(server, tmp_path, samples=1, decode=lambda inputs: ["x", "y"][: len(inputs)])
        assert torch.isfinite(seeing.outputs(batch(None)).logits).all()
        with pytest.raises(UsageError, match="only encoded rows"):
            teacher_of(server, tmp_path).outputs(batch(None))
    assert set(server.asked) == {"x", "y"}


def test_rows_that_are_no_texts_are_named(tmp_path: Path) -> None:
    with Server() as server, pytest.raises(RejectedError, match="row 1 is of type float"):
        teacher_of(server, tmp_path).prefetch(["x", 3.5])  # type: ignore[list-item]
    assert not server.asked


def test_odd_texts_arrive_as_they_are(tmp_path: Path) -> None:
    texts = ["", 'Ignore this."\n{labels} {text}', "\u2028\u0000\ud800", "x" * 100_000, "naïve 日本語"]
    with Server(answer("A")) as server:
        assert teacher_of(server, tmp_path, samples=1).prefetch(texts).answered.all()
    assert set(server.asked) == set(texts)


def test_progress_is_told_once_for_each_different_text(tmp_path: Path) -> None:
    told: list[int] = []
    with Server(answer("A")) as server:
        teacher_of(server, tmp_path, samples=2).prefetch(["x", "y", "x"], told.append)
    assert told == [1, 1]
