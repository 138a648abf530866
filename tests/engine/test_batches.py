"""Batch sources: stored rows by seed and step alone, and sources that look at the net and are resumed with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillhouse.data import Batches, Rows, StoredBatches, Stream, Views
from stillhouse.engine import CHECKPOINT, LOG, read_weights
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.types import Batch
from tests.engine.small import BUDGET, batches, rows, run


class LostProcessError(Exception):
    """In place of a kill, between two steps."""


class Hardest(Batches):
    """The rows of which the student is least sure, those of the last batch left out: state that follows the net."""

    reads_net = True

    def __init__(self) -> None:
        self.rows = rows()
        self.last = torch.zeros(0, dtype=torch.int64)

    @property
    def example(self) -> Tensor:
        return self.rows.inputs[:2]

    def to(self, device: torch.device) -> None:
        assert device.type == "cpu"

    @torch.no_grad()
    def at(self, step: int, net: nn.Module) -> Batch:
        sure = net.eval()(self.rows.inputs[:80]).softmax(1).amax(1)
        net.train()
        sure[self.last] = 2.0
        self.last = sure.argsort(stable=True)[:16]
        return Batch(self.rows.inputs[self.last], self.rows.targets[self.last], self.last, torch.zeros_like(self.last))

    def state(self) -> dict[str, Tensor]:
        return {"last": self.last}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.last = state["last"]


def lost_after(steps: int, folder: Path, source: Batches) -> None:
    """A fit whose process is lost some steps after a checkpoint."""
    told = 0

    def stop(count: int) -> None:
        nonlocal told
        told += count
        if told >= steps:
            raise LostProcessError

    with pytest.raises(LostProcessError):
        run(folder, batches=source, advance=stop)


@pytest.mark.parametrize("source", [Hardest, batches])
def test_a_fit_resumed_in_the_middle_sees_the_batches_of_one_that_was_not(
    source: type[Batches], tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole", batches=source()).state_dict()
    lost_after(37, tmp_path / "cut", source())
    again = run(tmp_path / "cut", batches=source()).state_dict()
    assert {k for k, v in again.items() if not torch.equal(v, whole[k])} == set()
    assert (tmp_path / "cut" / LOG).read_text() == (tmp_path / "whole" / LOG).read_text()


def test_only_a_source_that_reads_the_net_leaves_state_in_the_checkpoint(tmp_path: Path) -> None:
    kept = []
    for name, source in (("hardest", Hardest()), ("stored", batches())):
        lost_after(15, tmp_path / name, source)
        kept.append([k for k in read_weights(tmp_path / name / CHECKPOINT)[0] if k.startswith("batches/")])
    assert kept == [["batches/last"], []]


def test_the_source_is_asked_for_each_step_once_and_in_order(tmp_path: Path) -> None:
    class Watched(StoredBatches):
        def at(self, step: int, net: nn.Module) -> Batch:
            asked.append((step, net.training))
            return super().at(step, net)

    asked: list[tuple[int, bool]] = []
    plain = batches()
    run(tmp_path, replace(BUDGET, steps=7), batches=Watched(rows(), plain.stream, plain.views))
    assert asked == [(step, True) for step in range(7)]


def test_stored_batches_are_a_function_of_seed_and_step() -> None:
    whole, net = batches(), nn.Identity()
    forwards = [whole.at(step, net) for step in range(20)]
    for step in (13, 2, 19, 0):
        again = batches().at(step, net)
        assert all(torch.equal(a, b) for a, b in zip(again[:4], forwards[step][:4], strict=True))
    assert not torch.equal(forwards[0].rows, forwards[1].rows)


def test_a_view_of_another_class_has_no_label() -> None:
    made = rows()
    views = Views("mixup", 2, 0.0, 0, pool=made.inputs)
    source = StoredBatches(made, Stream(torch.arange(80), batch_size=80, seed=0, views=2), views)
    batch = source.at(0, nn.Identity())
    assert 0 < int((batch.views == 1).sum()) < 80
    assert torch.equal(batch.targets, torch.where(batch.views == 0, made.targets[batch.rows], -1))
    assert torch.equal(batch.inputs[batch.views == 0], made.inputs[batch.rows][batch.views == 0])


def test_rows_whose_labels_are_withheld_stay_so() -> None:
    made = rows()
    source = StoredBatches(
        Rows(made.inputs, torch.full_like(made.targets, -1)),
        Stream(torch.arange(80), batch_size=16, seed=0),
        Views("none", 1, 0.0, 0),
    )
    assert not source.at(3, nn.Identity()).labelled.any()


@pytest.mark.parametrize("policy", ["none", "mixup"])
@pytest.mark.parametrize("hidden", [0, 30])
def test_the_number_of_labels_is_that_of_the_batch(policy: Any, hidden: int) -> None:
    made = rows()
    targets = torch.where(torch.arange(100) < hidden, -1, made.targets)
    views = Views(policy, 2, 0.0, 0, pool=made.inputs)
    stream = Stream(torch.arange(80), batch_size=24, seed=0, views=2)
    source = StoredBatches(Rows(made.inputs, targets), stream, views)
    for step in range(12):
        batch = source.at(step, nn.Identity())
        assert batch.labels == int(batch.labelled.sum())


def test_a_count_that_is_known_gives_the_loss_that_counts_for_itself() -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    for targets, count in (([0, 1, 2, 0, 1, 2], 6), ([0, -1, 2, -1, -1, 1], 3), ([-1] * 6, 0)):
        given: dict[str, Any] = {"targets": torch.tensor(targets), "smoothing": 0.1, "weight": 0.3}
        torch.testing.assert_close(label_loss(logits, **given, count=count), label_loss(logits, **given))
