"""Nets made of hub models: from token ids to logits or embeddings.

Ids are those of the data's encoder: int64 (B, L), 0 = padding, wherever the model's own padding stands.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.hub import HubModel, default_prompt, library, pooling_modes, sentence_modules

Pooling = Literal["mean", "cls"]
POOLINGS: tuple[Pooling, ...] = ("mean", "cls")
HEAD_STD = 0.02  # of a fresh head's weights, as BERT's initializer_range


def hub_classifier(
    model: HubModel, classes: Sequence[str], *, pooling: Pooling | None = None, seed: int = 0
) -> nn.Module:
    """A net from token ids (B, L) to logits (B, C) in the order of the data's classes.

    A ready classifier answers by its own head, its classes matched by name; anything else gets a fresh linear head,
    which knows nothing until it is trained (paths ``encoder``, ``pool``, ``head``).

    Args:
        model: from ``open_hub``.
        classes: names of the data's classes, in order.
        pooling: of the token states before a fresh head; given for a ready classifier, its own head is left out.
            None: the folder's own for sentence-transformers, else the mean.
        seed: of the fresh head.

    Raises:
        RejectedError: the classifier's classes are not the data's; the weights are not whole.
        UsageError: there is no such pooling.
    """
    if model.kind == "classifier" and pooling is None:
        order = label_order(model.labels or (), classes)
        return ReadyClassifier(_load(model, "AutoModelForSequenceClassification"), order, model)
    if pooling is not None and pooling not in POOLINGS:
        raise UsageError(f"There is no pooling {pooling!r} of token states. Choose one of: {', '.join(POOLINGS)}.")
    mode = pooling or (_sentence_chain(model)[0] if model.kind == "sentence" else "mean")
    return EncoderClassifier(_encoder(model), mode, len(classes), model, seed)


def hub_embedder(model: HubModel) -> nn.Module:
    """A net from token ids (B, L) to embeddings float32 (B, D), of length 1 where a sentence folder says so.

    Raises:
        RejectedError: the folder's chain has modules that are not known here, or puts a prompt before every text.
    """
    mode, normalised = _sentence_chain(model) if model.kind == "sentence" else ("mean", False)
    if prompt := default_prompt(model.folder):
        raise RejectedError(
            f"The sentence model in {model.folder} puts the prompt {prompt!r} before every text, which token ids alone "
            "cannot show. Clear `default_prompt_name` in its config_sentence_transformers.json, or give another model."
        )
    return Embedder(_encoder(model), mode, normalised, model)


def length_of(ids: Tensor) -> Tensor:
    """Tokens of each row up to its last one that is no padding: int64 (B,), for sorting rows by length.

    >>> length_of(torch.tensor([[5, 7, 0, 0], [5, 0, 7, 0], [0, 0, 0, 0]])).tolist()
    [2, 3, 0]
    """
    places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
    return (places * (ids != 0)).amax(1)


def label_order(labels: Sequence[str], classes: Sequence[str]) -> Tensor:
    """For each of the data's classes, the position of its name among a model's: int64 (C,).

    Names count exactly, or but for the case of their letters where the others are still told apart.

    Raises:
        RejectedError: the names are not the same; names both lists.
    """
    for form in (str, str.casefold):
        mine, theirs = [form(c) for c in classes], [form(c) for c in labels]
        if sorted(mine) == sorted(theirs) and len(set(theirs)) == len(theirs):
            return torch.tensor([theirs.index(name) for name in mine])
    named = ", ".join(map(repr, labels)) or "not named"
    generic = " Names such as LABEL_0 say nothing of their order." if all("LABEL_" in name for name in labels) else ""
    raise RejectedError(
        f"The classifier's classes are {named}; the data's are {', '.join(map(repr, classes))}."
        f"{generic} Write the data's names, in the order of the model's logits, as `id2label` into its config.json, or "
        "train a fresh head on it by `[teacher] tune`."
    )


class TokenNet(nn.Module):
    """What all nets on a hub model share: ids as the model wants them, and no work on padding.

    ``trim`` cuts the columns that are padding in the whole batch before the encoder sees them. That changes nothing,
    since they are masked, and saves most of the work where texts are short. Turn it off where states of tokens are
    tapped and stored: their shape would follow the batch.
    """

    def __init__(self, encoder: nn.Module, model: HubModel) -> None:
        super().__init__()
        self.vocabulary, self.pad, self.trim = model.vocabulary, model.pad, True
        self.longest = _longest(encoder)

    def tokens(self, ids: Tensor) -> dict[str, Tensor]:
        """Keyword arguments for the encoder: ``input_ids`` and ``attention_mask``, int64 (B, L).

        Raises:
            RejectedError: ids beyond the vocabulary, or more tokens than the model has positions for.
        """
        if not torch.compiler.is_compiling():  # sizes that follow the values cannot be exported
            if self.trim:
                ids = ids[:, : max(int(length_of(ids).max()) if len(ids) else 1, 1)]
            self.refuse(ids)
        mask = ids != 0
        if self.pad != 0:
            # The data's encoder gives 0 to padding and the id that padding had to the token that was 0.
            ids = torch.where(mask, torch.where(ids == self.pad, 0, ids), self.pad)
        return {"input_ids": ids, "attention_mask": mask.long()}

    def refuse(self, ids: Tensor) -> None:
        """Refuse ids that are not of this model's tokenizer."""
        largest = int(ids.max()) if ids.numel() else 0
        if largest >= self.vocabulary:
            raise RejectedError(
                f"A text has the token id {largest}, but the model knows {self.vocabulary} tokens: the texts were cut "
                "by another tokenizer. Leave out `[data] tokenizer`, so that the model's own is used."
            )
        if self.longest is not None and ids.shape[1] > self.longest:
            raise RejectedError(
                f"A text has {ids.shape[1]} tokens, the model can read {self.longest}. Set `[data] tokens` to "
                f"{self.longest} or fewer."
            )


