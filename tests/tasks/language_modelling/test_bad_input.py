"""Texts and models that cannot be used: each ends in one error, before anything is trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stillhouse as sh
from stillhouse.errors import RejectedError, StillhouseError, UsageError
from tests.tasks.language_modelling.conftest import table
from tests.tasks.language_modelling.models import save_causal, tokenizer, write_chat, write_corpus

LONG = 10_000_000


def made(folder: Path, name: str, content: bytes) -> str:
    """A file of the folder."""
    (folder / name).write_bytes(content)
    return str(folder / name)


def long_cell(folder: Path) -> str:
    """A corpus one line of which has 10^7 characters."""
    lines = [*write_corpus(folder / "good.jsonl").read_text(encoding="utf-8").splitlines()]
    return made(folder, "long.jsonl", "\n".join([*lines, json.dumps({"text": "a " * (LONG // 2)})]).encode())


CASES: dict[str, tuple[Callable[[Path], dict[str, Any]], type[StillhouseError], str]] = {
    "empty": (lambda f: {"corpus": made(f, "a.txt", b"")}, RejectedError, "a.txt is empty"),
    "empty table": (lambda f: {"corpus": made(f, "a.jsonl", b"")}, RejectedError, "a.jsonl is empty"),
    "binary": (lambda f: {"corpus": made(f, "a.txt", bytes(range(256)) * 400)}, RejectedError, "line 1 .* NUL"),
    "binary table": (lambda f: {"corpus": made(f, "a.parquet", b"\0" * 4000)}, RejectedError, "read as Parquet"),
    "long line": (lambda f: {"corpus": made(f, "a.txt", b"a " * (LONG // 2))}, RejectedError, "10,000,000 characters"),
    "long cell": (lambda f: {"corpus": long_cell(f)}, RejectedError, "row 24 .* more than 4,000,000 characters"),
    "one document": (lambda f: {"corpus": made(f, "a.txt", b"the cat sat\n" * 99)}, RejectedError, "at least 3"),
    "no dialogue": (lambda f: {"chat": str(write_corpus(f / "a.jsonl"))}, RejectedError, "hold no dialogue"),
    "long context": (
        lambda f: {"corpus": str(write_corpus(f / "a.jsonl")), "context": 65},
        UsageError,
        "reads 64 tokens at most",
    ),
}


@pytest.mark.fault("E28", "a corpus that is empty, binary, one endless line, or too small; windows too long", exit=4)
@pytest.mark.parametrize("case", CASES)
def test_texts_that_cannot_be_used_are_refused_before_the_teacher_is_loaded(
    case: str, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, error, words = CASES[case]
    monkeypatch.setattr("stillhouse.tasks.language_modelling.reading.load_causal", None)
    with pytest.raises(error, match=words):
        sh.distill(table(teacher, tmp_path / "run", **data(tmp_path)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("template", "words"), [(None, "has no chat template"), ("{% for m in messages %}{{ m", "cannot write these")]
)
def test_a_template_that_is_missing_or_broken_is_refused(template: str | None, words: str, tmp_path: Path) -> None:
    folder = save_causal(tmp_path / "teacher")
    file = folder / "chat_template.jinja"
    file.unlink()
    if template is not None:
        file.write_text(template, encoding="utf-8")
    with pytest.raises(RejectedError, match=words):
        sh.distill(table(folder, tmp_path / "run", chat=str(write_chat(tmp_path / "chat.jsonl"))))


def test_a_student_with_another_tokenizer_is_refused(teacher: Path, tmp_path: Path) -> None:
    other = save_causal(tmp_path / "other", words=tokenizer(seed=9))
    recipe = table(teacher, tmp_path / "run", corpus=str(write_corpus(tmp_path / "a.jsonl")))
    with pytest.raises(RejectedError, match="another tokenizer than the teacher"):
        sh.distill(recipe | {"student": {"start": str(other)}})
