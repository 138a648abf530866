"""Causal models from a local Hugging Face folder or a GGUF file; no code of a model is run."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import xxhash
from torch import nn

from stillhouse.data.encoders.vocabulary import Vocabulary, parsed
from stillhouse.errors import RejectedError, UsageError
from stillhouse.extras import library
from stillhouse.files import add_files
from stillhouse.teachers.causal.adapted import Adapter, is_adapter, merged, open_adapter
from stillhouse.teachers.hub.configs import check_files
from stillhouse.teachers.hub.loading import load_folder, silence
from stillhouse.teachers.hub.models import (
    find_folder,
    read_json,
    refuse_code,
    refuse_pickles,
    tokenizer_of,
)

WHO = "A language model"  # that needs a library
MAGIC = b"GGUF"
TEMPLATES = ("chat_template.jinja", "tokenizer_config.json")


class CausalFiles(NamedTuple):
    """A causal model that can be loaded, described without its weights."""

    folder: Path
    file: str | None  # the GGUF file in it; None: the folder of ``save_pretrained``
    vocabulary: Vocabulary
    positions: int | None  # the longest text it can read; None: it does not say
    adapter: Adapter | None = None  # that is added to its weights

    def fingerprint(self) -> str:
        """Hash of all its files, that no other model has."""
        digest = xxhash.xxh3_128()
        files = [self.folder / self.file] if self.file else sorted(self.folder.glob("*"))
        add_files(digest, (one for one in files if one.is_file()), self.folder)
        if self.adapter is not None:
            files = sorted(self.adapter.folder.glob("*"))
            add_files(digest, (one for one in files if one.is_file()), self.adapter.folder)
        return digest.hexdigest()


def open_causal(hub: str | None, gguf: Path | None, revision: str | None = None) -> CausalFiles:
    """Find a causal model, and read its tokenizer.

    Args:
        hub: a folder, or a name in the local cache; also a folder of a LoRA adapter that names its model.
        gguf: a GGUF file; beside ``hub``, its name in that folder.
        revision: commit hash of the model in the cache.

    Raises:
        UsageError: there is no such folder or file, or a library is missing.
        RejectedError: it is no causal model, or one that needs code of its own.
    """
    folder = None if hub is None else find_folder(hub, revision, False)[0]
    if gguf is not None:
        path = gguf if folder is None else folder / gguf
        return _open_gguf(path.expanduser().resolve(), path.stat().st_mtime_ns if path.is_file() else 0)
    assert folder is not None
    return _open_adapted(folder) if is_adapter(folder) else _open_folder(folder)


def _open_adapted(folder: Path) -> CausalFiles:
    adapter = open_adapter(folder)
    base = find_folder(adapter.base, None, False)[0]
    if is_adapter(base):
        raise RejectedError(f"The model of the adapter {folder} is an adapter itself ({base}). Merge that one first.")
    found = _open_folder(base)
    own = folder if (folder / "tokenizer.json").exists() else base  # training may have set another template
    words = found.vocabulary if own == base else _words(own, found.vocabulary, read_json(base, "config.json"))
    return found._replace(vocabulary=words, adapter=adapter)


def _words(folder: Path, of_base: Vocabulary, config: dict[str, Any]) -> Vocabulary:
    """The tokenizer of an adapter, which must number tokens as that of its model does."""
    tokenizer, told = tokenizer_of(folder), _told(folder)
    if parsed(tokenizer).get_vocab() != of_base.tokenizer.get_vocab():
        raise RejectedError(
            f"The tokenizer in {folder} has other tokens than that of the model that the adapter belongs to. Merge the "
            "adapter into its model, and give that folder."
        )
    start, end = (_special(told, config, tokenizer, f"{which}_token") for which in ("bos", "eos"))
    return Vocabulary(tokenizer, of_base.size, start, end, _template(folder) or of_base.template)


@lru_cache(maxsize=4)  # a large vocabulary takes seconds to read
def _open_gguf(path: Path, changed: int) -> CausalFiles:
    if not path.is_file():
        raise UsageError(f"[teacher] gguf = {str(path)!r} does not exist. Name a .gguf file.")
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise RejectedError(f"{path} is no GGUF file. Download it again, or name another.")
    library("gguf", WHO)
    transformers = library("transformers", WHO)
    try:
        with silence(transformers.utils.logging):
            config = transformers.AutoConfig.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                path.parent, gguf_file=path.name, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # the readers of such files raise errors of many classes
        raise RejectedError(
            f"{path} cannot be read as a causal model: {' '.join(str(error).split())[:300]} Download it again, or name "
            "a model of an architecture that transformers can read from GGUF."
        ) from error
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise RejectedError(f"{path} holds no tokenizer that can be read fast. Give the model's Hugging Face folder.")
    template = tokenizer.chat_template
    words = Vocabulary(
        backend.to_str(),
        _classes(backend.to_str(), config.vocab_size, path),
        tokenizer.bos_token_id,
        tokenizer.eos_token_id,
        template if isinstance(template, str) else None,
    )
    return CausalFiles(path.parent, path.name, words, getattr(config, "max_position_embeddings", None))


def _open_folder(folder: Path) -> CausalFiles:
    config = read_json(folder, "config.json")
    refuse_code(folder, config)
    refuse_pickles(folder)
    check_files(folder)
    names = config.get("architectures") or []
    if not any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in names):
        raise RejectedError(
            f"The model in {folder} is no causal language model (architectures = {names}). Give one that was saved as "
            "`AutoModelForCausalLM`."
        )
    inner: dict[str, Any] = config if "vocab_size" in config else config.get("text_config") or {}
    tokenizer = tokenizer_of(folder)
    told = _told(folder)
    start, end = (_special(told, config, tokenizer, f"{which}_token") for which in ("bos", "eos"))
    words = Vocabulary(tokenizer, _classes(tokenizer, int(inner["vocab_size"]), folder), start, end, _template(folder))
    return CausalFiles(folder, None, words, inner.get("max_position_embeddings") or inner.get("n_positions"))


def open_words(file: Path) -> Vocabulary:
    """The tokens of a model that runs elsewhere, from its tokenizer.json and what lies beside it.

    Args:
        file: tokenizer.json; ``tokenizer_config.json`` beside it names the special tokens, and the template may be
            there or in ``chat_template.jinja``.

    Raises:
        UsageError: there is no such file.
        RejectedError: it holds no tokenizer.
    """
    if not file.is_file():
        raise UsageError(f"[data] tokenizer = {str(file)!r} does not exist. Name the model's tokenizer.json.")
    try:
        text, folder = file.read_text(encoding="utf-8"), file.parent
    except UnicodeDecodeError as error:
        raise RejectedError(f"{file} is no text: {error}. Name the model's tokenizer.json.") from error
    told = _told(folder)
    config = read_json(folder, "config.json") if (folder / "config.json").exists() else {}
    start, end = (_special(told, config, text, f"{which}_token") for which in ("bos", "eos"))
    size = 1 + max(parsed(text).get_vocab(with_added_tokens=True).values(), default=0)
    return Vocabulary(text, size, start, end, _template(folder))


def _told(folder: Path) -> dict[str, Any]:
    name = "tokenizer_config.json"
    found: dict[str, Any] = read_json(folder, name) if (folder / name).exists() else {}
    return found


def _special(told: dict[str, Any], config: dict[str, Any], tokenizer: str, key: str) -> int | None:
    """The id of a special token: of the tokenizer's own settings, else of the model's."""
    if key in told:
        named = told[key]
        text = named.get("content") if isinstance(named, dict) else named
        return None if text is None else parsed(tokenizer).token_to_id(str(text))
    value = config.get(f"{key}_id")
    return value if isinstance(value, int) else None


def _template(folder: Path) -> str | None:
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    found = _told(folder).get("chat_template")
    return found if isinstance(found, str) else None


def _classes(tokenizer: str, size: int, where: Path) -> int:
    """The classes that are tokens: a model's vocabulary may be padded beyond them.

    Raises:
        RejectedError: the tokenizer has more tokens than the model.
    """
    tokens = 1 + max(parsed(tokenizer).get_vocab(with_added_tokens=True).values(), default=-1)
    if tokens > size or not tokens:
        raise RejectedError(
            f"The tokenizer of {where} gives ids up to {tokens - 1}, and the model has {size} token embeddings: they "
            "belong to different models. Give the model with its own tokenizer."
        )
    return tokens


def load_causal(found: CausalFiles) -> nn.Module:
    """The model, float32, in eval mode.

    Raises:
        RejectedError: its weights are incomplete or cannot be read.
    """
    if found.file is None:
        whole = load_folder(found.folder, "AutoModelForCausalLM")
        return whole if found.adapter is None else merged(whole, found.adapter)
    transformers = library("transformers", WHO)
    library("accelerate", WHO)
    try:
        with silence(transformers.utils.logging):
            net: nn.Module = transformers.AutoModelForCausalLM.from_pretrained(
                found.folder,
                gguf_file=found.file,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
            )
    except Exception as error:  # as above
        raise RejectedError(
            f"{found.folder / found.file} cannot be loaded: {' '.join(str(error).split())[:300]} Download it again."
        ) from error
    return net.eval()


def refuse_foreign(ours: Vocabulary, theirs: Vocabulary, who: str) -> None:
    """Refuse a second model that does not share the teacher's tokens.

    A vocabulary that is padded to another length is the same: the classes behind the tokens are never right.

    Args:
        ours: the teacher's.
        theirs: of the other model.
        who: how to call it.

    Raises:
        RejectedError: another tokenizer, or another token at the start or the end.
    """
    mine, other = (json.loads(one.tokenizer_json)["model"] for one in (ours, theirs))
    if mine != other or ours.tokenizer.get_vocab() != theirs.tokenizer.get_vocab():
        raise RejectedError(
            f"{who} has another tokenizer than the teacher, so a token's number means something else in each. Give a "
            "model of the teacher's family, or cut one out of the teacher: `[student.derive] layers = 4`."
        )
    for which, a, b in (("start", ours.start, theirs.start), ("end", ours.end, theirs.end)):
        if a != b:
            raise RejectedError(
                f"{who} has the {which} token {theirs.name(b)!r} ({b}), the teacher {ours.name(a)!r} ({a}): texts "
                "would never end, or begin in another way. Set the same one in both tokenizer_config.json."
            )
