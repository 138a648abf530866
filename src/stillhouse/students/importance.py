"""How much a net's outputs depend on its blocks and units, measured on a probe without labels."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from stillhouse.students.narrow import CONVOLUTIONS, Group
from stillhouse.students.stacks import Stack, blocks_of
from stillhouse.task import Link
from stillhouse.types import evaluating, logits_of

CHUNK = 32  # rows whose graph is in memory at once
DRAWS = 4  # labels drawn for each row


class Answer:
    """Outputs of a net (B, ...), and their meaning."""

    def __init__(self, output: Any, link: Link) -> None:
        hidden = output.get("last_hidden_state") if isinstance(output, Mapping) else None
        self.hidden = hidden is not None  # the states of a model without a head
        self.values: Tensor = logits_of(output) if hidden is None else hidden
        self.link: Link = link if hidden is None else "identity"

    def loss(self, generator: torch.Generator) -> Tensor:
        """Negative log-likelihood of one draw from the outputs' own distribution, summed over the rows.

        A categorical distribution, independent ones of labels, or normal ones with variance 1.
        """
        values = self.values.float()
        if self.link == "identity":
            return (values * torch.randn(values.shape, generator=generator).to(values.device)).sum()
        if self.link == "sigmoid":
            drawn = torch.bernoulli(values.detach().sigmoid().cpu(), generator=generator).to(values.device)
            return F.binary_cross_entropy_with_logits(values, drawn, reduction="sum")
        flat = values.reshape(-1, values.shape[-1])
        drawn = torch.multinomial(flat.detach().softmax(-1).cpu(), 1, generator=generator).flatten()
        return F.cross_entropy(flat, drawn.to(flat.device), reduction="sum")


def ask(net: nn.Module, inputs: Tensor, link: Link = "softmax") -> Answer:
    """Outputs of a net for encoded inputs; Hugging Face models also get the mask of the padding."""
    takes = inspect.signature(net.forward).parameters
    config = getattr(net, "config", None)
    if "attention_mask" in takes and not inputs.is_floating_point() and config is not None:
        pad = getattr(config, "pad_token_id", None) or 0
        return Answer(net(inputs, attention_mask=(inputs != pad).long()), link)
    return Answer(net(inputs), link)


@torch.no_grad()
def block_scores(net: nn.Module, stack: Stack, probe: Tensor, link: Link = "softmax") -> Tensor:
    """Importance of each block: how much the outputs change when the identity replaces it.

    The criterion of leave-one-out layer pruning (block influence of ShortGPT, Men et al. 2024, arXiv:2403.03853,
    measured at the output instead of at the block): KL divergence of the probabilities of classes or labels, squared
    distance of values, or 1 - cosine of the hidden states of a model without a head.

    Args:
        net: from inputs to outputs.
        stack: its blocks.
        probe: encoded inputs (B, ...).
        link: meaning of the outputs: "softmax", "sigmoid" or values.

    Returns:
        float64 (blocks,), at least 0.
    """
    with evaluating(net):
        whole = ask(net, probe, link)
        scores = []
        for parts in blocks_of(net, stack):
            with ExitStack() as hooks:
                for part in parts:
                    hooks.enter_context(part.register_forward_hook(_identity, with_kwargs=True))
                scores.append(_distance(whole, ask(net, probe, link)))
    return torch.tensor(scores, dtype=torch.float64)


def gate_scores(net: nn.Module, groups: Sequence[Group], probe: Tensor, link: Link = "softmax") -> list[Tensor]:
    """Importance of units: mean absolute gradient of the loss with regard to a gate of 1 on each unit.

    The head score of Michel et al. 2019 (arXiv:1905.10650, equation 2), which for units is the first-order Taylor
    criterion of Molchanov et al. 2017 (arXiv:1611.06440). The loss needs no labels: they are drawn from the net's own
    outputs. A unit has one gate wherever it is read, so units that a residual joins get one score.

    Args:
        net: from inputs to outputs; no batch norm statistics move.
        groups: each with at least one module that reads its units.
        probe: encoded inputs (B, ...).
        link: meaning of the outputs: "softmax", "sigmoid" or values.

    Returns:
        For each group float64 (units,), at least 0.
    """
    generator = torch.Generator().manual_seed(0)
    scores = [torch.zeros(group.units, dtype=torch.float64) for group in groups]
    with evaluating(net), _frozen(net):
        for rows in torch.split(probe, CHUNK):
            gates = [torch.ones(len(rows), group.units, device=probe.device, requires_grad=True) for group in groups]
            with ExitStack() as hooks, torch.enable_grad():
                for group, gate in zip(groups, gates, strict=True):
                    for path in dict.fromkeys(slot.module for slot in group.slots if slot.reads):
                        hook = _Gate(gate)
                        hooks.enter_context(net.get_submodule(path).register_forward_pre_hook(hook))
                answer = ask(net, rows, link)
                for _ in range(DRAWS):
                    loss = answer.loss(generator)
                    grads = torch.autograd.grad(loss, gates, retain_graph=True, materialize_grads=True)
                    for score, grad in zip(scores, grads, strict=True):
                        score += grad.double().abs().sum(0).cpu() / (len(probe) * DRAWS)
    return scores


class _Gate:
    """Multiplies a module's input by a gate for each row and unit."""

    def __init__(self, gate: Tensor) -> None:
        self.gate = gate

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        inputs = args[0]
        axis = 1 if isinstance(module, CONVOLUTIONS) else inputs.ndim - 1
        rows, units = self.gate.shape
        # Token axes may have been folded into the batch; a flattened map holds several neighbours of each channel.
        gate = self.gate.repeat_interleave(inputs.shape[0] // rows, 0)
        gate = gate.repeat_interleave(inputs.shape[axis] // units, 1).to(inputs.dtype)
        shape = [inputs.shape[0], *(1 for _ in inputs.shape[1:])]
        shape[axis] = inputs.shape[axis]
        return (inputs * gate.reshape(shape), *args[1:])


def _identity(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    inputs = args[0] if args else next(iter(kwargs.values()))
    return (inputs, *output[1:]) if isinstance(output, tuple) else inputs


def _distance(whole: Answer, part: Answer) -> float:
    a, b = whole.values.double(), part.values.double()
    if whole.hidden:
        return float((1 - F.cosine_similarity(a.flatten(1), b.flatten(1))).clamp_min(0).mean())
    if whole.link == "identity":
        return float((a - b).square().sum(-1).mean())
    if whole.link == "sigmoid":
        yes = a.sigmoid() * (F.logsigmoid(a) - F.logsigmoid(b))
        return float((yes + (-a).sigmoid() * (F.logsigmoid(-a) - F.logsigmoid(-b))).sum(-1).mean())
    return float(F.kl_div(b.log_softmax(-1), a.log_softmax(-1), reduction="none", log_target=True).sum(-1).mean())


@contextmanager
def _frozen(net: nn.Module) -> Iterator[None]:
    """Turn off gradients of the parameters: only the gates need them."""
    asked = [p for p in net.parameters() if p.requires_grad]
    for parameter in asked:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
