"""Models of the Hugging Face hub, from a local folder or the local cache, checked before they are loaded.

Nothing here runs code of a model, reads a pickle, or opens a connection that the user did not ask for.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stillhouse.data.encoders.text import TextEncoder
from stillhouse.errors import RejectedError, UsageError
from stillhouse.extras import library
from stillhouse.teachers.hub.configs import check_files, refuse_executable

COMMIT = re.compile(r"[0-9a-f]{40}")
NEEDED = ["*.json", "*.safetensors", "*.txt", "*.model"]  # files worth downloading; pickles are not among them
FREE_OF_CODE = "sentence_transformers."  # a module of a sentence folder outside this package would be the model's code

HubKind = Literal["classifier", "encoder", "sentence"]


class HubModel(NamedTuple):
    """A folder with a model, described without loading the weights."""

    folder: Path
    kind: HubKind  # a ready classifier of texts; an encoder; an encoder with its own pooling (sentence-transformers)
    tokenizer_json: str  # text of its tokenizer.json
    revision: str | None  # commit hash; None for a folder outside the cache
    labels: tuple[str, ...] | None  # a classifier's own class names, in the order of its logits
    vocabulary: int  # number of token ids it has embeddings for
    pad: int  # its tokenizer's own id of padding


def open_hub(where: str | Path, *, revision: str | None = None, allow_network: bool = False) -> HubModel:
    """Find a model and check that it can be used without running any code of the model.

    Args:
        where: a folder, or a name such as "sentence-transformers/all-MiniLM-L6-v2" in the local cache.
        revision: commit hash of the named model; without it, the cache's "main".
        allow_network: download files that the cache lacks; needs the revision, so that a run can be repeated.

    Raises:
        UsageError: there is no such folder or cached name; the network is allowed without a commit hash.
        RejectedError: only pickled weights, own Python code, no fast tokenizer, or a tokenizer with more ids than the
            model has embeddings.
    """
    folder, commit = find_folder(str(where), revision, allow_network)
    config = read_json(folder, "config.json")
    refuse_code(folder, config)
    refuse_pickles(folder)
    check_files(folder)
    tokenizer, kind = tokenizer_of(folder), _kind(folder, config)
    vocabulary = int(_text_config(config).get("vocab_size", 0))
    encoder = TextEncoder.from_tokenizer(tokenizer, length=128)  # only inspected: it splits no text
    if encoder.vocabulary > vocabulary:
        raise RejectedError(
            f"The tokenizer in {folder} gives ids up to {encoder.vocabulary - 1}, but the model has {vocabulary} token "
            "embeddings: they belong to different models. Put the model's own tokenizer.json into the folder."
        )
    named = (config.get("id2label") or {}) if kind == "classifier" else {}
    labels = tuple(str(named[key]) for key in sorted(named, key=int)) or None
    return HubModel(folder, kind, tokenizer, commit, labels, vocabulary, encoder.pad_id)


def find_folder(where: str, revision: str | None, allow_network: bool) -> tuple[Path, str | None]:
    """The folder of a model and its commit, if known."""
    folder = Path(where).expanduser()
    if folder.is_dir():
        commit = folder.resolve().name if folder.resolve().parent.name == "snapshots" else None
        if revision is not None and revision != commit:
            raise UsageError(
                f"{where} is a folder whose revision cannot be checked against {revision!r}. Leave out the revision, "
                "or give the model's name in the cache."
            )
        return folder, commit
    if allow_network and not COMMIT.fullmatch(revision or ""):
        raise UsageError(
            f"Downloading {where!r} needs `revision` to be a commit hash of 40 hexadecimal digits, not {revision!r}: a "
            "branch or tag may be another model tomorrow."
        )
    return _cached(where, revision, allow_network)


def _cached(name: str, revision: str | None, allow_network: bool) -> tuple[Path, str | None]:
    hub = library("huggingface_hub", "This model")
    try:
        folder = Path(
            hub.snapshot_download(name, revision=revision, local_files_only=not allow_network, allow_patterns=NEEDED)
        )
    except (hub.errors.HFValidationError, hub.errors.LocalEntryNotFoundError, hub.errors.HfHubHTTPError) as error:
        raise UsageError(
            f"[teacher] hub = {name!r} is neither a folder nor a model in the local cache"
            f"{f' at revision {revision}' if revision else ''}: {str(error).splitlines()[0]} Give the folder "
            "of its config.json and model.safetensors, or download it once: `hf download NAME --revision COMMIT`."
        ) from error
    return folder, folder.name


def read_json(folder: Path, name: str) -> Any:
    """A JSON file of the folder."""
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RejectedError(
            f"{folder} holds no {name}, so it is not a saved model. Give the folder that `save_pretrained` wrote."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RejectedError(f"{folder / name} cannot be read as JSON: {error}. Save the model again.") from error


def refuse_code(folder: Path, config: dict[str, Any]) -> None:
    """Refuse a model whose architecture is code in its own folder."""
    refuse_executable(config, folder / "config.json")
    foreign = [m["type"] for m in sentence_modules(folder) if not m["type"].startswith(FREE_OF_CODE)]
    if foreign:
        raise RejectedError(
            f"The model in {folder} contains its own Python code (modules.json names {foreign[0][:80]!r}), and "
            "Stillhouse never runs code of a model. Use a model whose architecture is part of transformers, or build "
            "the module and pass it from Python."
        )


def refuse_pickles(folder: Path) -> None:
    """Refuse a folder whose weights are no safetensors."""
    if (folder / "model.safetensors").exists() or (folder / "model.safetensors.index.json").exists():
        return
    pickled = sorted(f.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for f in folder.glob(pattern))
    if pickled:
        raise RejectedError(
            f"The weights in {folder} are a pickle ({pickled[0]}), and reading a pickle runs code. If you trust it, "
            "convert it once, elsewhere: `AutoModel.from_pretrained(folder).save_pretrained(new_folder)` writes "
            "model.safetensors; or use a revision of the model that has it."
        )
    raise RejectedError(f"{folder} holds no weights (model.safetensors). Download the whole model, or save it again.")


def tokenizer_of(folder: Path) -> str:
    """The content of its tokenizer.json."""
    try:
        return (folder / "tokenizer.json").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RejectedError(
            f"{folder} holds no readable tokenizer.json, so texts cannot be split as in its training. Write it once: "
            "`AutoTokenizer.from_pretrained(folder).save_pretrained(folder)` makes it from the older files if possible."
        ) from error


def _kind(folder: Path, config: dict[str, Any]) -> HubKind:
    if sentence_modules(folder):
        return "sentence"
    names = config.get("architectures") or []
    return "classifier" if any("ForSequenceClassification" in name for name in names) else "encoder"


def sentence_modules(folder: Path) -> list[dict[str, Any]]:
    """The chain of modules of a sentence-transformers folder, each with ``type`` and ``path``; empty for any other."""
    if not (folder / "modules.json").exists():
        return []
    chain = read_json(folder, "modules.json")
    keys = ("type", "path")
    fit = isinstance(chain, list) and all(
        isinstance(m, dict) and isinstance(m.get(k), str) for m in chain for k in keys
    )
    if not fit or any(Path(m["path"]).is_absolute() or ".." in Path(m["path"]).parts for m in chain):
        raise RejectedError(
            f"{folder / 'modules.json'} must be a list of modules, each with `type` and with `path`, a folder in this "
            "one. Save the model again."
        )
    return list(chain)


def pooling_modes(folder: Path, path: str) -> tuple[str, ...]:
    """How a sentence-transformers folder pools, in the terms of newer releases; files of all releases are read."""
    config = read_json(folder, f"{path}/config.json")
    if "pooling_mode" in config:
        mode = config["pooling_mode"]
        return (mode,) if isinstance(mode, str) else tuple(mode)
    flags = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    names = (key.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens") for key in flags)
    return tuple(names) or ("mean",)


def default_prompt(folder: Path) -> str | None:
    """The prompt that a sentence-transformers folder puts before every text, if any."""
    name = "config_sentence_transformers.json"
    config = read_json(folder, name) if (folder / name).exists() else {}
    chosen = config.get("default_prompt_name")
    return None if chosen is None else str(config.get("prompts", {}).get(chosen, "")) or None


def _text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The table with the sizes: some architectures keep those of the text part in a separate table."""
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) and "vocab_size" not in config else config
