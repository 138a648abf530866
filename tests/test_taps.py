"""Taps find any layer by path, keep true values, survive wrappers, and say so when a layer is dead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from stillhouse.errors import UsageError
from stillhouse.taps import Taps, classifier_path, layers, propose


class BertSelfAttention(nn.Module):
    """Named as Hugging Face names it; returns (context, probabilities)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_attention_heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, hidden: Tensor, give: bool = True) -> tuple[Tensor, Tensor | None]:
        def split(tensor: Tensor) -> Tensor:
            return tensor.view(*tensor.shape[:2], self.num_attention_heads, -1).transpose(1, 2)

        query, key, value = split(self.query(hidden)), split(self.key(hidden)), split(self.value(hidden))
        weights = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(-1)
        return (weights @ value).transpose(1, 2).flatten(2), weights if give else None


class Fused(nn.Module):
    """Named as timm names it."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads = 2
        self.qkv = nn.Linear(4, 12)

    def forward(self, hidden: Tensor) -> Tensor:
        value: Tensor = self.qkv(hidden).chunk(3, -1)[2]
        return value


class Overwriting(nn.Module):
    """What torchvision's residual blocks do: in-place activation and in-place addition."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.Linear(4, 4)
        self.relu = nn.ReLU(inplace=True)
        self.late = False

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.bn(inputs)
        if not self.late:
            out = self.relu(out)
            out += 1.0
        return out


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.auxiliary = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> dict[str, object]:
        extra = self.auxiliary(inputs) if self.training else None
        return {"note": "text", "loss": None, "logits": (self.used(inputs), inputs), "extra": extra}


def small_net() -> Any:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(features, nn.Flatten(), nn.Linear(12, 5))


def images() -> Tensor:
    return torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4)


def test_output_input_and_whole_module_are_the_values_of_a_forward_by_hand() -> None:
    net = small_net()
    with Taps(net, ["0.1", "2:input", "", ".", "0:output"]) as taps:
        net(images())
        found = taps.take()
    pooled = net[0](images())
    assert torch.equal(found["0.1"], net[0][1](net[0][0](images())))
    assert torch.equal(found["2:input"], pooled.flatten(1))
    assert torch.equal(found["0:output"], pooled)
    assert torch.equal(found[""], net(images()))
    assert torch.equal(found["."], found[""])


def test_gradients_flow_through_what_is_tapped() -> None:
    net = small_net()
    with Taps(net, ["0.0"]) as taps:
        net(images())
        torch.autograd.backward(taps.take()["0.0"].square().sum())
    assert net[0][0].weight.grad.abs().sum() > 0


def test_taking_clears_and_closing_removes_every_hook() -> None:
    net = small_net()
    taps = Taps(net, ["0.0", "embedding"])
    net(images())
    taps.take()
    with pytest.raises(UsageError, match=r"'0\.0' never fired in the last forward \(no tap fired\)"):
        taps.take()
    taps.close()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_first_tensor_of_nested_outputs_is_taken_and_others_by_number() -> None:
    net = Branching().train()
    inputs = torch.randn(2, 4)
    with Taps(net, ["", ":1", ":2"]) as taps:
        net(inputs)
        found = taps.take()
    assert torch.equal(found[""], net.used(inputs))
    assert torch.equal(found[":1"], inputs)
    assert torch.equal(found[":2"], net.auxiliary(inputs))


def test_a_layer_that_did_not_run_is_an_error_that_names_it_and_what_fired() -> None:
    net = Branching().eval()
    with Taps(net, ["used", "auxiliary"]) as taps:
        net(torch.randn(2, 4))
        with pytest.raises(UsageError, match=r"'auxiliary' never fired.*fired: 'used'.*stillhouse layers"):
            taps.take()


def test_a_module_that_gives_no_such_tensor_is_an_error_that_shows_what_it_gave() -> None:
    with Taps(net := Branching().eval(), [":7"]) as taps:
        net(torch.randn(2, 4))
        with pytest.raises(
            UsageError, match=r"':7' found no tensor: the module ran but gave dict .*\(2, 3\), \(2, 4\)"
        ):
            taps.take()


