"""Narrowed students: units that do nothing go, everywhere at once, and sizes that do not fit are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.students.channels import channel_groups
from stillhouse.students.derive import derive
from stillhouse.students.importance import gate_scores
from stillhouse.students.narrow import Group, Slot, magnitude
from stillhouse.task import Link
from tests.students.derived_nets import ENCODERS, encoder, images, plain, residual_net, token_ids

PROBES = pytest.mark.parametrize("with_probe", [False, True], ids=["by weights", "by probe"])


def silence(layer: nn.Linear | nn.Conv2d, units: list[int]) -> None:
    """Let a layer ignore some of its inputs."""
    with torch.no_grad():
        layer.weight[:, units] = 0.0


@PROBES
@given(dead=st.sets(st.integers(0, 9), min_size=5, max_size=5))
@settings(max_examples=10, deadline=None)
def test_a_perceptron_loses_the_units_that_nothing_reads(with_probe: bool, dead: set[int]) -> None:
    torch.manual_seed(0)
    teacher: Any = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 3))
    silence(teacher[2], sorted(dead))
    with torch.no_grad():
        teacher[0].weight[sorted(dead)] *= 1e-3  # the size of the weights counts on both sides
    x = torch.randn(8, 4)
    student: Any = derive(teacher, width=0.5, probe=x if with_probe else None).module
    assert student[0].out_features == student[2].in_features == 5
    torch.testing.assert_close(student(x), teacher(x))


@PROBES
def test_a_residual_net_loses_dead_channels_on_every_branch_at_once(with_probe: bool) -> None:
    teacher, dead, live = residual_net(), [1, 4, 6, 7], [0, 2, 3, 5]
    norms = [teacher.bn, *(block.bn3 for block in teacher.layer1)]
    writers = [teacher.stem, *(block.conv3 for block in teacher.layer1)]
    with torch.no_grad():
        for norm, writer in zip(norms, writers, strict=True):
            norm.weight[dead], norm.bias[dead] = 0.0, 0.0
            writer.weight[dead] *= 1e-3
        for block in teacher.layer1:
            silence(block.conv1, dead)
        silence(teacher.hidden, [4 * channel + i for channel in dead for i in range(4)])
    made = derive(teacher, width=4, probe=images() if with_probe else None)
    student: Any = made.module
    pairs: list[tuple[Any, Any]] = [(student.bn, teacher.bn), (student.layer1[2].bn3, teacher.layer1[2].bn3)]
    for mine, its in pairs:
        assert torch.equal(mine.running_mean, its.running_mean[live])
    assert student.hidden.in_features == 4 * 4
    assert student.layer1[0].conv2.groups == 4
    assert student.stem.in_channels == 1
    assert student.fc.out_features == 5
    assert student(images()).shape == (6, 5)


def test_channels_of_a_residual_stream_are_one_group_and_those_inside_a_block_another() -> None:
    sizes = sorted(group.units for group in channel_groups(residual_net()))
    assert sizes == [6, 8, *[12] * 5]


@pytest.mark.parametrize("name", ["cnn_large", "resnet_small", "mlp_large"])
def test_every_channel_left_out_of_a_zoo_net_is_gone_from_its_layers(name: str) -> None:
    teacher = plain(name)
    student = derive(teacher, width=0.5, probe=images()).module
    assert student(images()).shape == teacher(images()).shape
    before, after = (sum(p.numel() for p in net.parameters()) for net in (teacher, student))
    assert after < 0.55 * before


@PROBES
@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_loses_the_heads_and_units_that_nothing_reads(name: str, with_probe: bool) -> None:
    teacher, ids = encoder(name), token_ids()
    generator = torch.Generator().manual_seed(0)
    for layer in teacher.base_model.transformer.layer if "Distil" in name else teacher.base_model.encoder.layer:
        attention = layer.attention.out_lin if "Distil" in name else layer.attention.output.dense
        back = layer.ffn.lin2 if "Distil" in name else layer.output.dense
        heads = torch.randperm(4, generator=generator)[:2]
        silence(attention, [8 * head + i for head in heads.tolist() for i in range(8)])
        units = torch.randperm(64, generator=generator)[:32].tolist()
        silence(back, units)
    made = derive(teacher, heads=2, feedforward=0.5, probe=ids if with_probe else None)
    torch.testing.assert_close(made.module(ids).logits, teacher(ids).logits, rtol=1e-4, atol=1e-5)
    assert any("no Hugging Face configuration" in note for note in made.notes)


@pytest.mark.parametrize("name", ENCODERS)
def test_hidden_units_are_the_same_ones_everywhere_and_the_model_can_be_saved(name: str, tmp_path: Path) -> None:
    teacher, ids = encoder(name), token_ids()
    student: Any = derive(teacher, width=16, probe=ids).module
    old, new = teacher.state_dict(), student.state_dict()
    prefix = teacher.base_model_prefix
    columns = f"{prefix}.embeddings.word_embeddings.weight"
    kept = [int((old[columns] == column[:, None]).all(0).nonzero()) for column in new[columns].T]
    assert len(kept) == 16
    for part in ("embeddings.position_embeddings.weight", "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"):
        assert torch.equal(new[f"{prefix}.{part}"], old[f"{prefix}.{part}"][..., kept])
    inward = [p for p in new if p.endswith(("query.weight", "q_lin.weight"))]
    for path in inward:  # each kept head is one of the teacher's, with the kept columns
        heads = old[path][:, kept].reshape(4, 8, 16)
        assert all(any(torch.equal(head, there) for there in heads) for head in new[path].reshape(2, 8, 16))
    student.save_pretrained(tmp_path)
    assert torch.equal(type(student).from_pretrained(tmp_path).eval()(ids).logits, student(ids).logits)


def test_a_base_model_is_narrowed_through_its_pooler(tmp_path: Path) -> None:
    student: Any = derive(encoder("BertModel"), layers=1, width=8).module
    student.save_pretrained(tmp_path)
    loaded = type(student).from_pretrained(tmp_path).eval()
    assert torch.equal(loaded(token_ids()).pooler_output, student(token_ids()).pooler_output)
    assert student(token_ids()).pooler_output.shape == (6, 8)


def test_our_own_transformers_are_narrowed_too() -> None:
    teacher = plain("vit_tiny")
    made = derive(teacher, layers=2, width=0.5, feedforward=0.5, probe=images())
    assert made.module(images()).shape == (6, 5)
    assert any("hidden units: 32 of 64" in note for note in made.notes)


def test_a_gate_scores_what_the_loss_loses_by_a_unit() -> None:
    # -log softmax(w * h)[y] has the derivative h . w . (p - onehot(y)) with regard to a gate on h.
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Identity(), nn.Linear(3, 2, bias=False))
    x = torch.randn(40, 3)
    (score,) = gate_scores(net, [Group("x", 3, [Slot("1", "weight", 1, reads=True)])], x)
    weight = net[1].weight.detach()
    p = (x @ weight.T).softmax(-1)
    either = torch.stack([(x * ((p - torch.eye(2)[y]) @ weight)).abs() for y in (0, 1)])
    expected = (p.T[:, :, None] * either).sum(0).mean(0)  # over the label's own distribution, which four draws sample
    torch.testing.assert_close(score.float(), expected, rtol=0.25, atol=0.02)


def test_a_unit_of_a_net_of_values_is_scored_by_what_the_values_lose() -> None:
    # The loss of a draw e is w . h e: its derivative with regard to a gate on h is h . w e, whose mean size is known.
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Identity(), nn.Linear(3, 1, bias=False))
    x = torch.randn(400, 3)
    (score,) = gate_scores(net, [Group("x", 3, [Slot("1", "weight", 1, reads=True)])], x, "identity")
    expected = (x * net[1].weight.detach()).abs().mean(0) * (2 / torch.pi) ** 0.5
    torch.testing.assert_close(score.float(), expected, rtol=0.25, atol=0.02)


def test_a_unit_of_a_net_of_labels_is_scored_by_what_their_likelihood_loses() -> None:
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Identity(), nn.Linear(3, 1, bias=False))
    x = torch.randn(400, 3)
    (score,) = gate_scores(net, [Group("x", 3, [Slot("1", "weight", 1, reads=True)])], x, "sigmoid")
    weight = net[1].weight.detach()
    p = (x @ weight.T).sigmoid()
    expected = ((x * weight).abs() * (p * (1 - p) + (1 - p) * p)).mean(0)
    torch.testing.assert_close(score.float(), expected, rtol=0.25, atol=0.02)


@pytest.mark.parametrize("link", ["identity", "sigmoid"])
def test_the_block_that_moves_values_and_labels_most_stays(link: Link) -> None:
    def block(size: float) -> nn.Module:
        layer = nn.Linear(4, 4, bias=False)
        layer.weight.data = torch.eye(4) * (1 + size)
        return nn.Sequential(layer, nn.Tanh())

    net = nn.Sequential(*(block(size) for size in (0.01, 3.0, 0.01)), nn.Linear(4, 1))
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    assert 1 in (derive(net, layers=1, choose="importance", probe=x, link=link).layers or [])


def test_magnitude_is_the_share_of_the_sum_of_absolute_weights() -> None:
    net = nn.Linear(2, 2, bias=False)
    net.weight.data = torch.tensor([[1.0, -3.0], [0.0, 4.0]])
    by_input = magnitude(net, Group("in", 2, [Slot("", "weight", 1)]))
    assert torch.equal(by_input, torch.tensor([1 / 8, 7 / 8], dtype=torch.float64))


def test_what_is_not_understood_keeps_its_width() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.c(torch.relu(self.b(self.a(x).cumsum(-1))))  # a sum along the channels mixes them
            return y

    student: Any = derive(Odd(), width=0.5, probe=torch.randn(2, 4)).module
    assert (student.a.out_features, student.b.in_features, student.b.out_features) == (6, 6, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"width": 20}, "multiple of the head size 8.*Write width = 16"),
        ({"width": 20, "heads": 3}, "multiple of heads = 3.*Write width = 18"),
        ({"width": 64}, "at most 32"),
        ({"heads": 5}, "each attention has 4"),
        ({"heads": 0}, "any number of 1 to 4"),
    ],
)
def test_widths_that_do_not_fit_the_heads_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        derive(encoder(), **arguments)


def test_heads_with_a_bias_that_all_layers_share_are_refused() -> None:
    with pytest.raises(UsageError, match="relative_attention_bias"):
        derive(encoder("MPNetForSequenceClassification"), heads=2)


def test_a_forward_pass_that_depends_on_data_is_refused() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = self.a(x)
            y: Tensor = self.b(h if h.sum() > 0 else -h)
            return y

    with pytest.raises(UsageError, match=r"torch\.fx cannot follow"):
        derive(Branching(), width=0.5)
