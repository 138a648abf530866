"""Configurations of hub models as data alone: no key may ask for code, for a kernel, or for another place.

The authors' library runs kernels that a configuration names (``attn_implementation = "name/of/a/repository"``), follows
``adapter_config.json`` to another model, and sets any key as an attribute. Here a key that asks for code is refused,
one that the architecture does not know is left out, and a folder's files of weights lie in that folder.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stillhouse.errors import RejectedError
from stillhouse.extras import library

ATTENTION = ("sdpa", "eager")  # computed by torch alone
EXECUTABLE = (
    *("auto_map", "custom_pipelines", "custom_generate", "quantization_config", "use_kernels", "kernel_config"),
    *("trust_remote_code", "code_revision", "compression_config", "distributed_config"),
)
CHOICES = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal", "experts_implementation")
NOT_KEPT = {"self", "kwargs", "model_type", "transformers_version", "_name_or_path", "_commit_hash", *CHOICES}
INDEX = "model.safetensors.index.json"
MOVED = "adapter_config.json"  # names another model, which the authors' library would load in this one's place


def plain_config(config: Any, where: str | Path) -> Any:
    """A configuration that can only build a net of transformers: unknown keys are left out.

    Args:
        config: the content of ``config.json``.
        where: the file, for errors.

    Returns:
        An object of the architecture's own class of configurations.

    Raises:
        RejectedError: a key asks for code or a kernel, the architecture is not part of transformers, or a value has the
            wrong type.
    """
    refuse_executable(config, where)
    transformers = library("transformers", "This model")
    name = config.get("model_type")
    if not isinstance(name, str) or name not in transformers.CONFIG_MAPPING:
        raise RejectedError(
            f"{where}: model_type = {str(name)[:80]!r} is no architecture of the installed transformers. Upgrade it, "
            "or build the module and pass it from Python."
        )
    kind = transformers.CONFIG_MAPPING[name]
    known = {*inspect.signature(kind.__init__).parameters, *getattr(kind, "attribute_map", {})}
    chosen = next((config[key] for key in CHOICES if config.get(key) in ATTENTION), None)
    try:
        known = (known | set(kind().to_dict())) - NOT_KEPT
        # Twice: keys of older releases are read into those of this one, and then those that it does not know go.
        told = kind.from_dict({key: value for key, value in config.items() if key not in NOT_KEPT}).to_dict()
        made = kind.from_dict({key: value for key, value in told.items() if key in known})
        if chosen is not None:
            made._attn_implementation = chosen
    except Exception as error:  # the library checks values by errors of many classes
        raise RejectedError(
            f"{where} cannot be a configuration of {name!r}: {' '.join(str(error).split())[:300]} Save the model again "
            "with `save_pretrained`."
        ) from error
    return made


def refuse_executable(config: Any, where: str | Path) -> None:
    """Refuse a configuration that asks for code, at any depth.

    Raises:
        RejectedError: names the key.
    """
    if not isinstance(config, dict):
        raise RejectedError(f"{where} must hold a JSON object. Save the model again with `save_pretrained`.")
    for key, value in _pairs(config):
        if key in CHOICES and value is not None and value not in ATTENTION:
            raise RejectedError(
                f"{where} asks for {key} = {str(value)[:80]!r}. Other implementations than "
                f"{' and '.join(map(repr, ATTENTION))} run code that is not part of this installation. Remove the key."
            )
        if key in EXECUTABLE and value not in (None, False):
            raise RejectedError(
                f"{where} has the key {key!r}: the model asks for its own code, and Stillhouse never runs code of a "
                "model. Use a model whose architecture is part of transformers and whose weights are not quantised, or "
                "build the module and pass it from Python."
            )


def check_files(folder: Path) -> None:
    """Refuse a folder whose files of weights are not its own.

    Raises:
        RejectedError: an index names a file outside the folder, one that is not safetensors, or one that is not there;
            or the folder holds only what another model adds.
    """
    if (folder / MOVED).exists():
        raise RejectedError(
            f"{folder} holds {MOVED}, additions to another model, which it names. Merge them once, elsewhere: "
            "`peft.AutoPeftModel.from_pretrained(folder).merge_and_unload().save_pretrained(new_folder)`."
        )
    index = folder / INDEX
    if not index.exists():
        return
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RejectedError(
            f"{index} is no index of weights ({type(error).__name__}). Save the model again."
        ) from error
    for name in names:
        plain = isinstance(name, str) and name == Path(name).name and "\\" not in name and name.endswith(".safetensors")
        if not plain or not (folder / name).is_file():
            raise RejectedError(
                f"{index} names {str(name)[:80]!r}, which is no .safetensors file in this folder. Download the whole "
                "model again, or save it with `save_pretrained`."
            )


def _pairs(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys and values at any depth."""
    waiting: list[Any] = [table]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Mapping):
            yield from found.items()
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
