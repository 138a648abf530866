"""Taps on attention give projections, scores and weights, whatever the layer is called."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.taps import Taps


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
