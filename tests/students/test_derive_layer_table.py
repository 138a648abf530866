"""The table of layers: a row for each number, with the teacher itself at the top."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stillhouse.students.layer_table import format_layer_table, layer_table
from tests.students.derived_nets import encoder, token_ids


def test_the_row_with_all_layers_is_the_teacher_and_fewer_have_fewer_parameters() -> None:
    teacher, ids = encoder(), token_ids()
    rows = layer_table(teacher, ids, None)
    assert [row.layers for row in rows] == [4, 3, 2, 1]
    assert rows[0].agreement == 1.0
    assert rows[0].accuracy is None
    one_layer = sum(p.numel() for p in teacher.bert.encoder.layer[0].parameters())
    whole = sum(p.numel() for p in teacher.parameters())
    assert [row.parameters for row in rows] == [whole - i * one_layer for i in range(4)]
    assert all(row.ms > 0 for row in rows)


def test_accuracy_counts_the_labelled_rows_alone() -> None:
    teacher, ids = encoder(), token_ids()
    decisions = teacher(ids).logits.argmax(-1)
    targets = decisions.clone()
    targets[0] = -1
    targets[1] = (decisions[1] + 1) % 3
    (row,) = layer_table(teacher, ids, targets, [4])
    assert row.accuracy == pytest.approx(4 / 5)
    assert layer_table(teacher, ids, torch.full((6,), -1), [4])[0].accuracy is None


def test_cut_nets_are_trained_before_they_are_scored_where_asked() -> None:
    def always_the_second(net: nn.Module) -> None:
        nn.init.zeros_(net.classifier.weight)  # type: ignore[union-attr, arg-type]
        net.classifier.bias.data = torch.tensor([0.0, 9.0, 0.0])  # type: ignore[union-attr]

    (row,) = layer_table(encoder(), token_ids(), torch.ones(6).long(), [2], train=always_the_second)
    assert row.accuracy == 1.0


def test_the_markdown_has_a_line_for_each_row_and_equal_widths() -> None:
    text = format_layer_table(layer_table(encoder(), token_ids(), None, [3, 1])).splitlines()
    assert len(text) == 4
    assert len({len(line) for line in text}) == 1
    assert text[0].count("|") == text[1].count("|") == 6
