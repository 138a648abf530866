"""Smaller embeddings: ids in use answer as before, factorised ones are the nearest product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stillhouse import students
from stillhouse.errors import UsageError
from stillhouse.students.derive import derive
from tests.students.derived_nets import ENCODERS, encoder, token_ids


@pytest.mark.parametrize("name", ENCODERS)
def test_ids_in_use_answer_bit_for_bit_as_before(name: str) -> None:
    teacher, ids = encoder(name), token_ids()
    made = derive(teacher, vocabulary=ids)
    assert made.ids is not None
    new = made.ids[ids]
    assert int(new.min()) >= 0
    assert made.module.config.vocab_size == int(new.max()) + 1 < 90  # type: ignore[union-attr]
    assert torch.equal(made.module(new).logits, teacher(ids).logits)


def test_the_table_keeps_the_order_and_padding_and_marks_what_was_dropped() -> None:
    made = derive(encoder(pad_token_id=1, sep_token_id=50), vocabulary=torch.tensor([9, 4, 9]))
    assert made.ids is not None
    assert {old: new for old, new in enumerate(made.ids.tolist()) if new >= 0} == {0: 0, 1: 1, 4: 2, 9: 3, 50: 4}
    assert made.module.config.sep_token_id == 4  # type: ignore[union-attr]
    assert made.module.config.pad_token_id == 1  # type: ignore[union-attr]


def test_an_output_layer_that_is_tied_is_cut_and_stays_tied(tmp_path: Path) -> None:
    teacher, ids = encoder("BertForMaskedLM"), token_ids()
    made = derive(teacher, vocabulary=ids)
    student: Any = made.module
    assert made.ids is not None
    kept = (made.ids >= 0).nonzero().flatten()
    assert student.cls.predictions.decoder.weight is student.bert.embeddings.word_embeddings.weight
    torch.testing.assert_close(student(made.ids[ids]).logits, teacher(ids).logits[..., kept])
    student.save_pretrained(tmp_path)
    loaded = type(student).from_pretrained(tmp_path).eval()
    assert torch.equal(loaded(made.ids[ids]).logits, student(made.ids[ids]).logits)


def test_our_own_text_nets_lose_ids_and_padding_stays_zero() -> None:
    teacher = students.make("transformer_tiny", shape=(10,), outputs=3, settings={"vocabulary": 90}).eval()
    ids = token_ids().masked_fill(token_ids() == 1, 0)
    made = derive(teacher, vocabulary=ids.unique())  # type: ignore[no-untyped-call]
    assert made.ids is not None
    assert made.ids[0] == 0
    torch.testing.assert_close(made.module(made.ids[ids]), teacher(ids))


@pytest.mark.parametrize("rank", [1, 7, 32])
def test_a_factorised_embedding_is_the_nearest_product_of_its_rank(rank: int) -> None:
    teacher = encoder()
    before = teacher.bert.embeddings.word_embeddings.weight.detach().numpy()
    student: Any = derive(teacher, embedding_rank=rank).module
    thin, wide = student.bert.embeddings.word_embeddings
    after = (thin.weight @ wide.weight.T).detach().numpy()
    lost = np.linalg.svd(before.astype(float), compute_uv=False)[rank:]  # Eckart-Young
    assert np.linalg.norm(before - after) == pytest.approx(np.sqrt((lost**2).sum()), rel=1e-4, abs=1e-4)


def test_a_factorised_embedding_of_full_rank_answers_as_before() -> None:
    teacher, ids = encoder(), token_ids()
    made = derive(teacher, embedding_rank=32, probe=ids)
    torch.testing.assert_close(made.module(ids).logits, teacher(ids).logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("used", [torch.tensor([90]), torch.tensor([-1]), torch.tensor([1.0]), torch.tensor([]).long()])
def test_ids_that_are_none_of_the_teachers_are_refused(used: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="token ids of 0 to 89"):
        derive(encoder(), vocabulary=used)


@pytest.mark.parametrize("rank", [0, 33])
def test_a_rank_that_saves_nothing_is_refused(rank: int) -> None:
    with pytest.raises(UsageError, match="Write embedding_rank = 8"):
        derive(encoder(), embedding_rank=rank)


def test_a_net_without_tokens_says_what_it_has() -> None:
    with pytest.raises(UsageError, match="its layers are Linear, ReLU"):
        derive(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), embedding_rank=1)