class ReadyClassifier(TokenNet):
    """A classifier with its own head; its logits in the order of the data's classes."""

    order: Tensor

    def __init__(self, model: nn.Module, order: Tensor, found: HubModel) -> None:
        super().__init__(model, found)
        self.model = model
        self.register_buffer("order", order)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, C) of token ids (B, L)."""
        logits: Tensor = self.model(**self.tokens(ids)).logits
        return logits[:, self.order]


class EncoderClassifier(TokenNet):
    """An encoder, a pooling and a linear head."""

    def __init__(self, encoder: nn.Module, mode: str, classes: int, found: HubModel, seed: int) -> None:
        super().__init__(encoder, found)
        self.encoder, self.pool = encoder, Pool(mode)
        self.head = nn.Linear(_width(encoder), classes)
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.head.weight, std=HEAD_STD, generator=torch.Generator().manual_seed(seed))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, C) of token ids (B, L)."""
        tokens = self.tokens(ids)
        logits: Tensor = self.head(self.pool(self.encoder(**tokens).last_hidden_state, tokens["attention_mask"]))
        return logits


class Embedder(TokenNet):
    """An encoder and a pooling, and a length of 1 where asked."""

    def __init__(self, encoder: nn.Module, mode: str, normalised: bool, found: HubModel) -> None:
        super().__init__(encoder, found)
        self.encoder, self.pool = encoder, Pool(mode)
        self.unit = Unit() if normalised else nn.Identity()

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings (B, D) of token ids (B, L)."""
        tokens = self.tokens(ids)
        states = self.encoder(**tokens).last_hidden_state
        embeddings: Tensor = self.unit(self.pool(states, tokens["attention_mask"]))
        return embeddings


class Pool(nn.Module):
    """One vector of the states of a text's tokens: their mean, or the first one's."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def extra_repr(self) -> str:
        """The mode, so that the fingerprint of a net holds it."""
        return self.mode

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States (B, L, D) and mask (B, L) to (B, D)."""
        if self.mode == "cls":
            return states[:, 0]
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


class Unit(nn.Module):
    """Vectors of length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors (B, D), each divided by its length."""
        return nn.functional.normalize(vectors, dim=-1)


def _encoder(model: HubModel) -> Any:
    """The encoder without its pooler, which is not asked here and would be trained by nothing."""
    net: Any = _load(model, "AutoModel")
    if "add_pooling_layer" in inspect.signature(type(net).__init__).parameters:
        net.pooler = None
    return net


def _load(model: HubModel, kind: str) -> nn.Module:
    """The weights of a folder, float32, in eval mode; whole or not at all."""
    try:
        net, loaded = getattr(library("transformers"), kind).from_pretrained(
            model.folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise RejectedError(
            f"The model in {model.folder} cannot be loaded as {kind}: {str(error).splitlines()[0]} Download it again, "
            "or save it with `save_pretrained` and a release of transformers that knows it."
        ) from error
    # A pooler that was never trained is left out by its authors, and is not used here.
    missing = sorted(name for name in loaded["missing_keys"] if "pooler" not in name)
    if missing or loaded["mismatched_keys"]:
        lacks = ", ".join(missing[:3]) or str(next(iter(loaded["mismatched_keys"])))
        raise RejectedError(
            f"The weights in {model.folder} are not whole: {lacks} would be random. Save the model again with "
            "`save_pretrained`, by the class that it was trained as."
        )
    made: nn.Module = net.eval()
    return made


def _sentence_chain(model: HubModel) -> tuple[str, bool]:
    """How a sentence folder pools, and whether it normalises."""
    chain = [(module["type"].rpartition(".")[2], module["path"]) for module in sentence_modules(model.folder)]
    kinds = [kind for kind, _ in chain]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or chain[0][1] != "":
        raise RejectedError(
            f"The sentence model in {model.folder} is a chain of {', '.join(kinds)}; known here is Transformer, "
            "Pooling and perhaps Normalize, the Transformer in the folder itself. Give another model, or hand the "
            "module over from Python."
        )
    modes = pooling_modes(model.folder, chain[1][1])
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise RejectedError(
            f"The sentence model in {model.folder} pools by {', '.join(modes)}; known here is one of: "
            f"{', '.join(POOLINGS)}. Say `pooling` for a fresh head, or give another model."
        )
    return modes[0], "Normalize" in kinds


def _width(encoder: Any) -> int:
    return int(encoder.config.hidden_size)


def _longest(encoder: Any) -> int | None:
    """Tokens at most, by the model's table of positions; None where positions are relative or rotary."""
    table = next((m for name, m in encoder.named_modules() if name.endswith("position_embeddings")), None)
    if not isinstance(table, nn.Embedding):
        return None
    # RoBERTa counts positions from the one after its padding.
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
