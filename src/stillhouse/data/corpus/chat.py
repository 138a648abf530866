"""Dialogues: a file of messages, and the teacher's own template that turns them into a text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np

from stillhouse.data.cells import first_five
from stillhouse.data.files.jsonlines import json_records
from stillhouse.errors import RejectedError, UsageError

ASSISTANT = "assistant"
LossOn = Literal["assistant", "all"]
Message = Mapping[str, str]


class Dialogue(NamedTuple):
    """A dialogue as text."""

    text: str
    spans: tuple[tuple[int, int], ...]  # the characters that are learned, from start to stop


def read_chat(path: Path) -> list[list[Message]]:
    """Read the messages of dialogues, a JSON object with ``messages`` in each line; each has ``role`` and ``content``.

    Raises:
        UsageError: there is no such file.
        RejectedError: lines hold no such messages, or none of an assistant: names the first five.
    """
    if not path.is_file() or path.suffix != ".jsonl":
        raise UsageError(f"[data] chat = {str(path)!r} is no .jsonl file. Name a file with a dialogue in each line.")
    found = [one.get("messages") for one in json_records(path)]
    wrong = np.array([not _is_dialogue(one) for one in found])
    if wrong.any():
        raise RejectedError(
            f"{path}: {first_five(wrong)} hold no dialogue. Write `messages` as a list of objects with the texts "
            '"role" and "content", one of them of the role "assistant".'
        )
    return [list(one) for one in found if isinstance(one, list)]


def _is_dialogue(messages: Any) -> bool:
    keys = ("role", "content")
    sound = isinstance(messages, list) and all(
        isinstance(one, Mapping) and all(isinstance(one.get(key), str) for key in keys) for one in messages
    )
    return sound and any(one["role"] == ASSISTANT for one in messages)


def rendered(messages: Sequence[Message], template: str, loss_on: LossOn, special: Mapping[str, str]) -> Dialogue:
    """A dialogue as the teacher's template writes it, and what of it is learned.

    An answer of the assistant is learned with the token that ends its turn, and without what the template writes
    before and behind it.

    Args:
        messages: of the dialogue.
        template: in Jinja, as the teacher's tokenizer has it.
        loss_on: "assistant": the assistant's answers; "all": everything.
        special: ``bos_token`` and ``eos_token``, for the template.

    Raises:
        RejectedError: the template fails on these messages, or writes the beginning of a dialogue in another way once
            more follows.
    """
    text = _render(template, messages, special, ask=False)
    if loss_on == "all":
        return Dialogue(text, ((0, len(text)),))
    spans = []
    for place, message in enumerate(messages):
        if message["role"] != ASSISTANT:
            continue
        before = _render(template, messages[:place], special, ask=True)
        through = _render(template, messages[: place + 1], special, ask=False)
        if not (text.startswith(before) and text.startswith(through.rstrip()) and len(through) > len(before)):
            raise RejectedError(
                "The teacher's chat template writes the beginning of a dialogue in another way once more follows, so "
                'it cannot be told where an answer begins. Write `[data] loss_on = "all"`.'
            )
        spans.append((len(before), len(through.rstrip())))
    return Dialogue(text, tuple(spans))


def check_template(template: str | None) -> str:
    """The template of a teacher, tried on a small dialogue.

    Raises:
        RejectedError: there is none, or it is no template.
    """
    if template is None:
        raise RejectedError(
            "The teacher has no chat template, so dialogues cannot be written as it knows them. Name a teacher that "
            "was trained on dialogues, or give the texts as they are: `[data] corpus`."
        )
    _render(template, [{"role": "user", "content": "a"}, {"role": ASSISTANT, "content": "b"}], {}, ask=False)
    return template


def _render(template: str, messages: Sequence[Message], special: Mapping[str, str], *, ask: bool) -> str:
    import jinja2

    try:
        found: str = _compiled(template).render(messages=messages, add_generation_prompt=ask, **special)
    except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
        raise RejectedError(
            f"The teacher's chat template cannot write these messages: {error}. Fix their roles and order, or take "
            "another teacher."
        ) from error
    return found


@lru_cache(maxsize=4)
def _compiled(template: str) -> Any:
    import jinja2.sandbox

    room = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    room.globals["raise_exception"] = _refuse
    room.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    return room.from_string(template)


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)
