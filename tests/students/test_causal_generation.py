"""Generated text: what transformers itself would write, in any batch, and with any draft."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.students.causal import CausalStudent, derive_causal
from stillhouse.students.causal_generation import Voice, crop, generate, probabilities
from stillhouse.students.speculative import (
    Draft,
    LookupDraft,
    ModelDraft,
    Proposal,
    break_even,
    checked,
    speak,
    tokens_of_acceptance,
)
from stillhouse.windows import CausalWindows
from tests.students.causal_models import gemma, gpt2, llama

PROMPTS = [torch.tensor([1, 5, 9, 30, 31]), torch.tensor([7]), torch.tensor([3, 4, 5, 3, 4, 5, 3, 4])]
MORE = [(gemma, 3), (gpt2, 3), (llama, 1), (gemma, 1), (gpt2, 5)]
MODELS = pytest.mark.parametrize("make", [llama, gemma, gpt2])


@MODELS
def test_greedy_text_is_that_of_transformers(make: Callable[..., Any]) -> None:
    model = make()
    made = generate(CausalWindows(model), PROMPTS, new_tokens=10, end=[2], batch_size=1)
    for prompt, mine in zip(PROMPTS, made.tokens, strict=True):
        theirs = model.generate(prompt[None], max_new_tokens=10, do_sample=False, eos_token_id=2, pad_token_id=2)
        told = theirs[0, len(prompt) :].tolist()
        assert mine.tolist() == told[: told.index(2) if 2 in told else None]
    assert made.tokens_per_second > 0


@MODELS
def test_padding_changes_nothing_in_a_batch_of_prompts(make: Callable[..., Any]) -> None:
    net = CausalWindows(make())
    alone = [generate(net, [prompt], new_tokens=8).tokens[0].tolist() for prompt in PROMPTS]
    assert [one.tolist() for one in generate(net, PROMPTS, new_tokens=8).tokens] == alone


def test_text_stops_at_its_end_token() -> None:
    net = CausalWindows(llama())
    whole = generate(net, PROMPTS, new_tokens=8).tokens
    end = int(whole[0][3])
    made = generate(net, PROMPTS, new_tokens=8, end=[end])
    for before, after, stopped in zip(whole, made.tokens, made.ended, strict=True):
        told = before.tolist()
        assert after.tolist() == told[: told.index(end) if end in told else None]
        assert stopped == (end in told)


def test_a_student_writes_the_teachers_ids_and_never_the_rest() -> None:
    student: Any = derive_causal(llama(), layers=2, vocabulary=12, counts=torch.arange(64)).module
    made = generate(student, PROMPTS, new_tokens=30, sampling_temperature=2.0)
    assert set(torch.cat(made.tokens).tolist()) <= {1, 2, *range(54, 64)}
    prompt = student.read(PROMPTS[0])[None]
    own = student.model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False, eos_token_id=20
    )
    named = Voice(student).named(own[0, 5:])
    assert torch.equal(generate(student, PROMPTS[:1], new_tokens=8).tokens[0], named)


def test_draws_follow_the_seed_and_settings_are_checked() -> None:
    net = CausalWindows(llama())
    drawn = [generate(net, PROMPTS, new_tokens=8, sampling_temperature=1.0, seed=s).tokens for s in (0, 0, 1)]
    assert torch.equal(torch.cat(drawn[0]), torch.cat(drawn[1]))
    assert not torch.equal(torch.cat(drawn[0]), torch.cat(drawn[2]))
    bad: list[tuple[dict[str, Any], str]] = [
        ({"new_tokens": 0}, "max_new_tokens = 100"),
        ({"new_tokens": 5, "sampling_temperature": -1.0}, "sampling_temperature = -1.0"),
        ({"new_tokens": 5, "top_p": 0.0}, "Write top_p = 1.0"),
        ({"new_tokens": 5000}, "reads 2048 at most"),
    ]
    for settings, says in bad:
        with pytest.raises(UsageError, match=says):
            generate(net, PROMPTS, **settings)
    with pytest.raises(UsageError, match="at least one token"):
        generate(net, [torch.tensor([], dtype=torch.int64)], new_tokens=3)


def test_temperature_is_not_sampling_temperature() -> None:
    logits = torch.tensor([2.0, 0.0, -1.0])
    truth = torch.tensor([2.0 / 0.5, 0.0, -1.0 / 0.5]).exp()
    torch.testing.assert_close(probabilities(logits, 0.5), truth / truth.sum())
    with pytest.raises(TypeError, match="temperature"):
        generate(CausalWindows(llama()), PROMPTS, new_tokens=3, temperature=0.5)  # type: ignore[call-arg]


@MODELS
def test_cache_crop(make: Callable[..., Any]) -> None:
    voice, text = Voice(CausalWindows(make())), torch.arange(3, 15)[None]
    whole = voice.read(text, voice.empty_cache(), 1)
    cache = voice.empty_cache()
    voice.read(text[:, :5], cache, 1)
    cache.activate_past_recording()
    crop(cache, 5)
    voice.read(torch.tensor([[40, 41, 42]]), cache, 1)  # what a draft proposed, and was not accepted
    crop(cache, 5)
    voice.read(text[:, 5:9], cache, 1)
    crop(cache, 9)
    torch.testing.assert_close(voice.read(text[:, 9:], cache, 1), whole, atol=1e-4, rtol=1e-4)


def drafts(model: Any) -> list[Draft]:
    cut: Any = derive_causal(model, layers=2, vocabulary=40, counts=torch.arange(64)).module
    return [ModelDraft(cut, 64), ModelDraft(CausalWindows(model), 64), LookupDraft()]


@pytest.mark.parametrize(
    ("make", "gamma"), [(llama, 3), *(pytest.param(m, g, marks=pytest.mark.slow) for m, g in MORE)]
)
def test_speculative_greedy_identical(make: Callable[..., Any], gamma: int) -> None:
    model = make()
    net, prompt = CausalWindows(model), PROMPTS[2]
    plain = generate(net, [prompt], new_tokens=12).tokens[0].tolist()
    for draft in drafts(model):
        made = speak(net, draft, prompt, gamma=gamma, new_tokens=12)
        assert made.tokens == plain
        assert made.cycles + made.accepted == 12
    perfect = speak(net, drafts(model)[1], prompt, gamma=gamma, new_tokens=gamma + 1)
    assert perfect.tokens_per_cycle == gamma + 1


def test_speculative_text_ends_at_its_end_token() -> None:
    model = llama()
    net = CausalWindows(model)
    plain = generate(net, PROMPTS[:1], new_tokens=14).tokens[0].tolist()
    end = plain[5]
    made = speak(net, ModelDraft(CausalWindows(model), 64), PROMPTS[0], gamma=4, new_tokens=14, end=[end])
    assert made.tokens == plain[: plain.index(end) + 1]


@pytest.mark.parametrize("sure", [False, True], ids=["drawn proposals", "fixed proposals"])
def test_a_checked_token_has_the_large_models_distribution(sure: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    p, q = torch.tensor([0.5, 0.3, 0.15, 0.05]), torch.tensor([0.1, 0.2, 0.6, 0.1])
    counts = [0] * 4
    for _ in range(3000):
        token = 2 if sure else int(torch.multinomial(q, 1, generator=generator))
        some = Proposal([token], [None if sure else q])
        accepted, following = checked(torch.stack([p, p]), some, generator)
        counts[token if accepted else following] += 1
    assert stats.chisquare(counts, p.double().numpy() / float(p.double().sum()) * 3000).pvalue > 0.001


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
def test_speculative_sampled_distribution(which: int) -> None:
    sizes = {"vocab_size": 5, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2}
    model = llama(**sizes, num_attention_heads=2, num_key_value_heads=2)
    net, prompt = CausalWindows(model), torch.tensor([3, 4, 0, 3, 4])
    small = derive_causal(
        model, layers=1, vocabulary=4, counts=torch.tensor([9, 9, 9, 1, 5]), special=torch.tensor([1])
    )
    student: Any = small.module
    truth = {}
    for text in itertools.product(range(5), repeat=3):
        ids = torch.cat([prompt, torch.tensor(text)])
        with torch.no_grad():
            log_p = (model(ids[None]).logits[0] / 0.8).log_softmax(-1)
        truth[text] = float(sum(log_p[len(prompt) - 1 + i, t] for i, t in enumerate(text)).exp())
    runs, generator = 500, torch.Generator().manual_seed(1)
    counts = dict.fromkeys(truth, 0)
    for _ in range(runs):
        draft = ModelDraft(student, 5) if which == 0 else LookupDraft()
        made = speak(net, draft, prompt, gamma=2, new_tokens=3, sampling_temperature=0.8, generator=generator)
        counts[tuple(made.tokens)] += 1
    likely = [text for text in truth if truth[text] * runs >= 5]
    seen = [*(counts[text] for text in likely), runs - sum(counts[text] for text in likely)]
    expected = [*(truth[text] * runs for text in likely), runs * (1 - sum(truth[text] for text in likely))]
    assert stats.chisquare(seen, expected).pvalue > 0.001


def test_break_even_is_where_the_costs_are_equal() -> None:
    for gamma, draft_cost, check_cost in itertools.product((1, 2, 5), (0.02, 0.3), (1.0, 1.5)):
        found = break_even(gamma, draft_cost, check_cost)
        cost = gamma * draft_cost + check_cost
        if found is None:
            assert gamma + 1 < cost
        else:
            truth = (1 - found ** (gamma + 1)) / (1 - found) if found < 1 else gamma + 1  # the geometric series
            assert truth == pytest.approx(cost)
            assert tokens_of_acceptance(found, gamma) == pytest.approx(cost)


def test_lookup_finds_the_latest_place() -> None:
    found = LookupDraft().propose([7, 8, 9, 1, 7, 8, 9, 2, 5, 8, 9], 2, torch.Tensor.exp, torch.Generator())
    assert found.tokens == [2, 5]
    nothing = LookupDraft().propose([1, 2, 3], 2, torch.Tensor.exp, torch.Generator())
    assert nothing.tokens == []


def test_students_with_their_teachers_ids_keep_them() -> None:
    ids: Tensor = torch.tensor([4, 2])
    assert torch.equal(Voice(CausalStudent(llama())).named(ids), ids)