@pytest.mark.parametrize(("path", "near"), [("0.00", "'0.0'"), ("featrues.0", "'features.0'")])
def test_a_path_that_does_not_exist_names_the_nearest(path: str, near: str) -> None:
    net = small_net() if path.startswith("0") else nn.ModuleDict({"features": nn.Sequential(nn.Linear(1, 1))})
    with pytest.raises(UsageError, match=near):
        Taps(net, [path])


def test_an_unknown_part_lists_the_parts_there_are() -> None:
    with pytest.raises(UsageError, match="output, input, a number, query, key, value, scores or attention"):
        Taps(small_net(), ["0.0:inputs"])


@pytest.mark.parametrize("mode", ["grad", "no_grad", "inference"])
def test_values_overwritten_in_place_by_later_layers_are_the_tapped_layers_own(mode: str) -> None:
    net = Overwriting()
    context = {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}[mode]
    with Taps(net, ["bn"]) as taps, context():
        for step in range(3):
            inputs = torch.randn(2, 4) + step
            net(inputs)
            assert torch.equal(taps.take()["bn"], net.bn(inputs))


def test_untouched_values_are_not_copied_after_the_first_forward_and_late_overwriting_is_an_error() -> None:
    net = Overwriting()
    net.late = True
    with Taps(net, ["bn"]) as taps:
        net(torch.randn(2, 4))
        taps.take()
        output = net(torch.randn(2, 4))
        assert taps.take()["bn"] is output
        net.late = False
        net(torch.randn(2, 4))
        with pytest.raises(UsageError, match="overwritten in place"):
            taps.take()
        inputs = torch.randn(2, 4)
        net(inputs)
        assert torch.equal(taps.take()["bn"], net.bn(inputs))


def test_inputs_that_the_module_itself_overwrites_are_kept_as_they_came() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    inputs = torch.randn(2, 4)
    with Taps(net, ["1:input"]) as taps:
        net(inputs)
        assert torch.equal(taps.take()["1:input"], net[0](inputs))


def wrapped(kind: str, net: Any) -> Any:
    if kind == "compile":
        return torch.compile(net, backend="eager")
    return nn.DataParallel(net) if kind == "data parallel" else AveragedModel(net)


@pytest.mark.parametrize("kind", ["compile", "data parallel", "averaged"])
def test_paths_of_the_plain_module_hold_for_the_wrapped_one_and_the_wrappers_paths_too(kind: str) -> None:
    net = wrapped(kind, small_net())
    prefix = "_orig_mod." if kind == "compile" else "module."
    with Taps(net, ["0.0", f"{prefix}0.0", "embedding"]) as taps:
        net(images())
        found = taps.take()
    assert torch.equal(found["0.0"], found[f"{prefix}0.0"])
    assert found["embedding"].shape == (2, 12)


