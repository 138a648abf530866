"""What a service does wrong: waited for, tried again within a budget, or the end of the run with all answers kept."""

from __future__ import annotations

import asyncio
import gzip
import sys
from email.utils import format_datetime, formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillhouse.errors import RejectedError, StoppedError, UsageError
from stillhouse.teachers.endpoint.client import LONGEST_RETRY_AFTER, Timing, retry_after
from stillhouse.teachers.endpoint.teacher import EndpointTeacher
from tests.teachers import misbehaving_server as bad
from tests.teachers.misbehaving_server import Act, Server, answer, raw, status

pytestmark = pytest.mark.enable_socket
CLASSES = ("sport", "politics")
KEY = "sk-secret-4711"
BOMB = gzip.compress(b" " * (1 << 24), 1)


class FakeTime:
    """Time that passes only by being slept; the sleeps are noted."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds
        await asyncio.sleep(0)

    @property
    def timing(self) -> Timing:
        return Timing(lambda: 1e9 + self.passed, lambda: self.passed, self.sleep, lambda: 1.0)


def teacher_of(server: Server, folder: Path, **settings: Any) -> EndpointTeacher:
    defaults: dict[str, Any] = {
        "journal": folder / "a.jsonl",
        "samples": 1,
        "concurrency": 1,
        "timing": FakeTime().timing,
    }
    return EndpointTeacher(server.url, "m", CLASSES, **(defaults | settings))


@pytest.mark.fault("G19", "a compressed body that would unpack to 16 MB, an endless body, one that breaks off", exit=0)
@pytest.mark.parametrize(
    "fault",
    [
        status(429, Retry_After="1"),
        status(500),
        status(503),
        status(408),
        raw(b'{"choices": ['),
        raw(b"[" * 100_000),
        raw(b'{"choices": []}'),
        raw(b'{"object": "list"}'),
        raw(b"null"),
        raw(b"\xff\xfe"),
        raw(b"<html>sign in</html>", Content_Type="text/html"),
        raw(gzip.compress(b"{}"), Content_Encoding="gzip"),
        raw(BOMB, Content_Encoding="gzip"),
        lambda handler: handler.send(204, b""),
        bad.disconnect,
        bad.endless,
    ],
)
def test_what_goes_wrong_once_is_asked_again_and_is_no_answer(tmp_path: Path, fault: Act) -> None:
    with Server(plan={"x": [fault, answer("B")]}) as server:
        found = teacher_of(server, tmp_path).prefetch(["x"])
    assert server.asked["x"] == 2
    assert int(np.argmax(found.log_probs[0])) == 1
    assert (found.refused, found.malformed, found.rejected) == (0, 0, 0)


@pytest.mark.fault("G19", "a body that never ends, or comes a byte at a time", exit=0)
@pytest.mark.parametrize("fault", [bad.hang, bad.drip])
def test_a_request_ends_when_its_time_is_over_however_it_is_spent(tmp_path: Path, fault: Act) -> None:
    with Server(plan={"x": [fault, answer("B")]}) as server:
        assert teacher_of(server, tmp_path, timeout=0.25).prefetch(["x"]).answered.all()
    assert server.asked["x"] == 2


@pytest.mark.fault("G19", "an absurd Retry-After: at most ten minutes are waited, whatever it asks for", exit=0)
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("9" * 300, LONGEST_RETRY_AFTER),
        (formatdate(1e9 - 1e8, usegmt=True), 0.0),
        ("7", 7.0),
        (formatdate(1e9 + 30, usegmt=True), 30.0),
        ("999999", LONGEST_RETRY_AFTER),
        ("0", 0.0),
    ],
)
def test_retry_after_is_honoured_in_seconds_and_as_a_date_up_to_a_cap(
    tmp_path: Path, header: str, seconds: float
) -> None:
    time = FakeTime()
    with Server(plan={"x": [status(429, Retry_After=header), answer("A")]}) as server:
        teacher_of(server, tmp_path, timing=time.timing).prefetch(["x"])
    assert time.passed == pytest.approx(max(seconds, 1.0))  # no less than the back-off


@pytest.mark.parametrize("header", ["soon", "-5", "", "١", "Mon, 99 Foo 2024"])
def test_a_retry_after_that_says_nothing_is_left_aside(tmp_path: Path, header: str) -> None:
    time = FakeTime()
    fault = status(429, **({"Retry_After": header} if header.isascii() else {}))
    with Server(plan={"x": [fault, answer("A")]}) as server:
        teacher_of(server, tmp_path, timing=time.timing).prefetch(["x"])
    assert time.passed == pytest.approx(1.0)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(st.text(max_size=40), st.integers().map(str), st.floats().map(str), st.datetimes().map(format_datetime)),
    st.floats(-1e12, 1e12),
)
def test_no_header_and_no_clock_makes_a_wait_long_or_negative(header: str, now: float) -> None:
    seconds = retry_after(header, now)
    assert seconds is None or 0.0 <= seconds <= LONGEST_RETRY_AFTER


def test_back_off_doubles_from_try_to_try(tmp_path: Path) -> None:
    time = FakeTime()
    with Server(plan={"x": [status(500)] * 4 + [answer("A")]}) as server:
        teacher_of(server, tmp_path, timing=time.timing).prefetch(["x"])
    assert time.slept == [1.0, 2.0, 4.0, 8.0]


def test_a_service_that_stays_away_stops_the_run_and_keeps_the_answers(tmp_path: Path) -> None:
    with Server(plan={"dead": [status(500, "overloaded")]}) as server:
        with pytest.raises(StoppedError, match=r"3 tries of one request.*overloaded") as stopped:
            teacher_of(server, tmp_path, tries=3).prefetch(["x", "y", "dead", "z"])
        assert stopped.value.exit_code == 75
        assert server.asked == {"x": 1, "y": 1, "dead": 3}
        server.plan["dead"] = [answer("A")]
        assert teacher_of(server, tmp_path).prefetch(["x", "y", "dead", "z"]).answered.all()
    assert server.asked == {"x": 1, "y": 1, "dead": 4, "z": 1}


def test_the_retries_of_all_requests_together_have_a_limit(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(9)]
    plan = {text: [status(500), answer("A")] for text in texts}
    with Server(plan=plan) as server, pytest.raises(StoppedError, match="4 retries in all"):
        teacher_of(server, tmp_path, retries=4).prefetch(texts)
    assert sum(server.asked.values()) == 4 * 2 + 1


def test_no_server_at_all_stops_resumably(tmp_path: Path) -> None:
    with Server() as server:
        teacher = teacher_of(server, tmp_path, tries=2)
    with pytest.raises(StoppedError, match="ConnectError"):
        teacher.prefetch(["x"])


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_refused_key_or_model_ends_the_run_at_once(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    with Server(status(code, f"wrong key {KEY}")) as server, pytest.raises(RejectedError, match=str(code)) as refused:
        teacher_of(server, tmp_path, api_key_env="THE_KEY").prefetch(["x", "y"])
    assert sum(server.asked.values()) == 1
    assert KEY not in str(refused.value)


def test_a_key_that_the_service_repeats_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    with Server(status(500, f"{KEY} is over its limit")) as server, pytest.raises(StoppedError) as stopped:
        teacher_of(server, tmp_path, api_key_env="THE_KEY", tries=2).prefetch(["x"])
    assert "[key] is over its limit" in str(stopped.value)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY.encode() not in written


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with Server() as other, Server(status(307, Location=f"{other.url}/chat/completions")) as server:
        with pytest.raises(RejectedError, match=r"307.*redirects to http://127\.0\.0\.1"):
            teacher_of(server, tmp_path).prefetch(["x"])
        assert not other.asked


def test_an_empty_account_stops_resumably_without_retries(tmp_path: Path) -> None:
    with Server(raw(b"")) as server:
        server.default = lambda handler: handler.send(429, b'{"error": {"code": "insufficient_quota"}}')
        with pytest.raises(StoppedError, match="account"):
            teacher_of(server, tmp_path).prefetch(["x"])
    assert server.asked["x"] == 1


def test_a_text_whose_answers_are_never_completions_is_left_without_one(tmp_path: Path) -> None:
    with Server(plan={"x": [raw(b"{}")]}) as server:
        found = teacher_of(server, tmp_path).prefetch(["x", "y"])
        assert teacher_of(server, tmp_path).prefetch(["x", "y"]).answered.tolist() == [False, True]
    assert (found.answered.tolist(), found.malformed) == ([False, True], 1)
    assert server.asked["x"] == 3


def test_a_text_the_service_does_not_take_is_left_without_an_answer(tmp_path: Path) -> None:
    with Server(plan={"long": [status(400, "context length exceeded")]}) as server:
        teacher = teacher_of(server, tmp_path)
        found = teacher.prefetch(["x", "long", "y"])
        assert teacher.prefetch(["x", "long", "y"]).answered.tolist() == [True, False, True]
    assert (found.answered.tolist(), found.rejected) == ([True, False, True], 1)
    assert server.asked["long"] == 1


def test_a_service_that_takes_no_text_at_all_is_rejected_soon(tmp_path: Path) -> None:
    fault = status(400, "response_format is not supported")
    with Server(fault) as server, pytest.raises(RejectedError, match=r"response_format.*constraint"):
        teacher_of(server, tmp_path).prefetch([f"text {n}" for n in range(50)])
    assert sum(server.asked.values()) == 3


def test_a_service_that_knows_no_log_probabilities_is_asked_without(tmp_path: Path) -> None:
    with Server(plan={"x": [status(400, "logprobs is not supported"), answer("A")]}) as server:
        assert teacher_of(server, tmp_path, samples=2).prefetch(["x", "y"]).answered.all()
    assert ["logprobs" in body for body in server.bodies] == [True, False, False, False, False]


def test_the_call_ceiling_is_never_passed_and_the_run_goes_on_when_it_is_raised(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(10)]
    with Server() as server:
        for _ in range(2):  # the ceiling is on all that was ever paid
            with pytest.raises(StoppedError, match="max_calls = 4: so far there are 4 answers"):
                teacher_of(server, tmp_path, max_calls=4, concurrency=3).prefetch(texts)
            assert sum(server.asked.values()) == 4
        assert teacher_of(server, tmp_path, max_calls=10, concurrency=3).prefetch(texts).answered.all()
    assert server.asked == dict.fromkeys(texts, 1)


@pytest.mark.parametrize(
    "limit", [{"max_cost": 0.01, "price_in": 1.0, "price_out": 10.0}, {"max_tokens": 6000}], ids=["cost", "tokens"]
)
def test_a_ceiling_of_money_or_tokens_is_never_passed(tmp_path: Path, limit: dict[str, float]) -> None:
    texts = [f"text {n}" for n in range(400)]
    act = answer("A", usage={"prompt_tokens": 500, "completion_tokens": 16})
    with Server(act) as server, pytest.raises(StoppedError, match=f"{next(iter(limit))} = "):
        teacher_of(server, tmp_path, concurrency=4, **limit).prefetch(texts)
    calls = sum(server.asked.values())
    spent = calls * (500 * 1.0 + 16 * 10.0) / 1e6 if "max_cost" in limit else float(calls * 516)
    assert 0.7 * next(iter(limit.values())) < spent <= next(iter(limit.values()))


def test_tokens_the_service_does_not_count_are_counted_as_the_most_they_can_be(tmp_path: Path) -> None:
    with Server(answer("A", usage=None)) as server:
        found = teacher_of(server, tmp_path).prefetch(["x"])
    assert found.tokens_in >= len(server.bodies[0]["messages"][0]["content"])
    assert found.tokens_out == 16


def test_what_was_sent_and_lost_counts_as_paid_in_later_runs_too(tmp_path: Path) -> None:
    with Server(plan={"x": [bad.disconnect, answer("A")]}) as server:
        found = teacher_of(server, tmp_path).prefetch(["x"])
        assert teacher_of(server, tmp_path).prefetch(["x"]).calls == found.calls == 2
    assert found.answered.all()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.org/v1", "plain http"),
        ("https://me:secret@example.org/v1", "password"),
        ("ftp://example.org", "is not a URL"),
        ("example.org/v1", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("http://127.0.0.1.example.org/v1", "plain http"),
    ],
)
def test_urls_that_would_leak_are_refused(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        EndpointTeacher(url, "m", CLASSES, journal=tmp_path / "a")
    assert "secret" not in str(refused.value)


def test_a_missing_key_is_named_before_anything_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THE_KEY", raising=False)
    teacher = EndpointTeacher("https://host.invalid/v1", "m", CLASSES, journal=tmp_path / "a", api_key_env="THE_KEY")
    with pytest.raises(UsageError, match="THE_KEY is not set"):
        teacher.prefetch(["x"])
    monkeypatch.setenv("THE_KEY", "two words")
    with pytest.raises(UsageError) as refused:
        teacher.prefetch(["x"])
    assert "two words" not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"concurrency": 0},
        {"samples": 0},
        {"timeout": -1.0},
        {"max_cost": 1.0},
        {"max_calls": -1},
        {"prompt": "no place for the text: {labels}"},
        {"constraint": "hope"},
        {"extra": {"x": float("nan")}},
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        EndpointTeacher("https://host.invalid/v1", "m", CLASSES, **({"journal": tmp_path / "a"} | settings))


def test_without_httpx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with Server() as server, pytest.raises(UsageError, match=r"stillhouse\[endpoint\]"):
        teacher_of(server, tmp_path).prefetch(["x"])


@pytest.mark.parametrize("content", ["It is about \u202esport\x1b[2J, I believe " + "x" * 500, "I'm sorry, I cannot."])
def test_twenty_answers_in_a_row_that_name_no_class_stop_it_with_one_of_them_shown(
    tmp_path: Path, content: str
) -> None:
    texts = [f"text {n}" for n in range(100)]
    with Server(answer(content)) as server:
        teacher = teacher_of(server, tmp_path, samples=5, concurrency=4)
        with pytest.raises(StoppedError, match="name no class") as stopped:
            teacher.prefetch(texts)
        paid = sum(server.asked.values())
        assert 20 <= paid < 24
        server.default = answer("B")  # it works again, and nobody has to know which texts were asked
        found = teacher_of(server, tmp_path, samples=5, concurrency=4).prefetch(texts)
    assert found.answered.all()
    assert found.calls == sum(server.asked.values()) == paid + 500
    message = str(stopped.value)
    assert message.isprintable()
    assert len(message) < 800
    assert content[:12] in message


def test_a_service_that_works_again_and_again_only_for_a_while_is_still_stopped(tmp_path: Path) -> None:
    with Server(answer("hm")) as server:
        for calls in (20, 40):
            with pytest.raises(StoppedError, match="name no class"):
                teacher_of(server, tmp_path, samples=1, concurrency=1).prefetch([f"text {n}" for n in range(100)])
            assert sum(server.asked.values()) == calls


def test_odd_answers_among_good_ones_do_not_stop_it(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(60)]
    plan = {text: [answer("hm")] for n, text in enumerate(texts) if n % 15}
    with Server(answer("A"), plan=plan) as server:
        found = teacher_of(server, tmp_path, samples=1, concurrency=1).prefetch(texts)
    assert (found.malformed, found.answered.sum()) == (56, 4)


def test_a_long_row_of_refusals_after_answers_is_about_the_texts(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(40)]
    no = [answer("", refusal="No.")]
    with Server(answer("A"), plan=dict.fromkeys(texts[1:], no)) as server:
        found = teacher_of(server, tmp_path, samples=1, concurrency=1).prefetch(texts)
    assert (found.refused, found.answered.sum()) == (39, 1)
