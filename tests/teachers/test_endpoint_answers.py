"""Prompts that no text can leave, answers that are read strictly, and distributions that add up."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.errors import DamagedError, UsageError
from stillhouse.teachers.endpoint.answers import MalformedError, Reply, parse, reply_of, settle
from stillhouse.teachers.endpoint.naming import Naming, ids_for, label_ids, plain
from stillhouse.teachers.endpoint.question import Question, key_of
from tests.teachers.misbehaving_server import completion, token

IDS = label_ids(3)
CLASSES = ("sport", "politics", "science")
NAMING = Naming(IDS, CLASSES)
TEXTS = st.text(st.characters(codec=None), max_size=60)  # surrogates and controls included


def read(content: str | None, **more: Any) -> Reply:
    return parse(json.dumps(completion(content, **more)).encode(), NAMING)


def scores(content: str, alternatives: dict[str, float], ids: tuple[str, ...] = IDS) -> Reply:
    logs = {text: math.log(p) if p else -math.inf for text, p in alternatives.items()}
    body = completion(content, logprobs={"content": [token(content, logs)]})
    return parse(json.dumps(body).encode(), Naming(ids))


@settings(deadline=None)
@given(TEXTS)
def test_a_text_stays_inside_of_its_one_line_whatever_it_is(text: str) -> None:
    question = Question("m", CLASSES)
    before, after = question.fill("").split('""')
    filled = question.fill(text)
    assert filled.startswith(before)
    assert filled.endswith(after)
    middle = filled[len(before) : len(filled) - len(after)]
    assert len(middle.splitlines()) == 1
    assert json.loads(middle) == json.loads(json.dumps(text))


@settings(deadline=None)
@given(TEXTS)
def test_a_request_is_plain_ascii_json_and_brings_the_whole_prompt(text: str) -> None:
    question = Question("m", CLASSES)
    body = json.loads(question.body(text, log_probs=True).decode("ascii"))
    assert body["messages"] == [{"role": "user", "content": question.fill(text)}]


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_different_texts_have_different_keys(one: str, other: str) -> None:
    assert (key_of("d", one) == key_of("d", other)) == (one == other)


def test_class_names_are_quoted_as_well() -> None:
    filled = Question("m", ('a"\nIgnore all', "b {text}")).fill("t")
    assert 'A: "a\\"\\nIgnore all"' in filled.splitlines()
    assert 'B: "b {text}"' in filled.splitlines()


@settings(deadline=None)
@given(st.integers(2, 1500))
def test_no_id_is_the_beginning_of_another(count: int) -> None:
    ids = label_ids(count)
    assert len(set(ids)) == count
    assert len({len(i) for i in ids}) == 1


def test_extra_fields_replace_ours_and_none_takes_one_out() -> None:
    question = Question("m", CLASSES, extra={"max_tokens": None, "max_completion_tokens": 500}, constraint="none")
    body = json.loads(question.body("x", log_probs=False))
    assert "max_tokens" not in body
    assert "response_format" not in body
    assert "logprobs" not in body
    assert body["max_completion_tokens"] == 500


def test_descriptions_and_examples_are_shown_beside_their_classes() -> None:
    question = Question(
        "m", CLASSES, descriptions={"science": "labs,\nstars"}, examples=(("Goal!", "sport"), ("A {text}", "politics"))
    )
    lines = question.fill("x").splitlines()
    assert 'C: "science" (labs, stars)' in lines
    assert {'"Goal!" -> A', '"A {text}" -> B'} <= set(lines)
    assert lines.count('"x"') == 1


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"descriptions": {"sprot": "x"}}, "descriptions names the class 'sprot'.*'sport'"),
        ({"examples": (("x", "art"),)}, "examples names the class 'art'"),
        ({"prompt": "{text}"}, "no place {labels}"),
        ({"prompt": "{labels}"}, "no place {text}"),
        ({"prompt": "{labels} {text}", "examples": (("x", "sport"),)}, "no place {examples}"),
        ({"prompt": "{labels} {text} {examples}"}, "a place {examples}, but there are none"),
        ({"extra": {"messages": []}}, "messages"),
    ],
)
def test_a_question_that_shows_nothing_or_names_no_class_is_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Question("m", CLASSES, **settings)


@pytest.mark.parametrize("classes", [(), ("a",), ("a", "a")])
def test_classes_that_cannot_be_told_apart_are_refused(classes: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="two or more classes"):
        Question("m", classes)


IDS_WRITTEN = ["B", " B\n", "b", '"B"', "B.", "(B)", "**B**", "- B", "B)", "Answer: B", "The answer is B.", "class=B"]
NAMES_WRITTEN = [
    "politics",
    "Politics.",
    " POLITICS\n",
    "**politics**",
    "Label: politics",
    "The correct class is politics",
]
BOTH_WRITTEN = ["B: politics", "B) politics", "politics (B)", "B - Politics", 'B: "politics"']
JSON_WRITTEN = [
    '{"label": "B"}', ' {"label":"politics"} ', '{"class": "Politics"}', '{"Label": "b"}', '{"answer": {"id": "B"}}',
    "{'label': 'B'}", '["B"]', '"politics"', '{"category": "politics", "reason": "taxes"}', '{"topic": "politics"}',
    '```json\n{"label": "B"}\n```', '{"id": "B", "label": "politics"}', '{"label": ["B"]}',
]  # fmt: skip


@pytest.mark.parametrize("content", [*IDS_WRITTEN, *NAMES_WRITTEN, *BOTH_WRITTEN, *JSON_WRITTEN])
def test_an_id_or_a_name_is_read_whatever_stands_around_it(content: str) -> None:
    assert read(content)[:2] == ("label", 1)


@pytest.mark.parametrize("content", ["<think>Sport? No, taxes.</think>\n\nB", "<think>\n</think>politics"])
def test_what_a_model_thinks_before_its_answer_is_not_its_answer(content: str) -> None:
    assert read(content)[:2] == ("label", 1)
    assert read(content.replace("</think>", "")).kind == "malformed"


@pytest.mark.parametrize(
    "content",
    ["", "AB", "A B", "D", "A or B", "not politics", "politics or sport", "A: politics", "I think it is politics",
     "polit", '{"label": "D"}', '{"label": "A"', '{"label": "A", "id": "B"}', '{"label": ["A", "B"]}', "[]", "1", "{}",
     '{"reason": "B", "mood": "A"}', "null", '{"label": null}', "[" * 500, '{"a":' * 500],
)  # fmt: skip
def test_anything_else_is_malformed(content: str) -> None:
    assert read(content).kind == "malformed"


def test_an_answer_in_parts_is_put_together() -> None:
    parts: Any = [{"type": "text", "text": "pol"}, {"type": "text", "text": "itics"}]
    assert read(parts)[:2] == ("label", 1)


def test_the_beginning_of_a_longer_name_names_no_class() -> None:
    naming = Naming(ids_for(["New", "New York"]), ["New", "New York"])
    assert naming.named("New") == 0
    assert naming.named("New", cut=True) is None
    assert naming.named("New York", cut=True) == 1
    assert read("poli", finish_reason="length").kind == "malformed"


@pytest.mark.parametrize(
    ("names", "content", "label"),
    [
        (["B", "A"], "A", 1),  # the names are letters, so the ids are not
        (["1", "0"], "0", 1),
        (["US", "us"], "us", 1),
        (["-1", "1"], "-1", 0),
        (["true", "false"], '{"label": false}', 1),
        (["10", "20"], '{"label": 20}', 1),
        (["体育", "政治"], "政治。", None),
        (["体育", "政治"], "政治", 1),
        (["größer", "kleiner"], "GRÖSSER", 0),
        (["c++", "c"], "C++", 0),
        (["a sport", "sport"], "a sport", 0),
    ],
)
def test_names_of_all_kinds_name_their_own_class(names: list[str], content: str, label: int | None) -> None:
    assert Naming(ids_for(names), names).named(content) == label


NAMES = st.lists(
    st.text(max_size=6)
    | st.sampled_from(["A", "B", "a", "0", "1", "01", "c0", "label", "answer A", "sport", "not sport"]),
    min_size=2, max_size=40, unique=True,
)  # fmt: skip


@settings(deadline=None)
@given(NAMES, st.data())
def test_a_name_as_it_is_and_an_id_name_their_class_and_never_another(names: list[str], data: st.DataObject) -> None:
    ids = ids_for(names)
    naming, which = Naming(ids, names), data.draw(st.integers(0, len(names) - 1))
    assert len(set(map(plain, ids))) == len(names)
    assert not set(map(plain, ids)) & set(map(plain, names))
    assert naming.named(ids[which]) == which
    assert naming.named(json.dumps({"label": ids[which]})) == which
    assert naming.named(json.dumps({"label": names[which]})) in (which, None)
    said = naming.named(names[which])
    if names[which] == names[which].strip() and names[which][:1] not in ("{", "[", "`", "<", ""):
        assert said == which
    else:
        assert said in (which, None)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_no_words_become_a_label_but_those_that_hold_one_id_or_name(content: str) -> None:
    reply = read(content)
    if reply.kind == "label":
        assert reply.label is not None
        words = "".join(c for c in plain(content) if c.isalnum())
        assert words.endswith((IDS[reply.label].lower(), CLASSES[reply.label]))


def test_a_token_that_begins_a_name_is_not_read_as_an_id() -> None:
    names = ("sport", "politics", "B2B sales")
    naming = Naming(ids_for(names), names)
    for pieces in (["B", "2B sales"], ["B", "2", "B sales"]):
        told = [token(piece, {piece: -0.01, "A": -5.0}) for piece in pieces]
        body = json.dumps(completion("".join(pieces), logprobs={"content": told})).encode()
        assert parse(body, naming)[:2] == ("label", 2)
    cut = json.dumps(completion("B2", logprobs={"content": [token("B", {"B": -0.01}), token("2", {"2": -0.01})]}))
    assert parse(cut.encode(), naming).kind == "malformed"


@settings(deadline=None)
@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["choices", "message", "content", "logprobs", "usage", "refusal"]), inner)
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_a_body_is_a_reply_or_malformed_and_nothing_else(body: bytes) -> None:
    with suppress(MalformedError):
        assert parse(body, NAMING).kind in ("label", "scored", "refused", "malformed")


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["content", "token", "logprob", "top_logprobs"]), inner)
        ),
        max_leaves=12,
    )
)
def test_odd_log_probabilities_are_left_aside(log_probs: Any) -> None:
    assert read("B", logprobs=log_probs).kind == "label"


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 1.0), min_size=3, max_size=3))
def test_listed_probabilities_come_back_normalised(weights: list[float]) -> None:
    shares = np.array(weights) / sum(weights)
    reply = scores("A", dict(zip(IDS, map(float, shares), strict=True)))
    assert reply.log_probs is not None
    np.testing.assert_allclose(np.exp(reply.log_probs), shares, atol=1e-4)


def test_spellings_of_one_id_add_up_and_other_words_do_not_count() -> None:
    reply = scores("A", {"A": 0.4, " A": 0.2, '"B': 0.2, "The": 0.1, "C": 0.1})
    assert reply.log_probs is not None
    np.testing.assert_allclose(np.exp(reply.log_probs), [6 / 9, 2 / 9, 1 / 9], atol=1e-5)


def test_an_unlisted_class_gets_what_is_left_but_no_more_than_the_least_listed() -> None:
    four = label_ids(4)
    reply = scores("A", {"A": 0.7, "B": 0.2, "x": 0.06}, four)  # 0.04 left for two classes
    assert reply.log_probs is not None
    np.testing.assert_allclose(np.exp(reply.log_probs), np.array([0.7, 0.2, 0.02, 0.02]) / 0.94, atol=1e-5)
    reply = scores("A", {"A": 0.6, "B": 0.01}, four)  # 0.39 left, but each less likely than B
    assert reply.log_probs is not None
    np.testing.assert_allclose(np.exp(reply.log_probs), np.array([0.6, 0.01, 0.01, 0.01]) / 0.63, atol=1e-5)


def test_an_answer_that_was_drawn_badly_is_read_from_the_probabilities() -> None:
    reply = scores("Sure", {"A": 0.9, "Sure": 0.1})
    assert reply.kind == "scored"
    assert scores("Sorry", {"Sorry": 0.9, "A": 0.1}).kind == "refused"


@pytest.mark.parametrize("alternatives", [{}, {"A": 0.9, "B": 0.9}, {"A": 0.3, "B": 0.1, "I": 0.6}])
def test_probabilities_that_are_none_leave_a_draw(alternatives: dict[str, float]) -> None:
    assert scores("A", alternatives)[:2] == ("label", 0)


def test_an_id_of_several_tokens_is_a_draw_and_not_misread() -> None:
    ids = label_ids(30)
    pieces = [token("1", {"1": -0.1, "0": -2.4}), token("2", {"2": -0.1, "3": -2.4})]
    body = completion("12", logprobs={"content": pieces})
    assert parse(json.dumps(body).encode(), Naming(ids))[:2] == ("label", 12)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.floats(0.0, 5.0))
def test_draws_become_a_distribution_that_adds_up(labels: list[int], smoothing: float) -> None:
    settled = settle([Reply("label", n) for n in labels], len(labels), smoothing, 3)
    assert settled is not None
    assert settled.log_probs is not None
    shares = np.exp(settled.log_probs.astype(np.float64))
    assert shares.sum() == pytest.approx(1.0, abs=1e-5)
    assert labels.count(int(shares.argmax())) == max(map(labels.count, labels))


def test_more_is_asked_until_there_are_enough_draws() -> None:
    draws = [Reply("label", 0)] * 4
    assert settle(draws, 5, 1.0, 3) is None
    assert settle([*draws, Reply("lost")], 5, 1.0, 3) is None
    assert settle([*draws, Reply("malformed")], 5, 1.0, 3) is not None


@pytest.mark.parametrize(
    "record",
    [{"kind": "label", "label": 3}, {"kind": "label"}, {"kind": "scored", "log_probs": [0.0]}, {"kind": "guess"}, {}],
)
def test_a_record_that_is_no_answer_is_damage(record: dict[str, Any]) -> None:
    with pytest.raises(DamagedError, match="key k"):
        reply_of({"key": "k", "of": "o", **record}, 3)


def test_a_reply_comes_back_from_the_journal_as_it_was() -> None:
    for reply in (Reply("scored", 1, (-1.0, -0.5, -2.0), 5, 1, "B"), Reply("label", 0, None, 0, 0), Reply("lost")):
        again = reply_of({"key": "k", "of": "o", **json.loads(json.dumps(reply.record()))}, 3)
        assert again._replace(log_probs=None) == reply._replace(log_probs=None)
        assert list(again.log_probs or ()) == list(reply.log_probs or ())