def test_distributed_data_parallel_with_hooks_trains_on_live_features(tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        net = nn.parallel.DistributedDataParallel(small_net())
        with Taps(net, ["0.0"]) as taps:
            net(images())
            torch.autograd.backward(taps.take()["0.0"].square().sum())
    finally:
        dist.destroy_process_group()
    assert net.module[0][0].weight.grad.abs().sum() > 0


def test_a_child_called_module_is_not_taken_for_a_wrapper() -> None:
    net = nn.ModuleDict({"module": nn.Sequential(nn.Linear(2, 2))})
    with Taps(net, ["module.0"]) as taps:
        net["module"](torch.zeros(1, 2))
        assert taps.take()["module.0"].shape == (1, 2)


def test_compiled_before_the_tap_is_an_error_and_not_a_silent_zero() -> None:
    torch.compiler.reset()
    net: Any = torch.compile(small_net(), backend="eager")
    net(images())
    with Taps(net, ["0.0"]) as taps:
        net(images())
        with pytest.raises(UsageError, match=r"Attach taps before `torch\.compile`"):
            taps.take()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_torch_attention_gives_projections_scores_and_weights(training: bool, batch_first: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=batch_first)
    net: Any = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).train(training)
    tokens = torch.randn(3, 5, 8)
    paths = [f"layers.1.self_attn:{part}" for part in ("query", "key", "value", "scores", "attention")]
    with Taps(net, [*paths, "layers.1:input"]) as taps, torch.set_grad_enabled(training):
        output = net(tokens if batch_first else tokens.transpose(0, 1))
        query, key, value, scores, weights, hidden = taps.take().values()
    hidden = hidden if batch_first else hidden.transpose(0, 1)
    fused = net.layers[1].self_attn
    expected = hidden @ fused.in_proj_weight.T + fused.in_proj_bias
    assert torch.allclose(torch.cat([query, key, value], -1), expected, atol=1e-6)
    heads = [query[..., 4 * h : 4 * h + 4] @ key[..., 4 * h : 4 * h + 4].transpose(1, 2) / 2.0 for h in range(2)]
    assert torch.allclose(scores, torch.stack(heads, 1), atol=1e-6)
    assert torch.allclose(weights, scores.softmax(-1), atol=1e-6)
    with torch.set_grad_enabled(training):
        plain = net(tokens if batch_first else tokens.transpose(0, 1))
    assert torch.allclose(output, plain, atol=1e-5)


def test_attention_with_keys_of_another_width_and_a_mask_by_position_is_unharmed() -> None:
    attention = nn.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True)
    query, key, value = torch.randn(2, 3, 8), torch.randn(2, 5, 6), torch.randn(2, 5, 4)
    padding = torch.tensor([[False] * 5, [False] * 4 + [True]])
    mask = torch.zeros(3, 5, dtype=torch.bool).triu(2)
    expected = attention(query, key, value, padding, False, mask)[0]
    with Taps(attention, [":key", ":attention"]) as taps:
        got = attention(query, key, value, padding, False, mask)[0]
        found = taps.take()
    assert torch.allclose(got, expected, atol=1e-6)
    assert found[":key"].shape == (2, 5, 8)
    assert found[":attention"].shape == (2, 2, 3, 5)
    assert found[":attention"][1, :, :, 4].abs().max() == 0


def test_bert_like_attention_gives_projections_scores_and_weights_by_the_same_paths() -> None:
    net: Any = nn.ModuleDict({"self": BertSelfAttention(8, 2)})
    tokens = torch.randn(3, 5, 8)
    with Taps(net, ["self:query", "self:scores", "self:attention", "self"]) as taps:
        context, weights = net["self"](tokens)
        found = taps.take()
    assert torch.equal(found["self:query"], net["self"].query(tokens))
    assert torch.allclose(found["self:scores"].softmax(-1), weights, atol=1e-6)
    assert torch.equal(found["self:attention"], weights)
    assert torch.equal(found["self"], context)


def test_attention_weights_that_the_model_withholds_are_an_error_that_says_how_to_get_them() -> None:
    net = BertSelfAttention(8, 2)
    with Taps(net, [":attention"]) as taps:
        net(torch.randn(3, 5, 8), give=False)
        with pytest.raises(UsageError, match="output_attentions=True"):
            taps.take()


def test_fused_projections_are_split_into_query_key_and_value() -> None:
    net = Fused()
    tokens = torch.randn(2, 3, 4)
    with Taps(net, [":query", ":key", ":value", ":scores"]) as taps:
        net(tokens)
        query, key, value, scores = taps.take().values()
    assert torch.equal(torch.cat([query, key, value], -1), net.qkv(tokens))
    assert scores.shape == (2, 2, 3, 3)


def test_projection_of_a_module_without_one_lists_its_children() -> None:
    with pytest.raises(UsageError, match=r"names a Sequential, which lacks .*its children are: 0, 1"):
        Taps(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), [":query"])
    with pytest.raises(UsageError, match="number of heads"):
        Taps(nn.Sequential(nn.Linear(2, 2)), [":scores"])


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
