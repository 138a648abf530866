"""Causal students: cut out of their teacher, saved as transformers saves, opened again with the same logits."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.errors import UsageError
from stillhouse.functional.kept_classes import kept_listed, kept_logits
from stillhouse.functional.sparse import bucket
from stillhouse.students.causal import CausalStudent, derive_causal
from stillhouse.students.causal_saving import load_causal, save_causal, student_tokenizer
from stillhouse.students.causal_tokens import fewer_merges, pieces, renumbered
from stillhouse.students.causal_vocabulary import most_frequent
from tests.students.causal_models import WORDS, byte_pairs, gemma, gpt2, llama, windows

CUTS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (llama, {"layers": 2, "vocabulary": 20}),
    (llama, {"heads": 4, "feedforward": 0.5}),
    (llama, {"width": 0.5, "vocabulary": 20}),
    (gemma, {"layers": 2, "width": 0.5}),
    (gemma, {"vocabulary": 20, "heads": 2}),
    (gpt2, {"layers": [0, 3], "vocabulary": 20}),
]


@pytest.mark.parametrize(("make", "cut"), CUTS, ids=[f"{make.__name__} {cut}" for make, cut in CUTS])
def test_a_saved_student_opens_with_the_same_logits(
    make: Callable[..., Any], cut: dict[str, Any], tmp_path: Path
) -> None:
    teacher, x = make(), windows()
    made = derive_causal(teacher, **cut, counts=torch.arange(64), probe=x)
    student: Any = made.module
    save_causal(student, tmp_path)
    again = load_causal(tmp_path)
    assert torch.equal(again(x), student(x))
    shapes = {name: tuple(p.shape) for name, p in student.named_parameters()}
    assert {row.student: row.shape for row in made.map} == shapes


def test_all_layers_and_ids_give_the_teachers_logits() -> None:
    teacher, x = llama(), windows()
    made = derive_causal(teacher, layers=[0, 1, 2, 3])
    assert torch.equal(made.module(x), teacher(x[:, 0]).logits)


def test_a_cut_vocabulary_gives_kept_tokens_the_teachers_logits() -> None:
    teacher, counts, x = llama(), torch.arange(64), windows()
    made = derive_causal(teacher, vocabulary=30, counts=counts)
    kept = torch.tensor([1, 2, *range(36, 64)])  # start and end stay, then the most frequent ones
    x[:, 0] = kept[x[:, 0] % 30]
    torch.testing.assert_close(made.module(x)[..., :-1], teacher(x[:, 0]).logits[..., kept])
    dropped = [i for i in range(64) if i not in kept]
    mean = (teacher.lm_head.weight[dropped] * counts[dropped, None]).sum(0) / counts[dropped].sum()
    student: Any = made.module
    torch.testing.assert_close(student.model.lm_head.weight[-1], mean)


@pytest.mark.slow
def test_gguf_derived_student_saves(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec("tinycoder")
    assert spec is not None
    assert spec.origin is not None
    folder, file = Path(spec.origin).parent / "models", "tiny.gguf"
    auto: Any = AutoModelForCausalLM
    teacher = auto.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    text = "def add(a, b):\n    return a + b  # ä€🙂"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    counts = torch.bincount(ids.flatten(), minlength=32000)
    student: Any = derive_causal(teacher, layers=1, vocabulary=400, counts=counts).module
    save_causal(student, tmp_path, tokenizer)
    opened = auto.from_pretrained(tmp_path)
    mine = AutoTokenizer.from_pretrained(tmp_path)(text, return_tensors="pt")["input_ids"]
    expected = student(torch.stack([ids, torch.ones_like(ids)], 1))
    assert torch.equal(opened(mine).logits, expected)  # every token of the text is kept
    other = AutoTokenizer.from_pretrained(tmp_path)("elephants write poetry", return_tensors="pt")["input_ids"]
    theirs = student.read(tokenizer("elephants write poetry", return_tensors="pt")["input_ids"])
    assert (theirs == 400).any()
    assert torch.equal(other.clamp(max=400), theirs)


def test_a_renumbered_tokenizer_splits_as_before() -> None:
    tokenizer = byte_pairs()
    size = len(tokenizer)
    table = most_frequent(torch.arange(size), 100, torch.tensor([0, 1])).table
    mine = student_tokenizer(tokenizer, table)
    for text in (WORDS, "no such words, zebra ☃", "<s>cat</s>"):
        theirs = torch.tensor(tokenizer(text)["input_ids"])
        ours = torch.tensor(mine(text)["input_ids"])
        assert torch.equal(ours.clamp(max=100), table[theirs])
        assert mine.decode(ours) == tokenizer.decode(theirs)
    assert (mine.bos_token_id, mine.eos_token_id) == (0, 1)


@functools.cache
def trained() -> str:
    return str(byte_pairs().backend_tokenizer.to_str())


@given(text=st.text(max_size=40), size=st.integers(258, 304))
@settings(max_examples=25, deadline=None)
def test_fewer_merges_keep_every_text_and_pieces_make_up_tokens(text: str, size: int) -> None:
    from tokenizers import Tokenizer

    whole = trained()
    cut = fewer_merges(whole, size)
    teacher, student = Tokenizer.from_str(whole), Tokenizer.from_str(cut)
    found = student.encode(text + WORDS[:30])
    assert student.decode(found.ids) == text + WORDS[:30]
    assert len(json.loads(cut)["model"]["vocab"]) == size
    parts = pieces(whole, cut, 305)
    assert [i for t in teacher.encode(text + WORDS[:30]).ids for i in parts[t]] == found.ids


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_rest_class_sums_to_one(data: st.DataObject) -> None:
    total = data.draw(st.integers(3, 12))
    logits = torch.tensor(data.draw(st.lists(st.floats(-30, 30, width=32), min_size=total, max_size=total)))
    kept = sorted(data.draw(st.sets(st.integers(0, total - 1), min_size=1, max_size=total - 1)))
    counts = torch.zeros(total)
    counts[kept] = 1.0
    table = most_frequent(counts, len(kept)).table
    p = kept_logits(logits, table).exp().double()
    assert p.sum() == pytest.approx(1.0, abs=1e-5)
    truth = torch.tensor(logits.double().softmax(-1).tolist(), dtype=torch.float64)
    torch.testing.assert_close(p[:-1], truth[kept], atol=1e-6, rtol=1e-4)
    assert float(p[-1]) == pytest.approx(1.0 - float(truth[kept].sum()), abs=1e-5)


def test_out_of_vocabulary_mass_goes_to_tail() -> None:
    torch.manual_seed(0)
    p = torch.randn(5, 40).softmax(-1)
    kept = list(range(0, 40, 3))
    counts = torch.zeros(40)
    counts[kept] = 1.0
    table = most_frequent(counts, len(kept)).table
    top = p.topk(8)
    tail = (1.0 - top.values.sum(-1)).log()
    ids, log_p, rest = kept_listed(top.indices, top.values.log(), tail, table)
    for row in range(5):
        listed = {int(i): float(v) for i, v in zip(top.indices[row], top.values[row], strict=True)}
        stays = {kept.index(i): v for i, v in listed.items() if i in kept}
        assert {int(i): float(v) for i, v in zip(ids[row], log_p[row].exp(), strict=True) if i >= 0} == pytest.approx(
            stays
        )
        assert float(rest[row].exp()) == pytest.approx(1.0 - sum(stays.values()), abs=1e-5)
    student = torch.randn(5, len(kept) + 1)
    _, theirs = bucket(student, ids, log_p)
    torch.testing.assert_close(theirs[:, -1].exp(), rest.exp(), atol=1e-5, rtol=1e-4)


def test_the_rest_is_never_written_and_special_tokens_stay() -> None:
    student: Any = derive_causal(llama(eos_token_id=[2, 5]), vocabulary=10, counts=torch.arange(64)).module
    assert student.model.config.eos_token_id == [1, 2]
    written = student.model.generate(torch.tensor([[0]]), max_new_tokens=40, do_sample=True, eos_token_id=-1)
    assert 10 not in written[0].tolist()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"vocabulary": 64, "counts": torch.ones(64)}, "between 2 .* and 63 can stay"),
        ({"vocabulary": 10}, "`counts` must hold a number"),
        ({"heads": 3}, "Write heads = 4, or any multiple of 4"),
        ({"width": 20}, "4 x the head size, 16.*Write width = 16"),
    ],
)
def test_cuts_that_do_not_fit_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        derive_causal(llama(), **settings)


def test_a_tokenizer_without_merges_is_refused() -> None:
    data = {"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}
    with pytest.raises(UsageError, match="only byte-pair encodings"):
        fewer_merges(json.dumps(data), 1)
    assert json.loads(renumbered(json.dumps(data), torch.tensor([1, 0])))["model"]["vocab"] == {
        "b": 0, "<|rest|>": 1, "a": 2,
    }  # fmt: skip


def test_a_student_counts_documents_as_its_teacher_does() -> None:
    teacher, x = llama(), windows()
    x[:, 1, 6:] = 2
    apart = torch.cat([teacher(x[:, 0, :6]).logits, teacher(x[:, 0, 6:]).logits], 1)
    torch.testing.assert_close(CausalStudent(teacher)(x), apart, atol=1e-5, rtol=1e-4)
