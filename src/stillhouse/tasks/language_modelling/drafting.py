"""A student as a draft for its teacher: how many tokens it saves, and whether that pays, beside plain and lookup."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from stillhouse.errors import RejectedError, UsageError
from stillhouse.recipe import Recipe
from stillhouse.students.speculative import Draft, LookupDraft, ModelDraft, Spoken, break_even, speak
from stillhouse.tasks.language_modelling.reading import files_of, net_of, prepared
from stillhouse.types import in_eval
from stillhouse.windows import DOCUMENTS, IDS, CausalWindows

STUDENT, LOOKUP = "student", "prompt lookup"
MOST_GAMMA = 16


def draft_run(
    recipe: Recipe,
    model: Any,
    *,
    gamma: Sequence[int],
    prompts: int,
    prompt_tokens: int,
    new_tokens: int,
    sampling_temperature: float,
    seed: int,
) -> dict[str, Any]:
    """Measure the student of a run as a draft for its teacher, on texts of the test split.

    Args:
        recipe: of the run.
        model: the student with its encoder.
        gamma: proposed tokens a cycle, one or several.
        prompts: how many test texts are continued.
        prompt_tokens: how many tokens of each are given.
        new_tokens: how many are written for each.
        sampling_temperature: 0 takes the likeliest token.
        seed: of the draws.

    Returns:
        See ``measure``.

    Raises:
        UsageError: a number out of range, or the teacher is no model of this machine.
        RejectedError: no test text is long enough.
    """
    odd = [g for g in gamma if not 1 <= g <= MOST_GAMMA]
    if odd or not gamma:
        raise UsageError(f"gamma = {list(gamma)}: write numbers of 1 to {MOST_GAMMA}, such as --gamma 1,2,3,5.")
    for name, value in (("prompts", prompts), ("prompt_tokens", prompt_tokens)):
        if value < 1:
            raise UsageError(f"{name} = {value} must be at least 1. Write {name} = 8.")
    starts = first_tokens(prepared(recipe).test.inputs, prompts, prompt_tokens)
    words = model.encoder.vocabulary
    return measure(
        cast("CausalWindows", in_eval(net_of(files_of(recipe.teacher)))),
        cast("CausalWindows", in_eval(model.net)),
        starts,
        gamma=gamma,
        new_tokens=new_tokens,
        sampling_temperature=sampling_temperature,
        end=[] if words.end is None else [words.end],
        seed=seed,
    )


def first_tokens(windows: Tensor, count: int, length: int) -> list[Tensor]:
    """The first tokens of the first documents of some windows (N, 2, T), spread over all of them.

    Raises:
        RejectedError: no window begins with a document of this length.
    """
    fits = (windows[:, DOCUMENTS, :length] == windows[:, DOCUMENTS, :1]).all(1) & (windows[:, DOCUMENTS, 0] > 0)
    rows = torch.nonzero(fits).flatten() if length <= windows.shape[-1] else torch.empty(0, dtype=torch.int64)
    if not len(rows):
        raise RejectedError(
            f"No test text has {length} tokens, so there is nothing to continue. Write a smaller --prompt-tokens."
        )
    chosen = rows[torch.linspace(0, len(rows) - 1, min(count, len(rows))).long()]
    return [windows[row, IDS, :length] for row in chosen.tolist()]


def measure(
    teacher: CausalWindows,
    student: CausalWindows,
    prompts: Sequence[Tensor],
    *,
    gamma: Sequence[int],
    new_tokens: int,
    sampling_temperature: float = 0.0,
    end: Collection[int] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Write the same texts plainly, with the student as a draft and with prompt lookup, in turns.

    Args:
        teacher: the large model, in eval mode.
        student: the draft.
        prompts: int64 (n,) each.
        gamma: proposed tokens a cycle.
        new_tokens: for each prompt.
        sampling_temperature: 0 takes the likeliest token.
        end: ids of end tokens.
        seed: of the draws.

    Returns:
        ``plain`` with tokens a second; ``drafts``: for each draft and gamma tokens a cycle, acceptance of a checked
        token, the acceptance at which it breaks even (None: it never does), speed as a multiple of plain decoding, and
        how many texts are the same as plain ones (greedy only).
    """
    whole: Any = teacher
    classes = int(getattr(whole, "classes", whole.model.config.vocab_size))
    makers: dict[str, Callable[[], Draft]] = {STUDENT: lambda: ModelDraft(student, classes), LOOKUP: LookupDraft}
    ways = [(name, g) for name in makers for g in gamma]
    settings: dict[str, Any] = {
        "new_tokens": new_tokens,
        "sampling_temperature": sampling_temperature,
        "end": frozenset(end),
    }
    plain: list[Spoken] = []
    made: dict[tuple[str, int], list[Spoken]] = {way: [] for way in ways}
    speak(teacher, LookupDraft(), prompts[0], gamma=0, **(settings | {"new_tokens": 2}))  # the first call is slow
    for number, prompt in enumerate(prompts):
        draws = torch.Generator().manual_seed(seed + number)
        plain.append(speak(teacher, LookupDraft(), prompt, gamma=0, generator=draws, **settings))
        for name, g in ways:
            draws = torch.Generator().manual_seed(seed + number)
            made[name, g].append(speak(teacher, makers[name](), prompt, gamma=g, generator=draws, **settings))
    pace = _seconds(plain) / _tokens(plain)
    return {
        "prompts": len(prompts),
        "new_tokens": new_tokens,
        "sampling_temperature": sampling_temperature,
        "plain": {"tokens_per_second": 1 / pace},
        "drafts": [_row(*way, made[way], plain, pace, sampling_temperature == 0) for way in ways],
    }


def _row(
    name: str, gamma: int, texts: Sequence[Spoken], plain: Sequence[Spoken], pace: float, greedy: bool
) -> dict[str, Any]:
    cycles, proposed = sum(t.cycles for t in texts), sum(t.proposed for t in texts)
    tried = sum(sum(t.tried) for t in texts)
    asked = sum(t.draft_seconds for t in texts) / max(proposed, 1) / pace
    check = sum(t.check_seconds for t in texts) / cycles / pace
    speed = _tokens(texts) / _seconds(texts)
    return {
        "draft": name,
        "gamma": gamma,
        "tokens_per_cycle": _tokens(texts) / cycles,
        "acceptance": sum(sum(t.passed) for t in texts) / tried if tried else None,
        "break_even": break_even(gamma, asked, check),
        "tokens_per_second": speed,
        "speed": speed * pace,
        "identical": sum(a.tokens == b.tokens for a, b in zip(texts, plain, strict=True)) if greedy else None,
    }


def _tokens(texts: Sequence[Spoken]) -> int:
    return sum(len(text.tokens) for text in texts)


def _seconds(texts: Sequence[Spoken]) -> float:
    return sum(text.seconds for text in texts)
