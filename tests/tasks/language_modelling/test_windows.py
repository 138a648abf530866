"""From documents and dialogues to windows: what is learned, what a position sees, and what bad input is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data.corpus.chat import read_chat, rendered
from stillhouse.data.corpus.documents import read_corpus
from stillhouse.data.corpus.prepare import OWNER, Corpus, prepare_corpus
from stillhouse.data.corpus.windows import Tokens, pack
from stillhouse.data.encoders.vocabulary import Vocabulary, token_bytes
from stillhouse.errors import RejectedError, UsageError
from stillhouse.windows import DOCUMENTS, IDS
from tests.tasks.language_modelling.models import TEMPLATE, texts, tokenizer, write_chat, write_corpus

OWN = tokenizer()
WORDS = Vocabulary(OWN.to_str(), OWN.get_vocab_size(), 0, 1, TEMPLATE)


def corpus(path: Path | None, **changes: Any) -> Corpus:
    """What [data] says, for a corpus or for dialogues."""
    base = Corpus(path, None, None, None, 24, "documents", "all", 0.2, 0.2, 0, None)
    return base._replace(**changes)


def test_shift_at_prompt_border(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sat on a mat"}]
    (tmp_path / "talks.jsonl").write_text("\n".join([json.dumps({"messages": messages})] * 3), encoding="utf-8")
    found = prepare_corpus(corpus(None, chat=tmp_path / "talks.jsonl", loss_on="assistant", context=64), WORDS)
    ids, targets = found.train.inputs[0, IDS], found.train.targets[0]
    counted = torch.nonzero(targets >= 0).flatten()
    read = WORDS.tokenizer.decode
    assert read(ids[: counted[0] + 1].tolist(), skip_special_tokens=False).endswith("<s>assistant:")
    assert read(targets[counted].tolist(), skip_special_tokens=False) == "sat on a mat</s>"
    assert torch.equal(targets[counted[:-1]], ids[counted[1:]])  # each target is the next input


def test_end_of_turn_is_learned(tmp_path: Path) -> None:
    talks = write_chat(tmp_path / "talks.jsonl", 12)
    found = prepare_corpus(corpus(None, chat=talks, loss_on="assistant", context=128), WORDS)
    targets = torch.cat([part.targets.flatten() for part in (found.train, found.valid, found.test)])
    assert targets.tolist().count(WORDS.end) == 2 * 12  # once a turn of the assistant, never of the user


def test_a_template_that_rewrites_the_beginning_is_refused() -> None:
    template = "{{ messages|length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(RejectedError, match='loss_on = "all"'):
        rendered(messages, template, "assistant", {})
    assert rendered(messages, template, "all", {}).spans == ((0, 3),)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    context=st.integers(8, 20),
    packing=st.sampled_from(["documents", "stream"]),
    start=st.sampled_from([None, 0]),
)
def test_every_token_is_learned_once_and_after_the_token_before_it(
    lengths: list[int], context: int, packing: str, start: int | None
) -> None:
    numbers = iter(range(5, 10_000))
    documents = [
        Tokens(np.array([next(numbers) for _ in range(n)]), np.ones(n, bool), i) for i, n in enumerate(lengths)
    ]
    found = pack(documents, context, packing, start)  # type: ignore[arg-type]
    targets, ids = found.targets, found.inputs[:, IDS]
    learned = targets[targets >= 0]
    first = [] if start is not None else [d.ids[0] for d in documents]
    wanted = sorted(int(i) for d in documents for i in d.ids)
    if packing == "documents" or start is not None:
        assert sorted([*learned.tolist(), *map(int, first)]) == wanted
    after = targets - ids
    own = (targets >= 0) & (ids != start if start is not None else True)
    assert (after[own] == 1).all()  # ids count upwards, so the token that follows is one more
    assert (found.owners[found.inputs[:, DOCUMENTS] == 0] == -1).all()


def test_windows_hold_text_of_one_part_alone(tmp_path: Path) -> None:
    found = prepare_corpus(corpus(write_corpus(tmp_path / "c.jsonl"), group="book"), WORDS)
    owners = np.asarray(found.source.kept[OWNER])
    books = [set((np.unique(owners[part])[1:] % 6).tolist()) for part in (found.split.train, found.split.valid)]
    books.append(set((np.unique(owners[found.split.test])[1:] % 6).tolist()))
    assert all(books)
    assert not books[0] & books[1]
    assert not books[0] & books[2]
    assert not books[1] & books[2]


def test_a_folder_called_test_is_the_test(tmp_path: Path) -> None:
    for part, count in (("train", 6), ("test", 2)):
        (tmp_path / part).mkdir()
        for number, text in enumerate(texts(count, seed=len(part))):
            (tmp_path / part / f"{number}.txt").write_text(text, encoding="utf-8")
    documents = read_corpus(tmp_path, None, None)
    assert [one.test for one in documents] == [True] * 2 + [False] * 6
    found = prepare_corpus(corpus(tmp_path), WORDS)
    tested = found.encoder.decode(found.test.inputs)
    assert all(one.text[:20] in " ".join(str(text) for text in tested) for one in documents[:2])


@pytest.mark.parametrize("text", ["the cat sat", "über é 漢字 🙂", "  two  blanks\n"])
def test_bytes_of_the_tokens_are_the_bytes_of_the_text(text: str) -> None:
    sizes = token_bytes(WORDS.tokenizer_json, WORDS.size)
    assert sizes[WORDS.tokenizer.encode(text, add_special_tokens=False).ids].sum() == len(text.encode())
    assert sizes[[0, 1]].tolist() == [0, 0]  # special tokens stand for no text


BAD = {
    "empty.txt": (b"", RejectedError, "is empty"),
    "binary.txt": (b"\x7fELF\x00\x00\x01", RejectedError, "NUL"),
    "latin.txt": (b"caf\xe9 " * 10, RejectedError, "UTF-8"),
    "line.txt": (b"a" * 10_000_000, RejectedError, "10,000,000 characters"),
    "empty.jsonl": (b"", RejectedError, "is empty"),
    "column.jsonl": (b'{"a": "x", "b": "y"}\n', UsageError, "which column holds the text"),
    "number.jsonl": (b'{"text": 3}\n', RejectedError, "are no text"),
    "pages.pdf": (b"%PDF", UsageError, "files of this kind"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_corpus_ends_in_one_clear_error(name: str, tmp_path: Path) -> None:
    content, kind, says = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(kind, match=says):
        read_corpus(tmp_path / name, None, None)


def test_a_corpus_of_one_document_says_how_to_divide_it(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(texts(1)[0], encoding="utf-8")
    with pytest.raises(RejectedError, match="at least 3 are needed"):
        prepare_corpus(corpus(tmp_path / "one.txt"), WORDS)


def test_a_dialogue_without_an_assistant_is_named(tmp_path: Path) -> None:
    lines = [{"messages": [{"role": "user", "content": "a"}]}, {"messages": "a"}, {}]
    (tmp_path / "talks.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(RejectedError, match="rows 0, 1, 2"):
        read_chat(tmp_path / "talks.jsonl")


def test_a_teacher_without_a_template_is_refused_for_dialogues(tmp_path: Path) -> None:
    talks = write_chat(tmp_path / "talks.jsonl")
    with pytest.raises(RejectedError, match="no chat template"):
        prepare_corpus(corpus(None, chat=talks), WORDS._replace(template=None))
