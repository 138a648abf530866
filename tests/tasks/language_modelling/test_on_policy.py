"""The on-policy phase: the student's own text, answered by the teacher, never a label and never stored."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import stillhouse as sh
from stillhouse.data import Batches
from stillhouse.errors import UsageError
from stillhouse.store import Store
from stillhouse.students.causal import derive_causal
from stillhouse.tasks.language_modelling.own_text import OwnText, OwnTextBatches, TeacherText, starts
from stillhouse.types import Batch
from stillhouse.windows import CausalWindows
from tests.students.causal_models import llama, windows
from tests.tasks.language_modelling.conftest import table
from tests.tasks.language_modelling.models import write_corpus


class Fixed(Batches):
    """One batch of windows, each with its next tokens as targets."""

    def __init__(self, inputs: Tensor) -> None:
        self.inputs = inputs

    @property
    def example(self) -> Tensor:
        return self.inputs[:2]

    def to(self, device: torch.device) -> None:
        """It is there."""

    def at(self, step: int, net: nn.Module) -> Batch:
        targets = torch.cat([self.inputs[:, 0, 1:], torch.full_like(self.inputs[:, 0, :1], -1)], 1)
        rows = torch.arange(len(targets))
        return Batch(self.inputs, targets, rows, torch.zeros_like(rows), targets >= 0, labels=int((targets >= 0).sum()))

    def load(self, state: Mapping[str, Tensor]) -> None:
        """There is nothing."""


def student() -> Any:
    """A student with twelve of its teacher's tokens."""
    return derive_causal(llama(), layers=2, vocabulary=12, counts=torch.arange(64)).module.train()


def test_on_policy_tokens_never_labels() -> None:
    net, given = student(), windows(4, 12)
    source = OwnTextBatches(Fixed(given), OwnText(1.0, 5, 1.0, (), 0))
    batch = source.at(0, net)
    assert (batch.targets == -1).all()
    assert batch.labels == 0
    assert batch.mask is not None
    for row in range(4):
        assert torch.equal(batch.inputs[row, 0, :7], given[row, 0, :7])
        assert set(batch.inputs[row, 0, 7:].tolist()) <= {1, 2, *range(54, 64)}
        assert batch.mask[row].nonzero().flatten().tolist() == [6, 7, 8, 9, 10]  # where the student wrote
    assert net.training
    assert source.tokens == 20


def test_own_text_follows_net_seed_and_step_alone() -> None:
    net, given = student(), windows(4, 12)

    def at(step: int, seed: int = 0) -> Tensor:
        return OwnTextBatches(Fixed(given), OwnText(1.0, 5, 1.0, (), seed)).at(step, net).inputs

    assert torch.equal(at(3), at(3))
    assert not torch.equal(at(3), at(4))
    assert not torch.equal(at(3), at(3, seed=1))


def test_a_share_of_the_steps_reads_own_text() -> None:
    net, given = student(), windows(2, 12)
    source = OwnTextBatches(Fixed(given), OwnText(0.5, 2, 1.0, (), 0))
    own = [bool((source.at(step, net).targets == -1).all()) for step in range(40)]
    assert 10 <= sum(own) <= 30
    stored = own.index(False)
    assert torch.equal(source.at(stored, net).inputs, given)


def test_an_own_text_ends_with_its_end_token_and_padding_is_no_document() -> None:
    net, given = student(), windows(3, 12)
    free = OwnTextBatches(Fixed(given), OwnText(1.0, 5, 0.0, (), 0)).at(0, net).inputs
    end = int(free[0, 0, 8])
    batch = OwnTextBatches(Fixed(given), OwnText(1.0, 5, 0.0, (end,), 0)).at(0, net)
    stop = 7 + free[0, 0, 7:].tolist().index(end)
    assert batch.inputs[0, 0, stop] == end
    assert (batch.inputs[0, :, stop + 1 :] == 0).all()
    assert batch.mask is not None
    assert batch.mask[0].nonzero().flatten().tolist() == list(range(6, stop))


def test_only_the_first_document_of_a_window_is_continued() -> None:
    given = windows(2, 12)
    given[0, 1, 4:] = 2
    given[1, 1, 1:] = 0
    assert [len(one) for one in starts(given, 5)] == [3, 1]


