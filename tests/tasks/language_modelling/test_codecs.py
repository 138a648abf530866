"""What is kept of each token: the same from a live teacher as from all its classes, and learned from by any student."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import stillhouse as sh
from stillhouse.store import ShapedTail, Store
from stillhouse.task import OutputSpec
from stillhouse.tasks import get
from stillhouse.teachers.causal.teacher import CausalTeacher, Tokens, largest
from stillhouse.teachers.stored import packed
from stillhouse.types import Batch
from tests.tasks.language_modelling.conftest import table
from tests.tasks.language_modelling.models import write_corpus

CLASSES, TOKENS = 40, 12


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_window_listed_by_the_teacher_is_what_the_codec_makes_of_all_classes(temperature: float) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=CLASSES, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        initializer_range=0.5,
    )  # fmt: skip
    net = Tokens(transformers.LlamaForCausalLM(config).eval(), CLASSES)
    teacher = CausalTeacher(net, get("language_modelling"), OutputSpec((TOKENS, CLASSES)), "x", device=None)
    ids = torch.randint(CLASSES, (2, TOKENS))
    inputs = torch.stack([ids, torch.ones_like(ids)], 1)
    rows = torch.arange(2)
    batch = Batch(inputs, torch.full((2, TOKENS), -1), rows, torch.zeros_like(rows))
    one = ShapedTail(4, 6, "float32")
    sparse = teacher.listed(batch, 4, temperature, shaped=True).sparse
    assert sparse is not None
    live, whole = packed(one, sparse), one.encode(teacher.outputs(batch).values.numpy() / temperature)
    np.testing.assert_array_equal(live["indices"], whole["indices"])
    np.testing.assert_array_equal(live["tail_indices"], whole["tail_indices"])
    for name in ("log_probs", "tail_log_probs"):
        np.testing.assert_allclose(live[name], whole[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("classes", "k"), [(40, 40), (515, 2), (1024, 4), (700, 1)])
def test_the_largest_classes_are_found_block_by_block(classes: int, k: int) -> None:
    values = torch.randn(2, 3, classes, generator=torch.Generator().manual_seed(0))
    values[0, 0, -1], values[0, 1, :3] = 9.0, -torch.inf
    found, places = largest(values, k)
    true = values.topk(k, -1)
    assert torch.equal(found, true.values)
    assert torch.equal(places, true.indices)


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["shaped:8:20", "sampled:16"])
def test_a_student_with_fewer_words_learns_from_every_codec(teacher: Path, tmp_path: Path, codec: str) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    recipe = table(teacher, tmp_path / "run", corpus=str(corpus), group="book", rows=12)
    recipe |= {"store": {"codec": codec}, "student": {"derive": {"layers": 1, "vocabulary": 60}}}
    run = sh.distill(recipe, accept_teacher=True)
    kept = {field.name for field in Store.open(run.folder / "store").fields}
    assert kept >= ({"tail_indices", "tail_log_probs"} if codec.startswith("shaped") else {"log_weights"})
    assert run.verdict
