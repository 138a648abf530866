"""The classifier of a net is found, its layers are listed, and layers of two nets are paired."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.taps import Taps, classifier_path, layers, propose
from tests.taps.nets import images, small_net, wrapped


class Odd(nn.Module):
    """Layers defined in another order than they run, one that never runs, and one that runs in training only."""

    def __init__(self, ends: str) -> None:
        super().__init__()
        self.head, self.body, self.scale = nn.Linear(4, 3), nn.Linear(5, 4), nn.Linear(3, 3)
        self.auxiliary, self.unused = nn.Linear(4, 3), nn.Linear(9, 3)
        self.ends = ends

    def forward(self, inputs: Tensor) -> Any:
        hidden = self.body(inputs)
        logits = self.head(hidden)
        extra = self.auxiliary(hidden.detach() * 2) if self.training else None
        if self.ends == "scaled before the end":
            self.scale(logits.detach())
            return logits
        if self.ends == "log-probabilities":
            return logits.log_softmax(-1)
        return {"logits": logits, "auxiliary": extra} if self.ends == "a dict" else (logits, extra)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("ends", ["scaled before the end", "a dict", "a tuple"])
def test_embedding_is_the_input_of_the_linear_layer_that_makes_the_outputs(ends: str, training: bool) -> None:
    net, inputs = Odd(ends).train(training), torch.randn(2, 5)
    with Taps(net, ["embedding", "head:input"]) as taps:
        for _ in range(2):
            net(inputs)
            found = taps.take()
            torch.testing.assert_close(found["embedding"], found["head:input"], rtol=0, atol=0)
        assert taps.classifier == "head"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_the_classifier_is_found_in_eval_mode_and_stays_when_the_outputs_are_made_from_its_own() -> None:
    net, inputs = Odd("log-probabilities"), torch.randn(2, 5)
    assert classifier_path(net.train(), inputs) == "head"
    with Taps(net.eval(), ["embedding", "head:input"]) as taps:
        net(inputs)
        taps.take()
        net.train()(inputs)
        found = taps.take()
    torch.testing.assert_close(found["embedding"], found["head:input"], rtol=0, atol=0)


def test_the_classifier_of_plain_and_wrapped_nets_is_their_last_linear_layer() -> None:
    assert classifier_path(small_net(), images()) == "2"
    assert classifier_path(nn.Linear(3, 2), torch.zeros(1, 3)) == ""
    assert classifier_path(wrapped("compile", small_net()), images()) == "2"
    with pytest.raises(UsageError, match="Conv2d has none"):
        classifier_path(nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2))


def test_a_child_called_embedding_is_reached_by_naming_its_output() -> None:
    net = nn.Sequential()
    net.add_module("embedding", nn.Embedding(7, 4))
    net.add_module("head", nn.Linear(4, 2))
    with Taps(net, ["embedding", "embedding:input"]) as taps:
        net(torch.tensor([[1, 2]]))
        found = taps.take()
    assert found["embedding"].shape == (1, 2, 4)
    assert found["embedding:input"].tolist() == [[1, 2]]


def test_layers_lists_path_kind_shape_and_parameters_in_order_and_leaves_the_mode() -> None:
    net = small_net().train()
    listed = layers(net, images())
    assert [(layer.path, layer.kind, layer.shape, layer.parameters) for layer in listed] == [
        ("", "Sequential", (5,), 95),
        ("0", "Sequential", (3, 2, 2), 30),
        ("0.0", "Conv2d", (3, 4, 4), 30),
        ("0.1", "ReLU", (3, 4, 4), 0),
        ("0.2", "MaxPool2d", (3, 2, 2), 0),
        ("1", "Flatten", (12,), 0),
        ("2", "Linear", (5,), 65),
    ]
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())


def convnet(widths: list[int], depth: int) -> nn.Module:
    stages: list[nn.Module] = []
    before = 1
    for width in widths:
        convs = [nn.Conv2d(before if i == 0 else width, width, 3, padding=1) for i in range(depth)]
        stages.append(nn.Sequential(*convs, nn.MaxPool2d(2)))
        before = width
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 3))


def test_stages_of_one_resolution_are_paired_in_order() -> None:
    example = torch.randn(1, 1, 8, 8)
    pairs = propose(layers(convnet([2, 3], 1), example), layers(convnet([4, 6], 3), example))
    shapes = [(pair.student.shape[1:], pair.teacher.shape[1:]) for pair in pairs if len(pair.student.shape) == 3]
    assert shapes[:2] == [((8, 8), (8, 8)), ((4, 4), (4, 4))]
    assert all(here == there for here, there in shapes)
    assert [pair.student_depth for pair in pairs] == sorted(pair.student_depth for pair in pairs)


def test_blocks_of_transformers_are_paired_by_relative_depth() -> None:
    example = torch.randn(1, 5, 8)

    def encoder(depth: int) -> nn.Module:
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        return nn.Sequential(nn.TransformerEncoder(layer, depth, enable_nested_tensor=False), nn.Linear(8, 3))

    pairs = propose(layers(encoder(2), example), layers(encoder(6), example))
    names = [(pair.student.path, pair.teacher.path) for pair in pairs]
    assert names[:2] == [("0.layers.0", "0.layers.2"), ("0.layers.1", "0.layers.5")]


def test_nets_without_layers_that_fit_get_no_pairs() -> None:
    tokens = layers(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(1, 3, 4))
    assert propose(tokens, layers(small_net(), images())) == []
    assert propose([], tokens) == []