def test_the_teachers_text_is_a_label_only_where_that_is_said() -> None:
    net, given, teacher = student(), windows(4, 12), CausalWindows(llama()).eval()
    plain, labelled = (OwnText(1.0, 5, 0.7, (), 0, labels) for labels in (False, True))
    text = TeacherText(teacher, given, plain)
    batch = OwnTextBatches(Fixed(given), plain, text).at(0, net)
    assert (batch.targets == -1).all()
    assert batch.labels == 0
    taught = OwnTextBatches(Fixed(given), labelled, text).at(3, net)
    assert torch.equal(taught.inputs, batch.inputs)  # written once, whatever the step is
    assert taught.mask is not None
    assert torch.equal(taught.targets >= 0, taught.mask)
    assert taught.labels == 20
    following = net.read(taught.inputs[:, 0, 1:])
    assert torch.equal(taught.targets[:, :-1][taught.mask[:, :-1]], following[taught.mask[:, :-1]])
    other = OwnTextBatches(Fixed(given), labelled, TeacherText(teacher, given, labelled)).at(1, net)
    assert torch.equal(other.inputs, batch.inputs)  # every fit reads the same text


@pytest.mark.slow
def test_a_run_learns_the_teachers_text(teacher: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    recipe = table(teacher, tmp_path / "run", corpus=str(corpus), group="book", rows=12)
    phase: dict[str, Any] = {"steps": 2, "new_tokens": 6, "writer": "teacher"}
    told = sh.distill(recipe | {"on_policy": phase | {"labels": True, "divergence": "none"}}, accept_teacher=True)
    lines = [json.loads(one) for one in (told.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    terms = [set(one["terms"]) for one in lines if one["arm"] == "distilled"]
    assert terms[0] == {"labels", "forward_kl"}
    assert terms[-1] == {"labels"}
    for wrong, words in (
        ({"labels": True, "writer": "student"}, "its own samples"),
        ({"divergence": "none"}, "labels"),
    ):
        with pytest.raises(UsageError, match=words):
            sh.distill(recipe | {"on_policy": phase | wrong, "output": {"dir": str(tmp_path / "other")}})


@pytest.mark.slow
def test_a_run_ends_with_its_own_text(teacher: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl")

    def recipe(name: str, **phase: Any) -> dict[str, Any]:
        made = table(teacher, tmp_path / name, corpus=str(corpus), group="book", rows=12)
        made["student"] = {"derive": {"layers": 1, "vocabulary": 60}}
        return made | ({"on_policy": phase} if phase else {})

    off = sh.distill(recipe("off"), accept_teacher=True)
    on = sh.distill(recipe("on", steps=2, new_tokens=6, divergence="jensen_shannon", beta=0.5), accept_teacher=True)
    lines = (on.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert any("jensen_shannon" in line and json.loads(line)["arm"] == "distilled" for line in lines)
    assert not any("jensen_shannon" in line and json.loads(line)["arm"] != "distilled" for line in lines)
    stores = [Store.open(one.folder / "store") for one in (off, on)]
    ids = np.arange(stores[0].rows)
    found = [store.read(ids, np.zeros_like(ids)) for store in stores]
    assert stores[0].rows == stores[1].rows == 12
    assert all(np.array_equal(found[0][key], found[1][key]) for key in found[0])
    for seed in (0,):
        text_only = [
            (one.folder / "fits" / "text_only" / str(seed) / "model.safetensors").read_bytes() for one in (off, on)
        ]
        assert text_only[0] == text_only[1]  # the phase is the distilled student's alone
    again = sh.distill(recipe("on", steps=2, new_tokens=6, divergence="jensen_shannon", beta=0.5), accept_teacher=True)
    assert again.scores == on.scores
    with pytest.raises(UsageError, match="leaves none for the stored answers"):
        sh.distill(recipe("none", steps=6), accept_teacher=True)
    wrong = {"data": {"name": "digits"}, "on_policy": {"steps": 2}, "output": {"dir": str(tmp_path / "digits")}}
    with pytest.raises(UsageError, match="write no text"):
        sh.distill(wrong)
