"""A causal model with a LoRA adapter of peft: a folder of the adapter alone, which names its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from stillhouse.errors import RejectedError
from stillhouse.extras import library
from stillhouse.teachers.hub.models import read_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
WHO = "A teacher with an adapter"  # that needs a library
# What a LoRA computes with; all other keys of its file must say nothing, or tell only how it was trained.
READ = (
    *("r", "lora_alpha", "target_modules", "exclude_modules", "fan_in_fan_out", "bias", "modules_to_save"),
    *("layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "lora_bias"),
)
CHANGING = (
    *("layer_replication", "megatron_config", "target_parameters", "trainable_token_indices", "use_qalora"),
    *("use_bdlora", "arrow_config", "alora_invocation_tokens"),
)


class Adapter(NamedTuple):
    """An adapter beside its model."""

    folder: Path
    base: str  # a folder, or a name in the local cache
    settings: dict[str, Any]


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model."""
    return (folder / CONFIG).exists() and not (folder / "config.json").exists()


def open_adapter(folder: Path) -> Adapter:
    """Read what an adapter says of itself.

    Raises:
        RejectedError: it is no LoRA of a causal model, its weights are no safetensors, or it names no model.
    """
    told = read_json(folder, CONFIG)
    kind = told.get("peft_type") if isinstance(told, dict) else None
    if kind != "LORA":
        raise RejectedError(
            f"{folder / CONFIG}: peft_type = {str(kind)[:80]!r}, and only LoRA is read here. Merge it yourself: "
            "`peft.AutoPeftModelForCausalLM.from_pretrained(folder).merge_and_unload().save_pretrained(new_folder)`."
        )
    odd = [key for key in CHANGING if told.get(key)]
    if odd:
        raise RejectedError(
            f"{folder / CONFIG}: {odd[0]} is a form of LoRA that is not read here. Merge the adapter into its model, "
            "and give that folder: `merge_and_unload().save_pretrained(new_folder)`."
        )
    if not (folder / WEIGHTS).is_file():
        raise RejectedError(f"{folder} holds no {WEIGHTS}. Save the adapter again; a pickle (.bin) is never read.")
    base = told.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise RejectedError(
            f'{folder / CONFIG} names no model that it belongs to. Write `"base_model_name_or_path": "folder"` there.'
        )
    beside = folder / base
    return Adapter(folder, str(beside) if beside.is_dir() else base, {k: told[k] for k in READ if k in told})


def merged(net: nn.Module, adapter: Adapter) -> nn.Module:
    """The model with the adapter added to its weights; a plain model again.

    Raises:
        RejectedError: the adapter does not belong to this model.
        UsageError: peft is not installed.
    """
    from safetensors.torch import load_file

    peft = library("peft", WHO)
    where = adapter.folder / CONFIG
    try:
        wrapped = peft.get_peft_model(net, peft.LoraConfig(task_type="CAUSAL_LM", **adapter.settings))
        weights = load_file(adapter.folder / WEIGHTS)
        found = peft.set_peft_model_state_dict(wrapped, weights)
        lacks = [name for name in found.missing_keys if "lora_" in name or "modules_to_save" in name]
        odd = [*found.unexpected_keys, *lacks]
        made: nn.Module = wrapped.merge_and_unload(safe_merge=True)
    except Exception as error:  # the library checks by errors of many classes
        raise RejectedError(
            f"The adapter {where} does not fit the model {adapter.base}: {' '.join(str(error).split())[:300]} Name the "
            "model that it was trained on."
        ) from error
    if odd:
        raise RejectedError(
            f"The adapter {where} does not fit the model {adapter.base}: {odd[0]} is on one side only. Name the model "
            "that it was trained on."
        )
    return made.eval()
