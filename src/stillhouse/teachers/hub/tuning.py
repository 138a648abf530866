"""Transfer learning: which weights of a pretrained net are trained on the user's classes.

A linear probe trains the head alone; LoRA (Hu et al. 2021, arXiv:2106.09685) adds a product of two thin matrices to
some linear layers and trains these and the head; full fine-tuning trains all. A probe first and the rest afterwards
keeps the pretrained features (Kumar et al. 2022, arXiv:2202.10054): call ``prepare_tuning`` twice on the same net.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from stillhouse.errors import UsageError
from stillhouse.extras import library

How = Literal["probe", "full", "lora"]
# Queries and values, as in the paper, by their names in BERT and ViT, DistilBERT, BART and LLaMA, MPNet.
QUERY_VALUE = {"query", "value", "q_lin", "v_lin", "q_proj", "v_proj", "q", "v"}


def prepare_tuning(net: nn.Module, how: How, *, head: str, rank: int = 8, alpha: float = 16) -> nn.Module:
    """Choose which weights are trained.

    Args:
        net: pretrained, with a head for the classes; changed in place.
        how: "probe": the head; "lora": the head and thin additions to the query and value projections, or to every
            other linear layer where there are none of these names; "full": everything.
        head: path of the head.
        rank: of the additions.
        alpha: their factor is ``alpha / rank``.

    Returns:
        The net, for "lora" wrapped by peft; its outputs are the same as before. ``merged`` removes the wrapper.

    Raises:
        UsageError: no such head, another ``how``, no linear layer for LoRA, or peft is not installed.
    """
    known = dict(net.named_modules())
    if not head or head not in known:
        raise UsageError(
            f"There is no head {head!r} in {type(net).__name__}. Name the module of the outputs, such as "
            f"head = {next((p for p in reversed(known) if isinstance(known[p], nn.Linear)), '')!r}."
        )
    if how not in ("probe", "full", "lora"):
        raise UsageError(f"tune = {how!r} is unknown. Write probe, full or lora.")
    for path, parameter in net.named_parameters():
        parameter.requires_grad_(how == "full" or path.startswith(f"{head}."))
    return net if how != "lora" else _adapted(net, head, rank, alpha)


def merged(net: nn.Module) -> nn.Module:
    """The plain net: LoRA's additions are added to its weights, and all of them can be trained again."""
    merge = getattr(net, "merge_and_unload", None)
    if merge is None:
        return net.requires_grad_(True)
    training = net.training
    plain: nn.Module = merge()
    return plain.requires_grad_(True).train(training)


def _adapted(net: nn.Module, head: str, rank: int, alpha: float) -> nn.Module:
    peft = library("peft", 'tune = "lora"')
    if rank < 1:
        raise UsageError(f"rank = {rank} of LoRA must be at least 1. Write rank = 8.")
    targets = _targets(net, head)
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, modules_to_save=[head])
    wrapped: nn.Module = peft.get_peft_model(net, config)
    return wrapped


def _targets(net: nn.Module, head: str) -> list[str]:
    # The exact type: torch's own attention reads the weights of its subclass without calling it.
    linear = [path for path, module in net.named_modules() if type(module) is nn.Linear]
    body = [path for path in linear if path != head and not path.startswith(f"{head}.")]
    named = [path for path in body if path.rpartition(".")[2] in QUERY_VALUE]
    if not body:
        raise UsageError(
            f'tune = "lora" adapts linear layers, but {type(net).__name__} has none besides its head {head!r}. Write '
            'tune = "full".'
        )
    return named or body
