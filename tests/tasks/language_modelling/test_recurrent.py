"""A recurrent student: documents that share a window are blind to each other, it writes with a state, it ships."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import AutoModelForCausalLM

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.students.causal_generation import generate
from stillhouse.windows import CausalWindows, apart
from tests.students.causal_models import IDS
from tests.tasks.language_modelling.conftest import table
from tests.tasks.language_modelling.models import write_corpus


def mamba() -> Any:
    """A Mamba model with random weights."""
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    config = MambaConfig(vocab_size=IDS, hidden_size=16, num_hidden_layers=2, state_size=4, initializer_range=0.5)
    made: Any = MambaForCausalLM(config)
    return made.eval()


@given(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_every_document_gets_a_row_of_its_own(lengths: list[list[int]]) -> None:
    width = max(map(sum, lengths))
    documents = torch.zeros(len(lengths), width, dtype=torch.int64)
    for row, sizes in enumerate(lengths):
        numbers = torch.repeat_interleave(torch.arange(1, len(sizes) + 1), torch.tensor(sizes))
        documents[row, : len(numbers)] = numbers
    row_of, column = apart(documents)
    places = list(zip(row_of.flatten().tolist(), column.flatten().tolist(), strict=True))
    assert len(set(places)) == len(places)
    first = torch.ones_like(documents, dtype=torch.bool)
    first[:, 1:] = documents[:, 1:] != documents[:, :-1]
    assert ((column == 0) == first).all()
    assert int(row_of.max()) + 1 == int(first.sum())


@torch.no_grad()
def test_packed_documents_of_a_recurrent_net_are_blind_to_each_other() -> None:
    net, ids = CausalWindows(mamba()), torch.randint(0, IDS, (2, 12), generator=torch.Generator().manual_seed(1))
    documents = torch.tensor([[1] * 5 + [2] * 4 + [0] * 3, [1] * 12])
    found = net(torch.stack([ids, documents], 1))
    for row, start, stop in ((0, 0, 5), (0, 5, 9), (1, 0, 12)):
        alone = net.model(input_ids=ids[row : row + 1, start:stop], use_cache=False).logits[0]
        torch.testing.assert_close(found[row, start:stop], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_recurrent_net_writes_token_by_token_what_it_would_say_of_the_whole() -> None:
    net = CausalWindows(mamba())
    prompts = [torch.tensor([1, 9, 8]), torch.tensor([1, 40, 3, 22, 17])]
    made = generate(net, prompts, new_tokens=6, batch_size=2)
    for prompt, tokens in zip(prompts, made.tokens, strict=True):
        text = prompt
        for token in tokens.tolist():
            best = int(net.model(input_ids=text[None], use_cache=False).logits[0, -1].argmax())
            assert token == best
            text = torch.cat([text, torch.tensor([token])])


@pytest.mark.slow
def test_a_recurrent_student_learns_and_ships(teacher: Path, tmp_path: Path) -> None:
    recipe = table(teacher, tmp_path / "run", corpus=str(write_corpus(tmp_path / "a.jsonl")), group="book", rows=12)
    recipe["student"] = {"name": "causal_recurrent", "settings": {"hidden": 8, "layers": 1, "state": 4}}
    run = sh.distill(recipe, accept_teacher=True)
    student = sh.load(run.folder)
    assert isinstance(student.generate("the cat", max_new_tokens=4), str)
    student.save_pretrained(tmp_path / "folder")
    opened: nn.Module = AutoModelForCausalLM.from_pretrained(tmp_path / "folder")
    window = student.encoder.encode(["the cat sat"])
    with torch.no_grad():
        theirs = opened(input_ids=window[:, 0, :4]).logits.log_softmax(-1)
    torch.testing.assert_close(student.log_probs(window)[:, :4], theirs, rtol=1e-4, atol=1e-5)
    recipe["student"] = {"name": "causal_recurrent", "settings": {"heads": 2}}
    with pytest.raises(UsageError, match="causal_recurrent has hidden, layers, state"):
        sh.distill(recipe | {"output": {"dir": str(tmp_path / "other")}})
