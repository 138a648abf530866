"""Loading hub models: ready classifiers, encoders with a fresh head, and sentence models."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.extras import library
from stillhouse.teachers.hub.configs import plain_config
from stillhouse.teachers.hub.models import HubModel, default_prompt, pooling_modes, sentence_modules
from stillhouse.teachers.hub.nets import Embedder, EncoderClassifier, MaskedModel, ReadyClassifier
from stillhouse.teachers.hub.sizes import check_sizes, weights_of
from stillhouse.teachers.hub.tuning import How, prepare_tuning

Pooling = Literal["mean", "cls"]
POOLINGS: tuple[Pooling, ...] = ("mean", "cls")


def hub_classifier(
    model: HubModel, classes: Sequence[str], *, pooling: Pooling | None = None, seed: int = 0
) -> nn.Module:
    """A net from token ids (B, L) to logits (B, C) in the order of the data's classes.

    A ready classifier uses its own head, with classes matched by name. Any other model gets a new linear head, which
    must be trained (paths ``encoder``, ``pool``, ``head``).

    Args:
        model: from ``open_hub``.
        classes: names of the data's classes, in order.
        pooling: of the token states before a new head, also of a ready classifier. None: the folder's own for
            sentence-transformers, else the mean.
        seed: of the new head.

    Raises:
        RejectedError: the classifier's classes are not the data's; the weights are incomplete.
        UsageError: there is no such pooling.
    """
    if model.kind == "classifier" and pooling is None:
        return own_head(model, label_order(model.labels or (), classes), ("single_label_classification", None))
    return encoder_net(model, len(classes), pooling, seed)


def own_head(model: HubModel, order: Tensor, kinds: Sequence[str | None]) -> nn.Module:
    """A hub model with the head it came with, from token ids (B, L) to its outputs in an order.

    Args:
        model: from ``open_hub``.
        order: int64 (K,), for each output of the run its position among the model's.
        kinds: the values of ``problem_type`` in its config that fit; None in it: the config sets no type.

    Raises:
        RejectedError: it has no head, one of another kind, or one of another width; its weights are incomplete.
    """
    net: Any = _load(model, "AutoModelForSequenceClassification") if model.kind == "classifier" else None
    if net is None:
        raise RejectedError(
            f"The hub model {model.folder} has no head that gives outputs. Train a new head here: "
            '`[teacher] tune = "full"` (or "probe", "lora").'
        )
    kind = net.config.problem_type
    if kind not in kinds:
        raise RejectedError(
            f"The head of the hub model {model.folder} is made for another task (problem_type = {kind}). Train a new "
            'head with `[teacher] tune = "full"` (or "probe", "lora"), or give another model.'
        )
    if net.config.num_labels != len(order):
        raise RejectedError(
            f"The head of the hub model {model.folder} gives {net.config.num_labels} numbers, the data have "
            f'{len(order)}. Train a new head with `[teacher] tune = "full"`, or give another model.'
        )
    return ReadyClassifier(net, order, model)


def fresh_head(model: HubModel, outputs: int, tune: str, seed: int) -> nn.Module:
    """An encoder with a new linear head (path ``head``), ready for training; ``tune``: see ``prepare_tuning``."""
    net = encoder_net(model, outputs, "mean" if model.kind == "classifier" else None, seed)
    return prepare_tuning(net, cast(How, tune), head="head")


def encoder_net(model: HubModel, outputs: int, pooling: Pooling | None, seed: int) -> nn.Module:
    """An encoder, a pooling and a new linear head.

    Raises:
        UsageError: there is no such pooling.
    """
    if pooling is not None and pooling not in POOLINGS:
        raise UsageError(f"There is no pooling {pooling!r} of token states. Choose one of: {', '.join(POOLINGS)}.")
    mode = pooling or (_sentence_chain(model)[0] if model.kind == "sentence" else "mean")
    return EncoderClassifier(_encoder(model), mode, outputs, model, seed)


def hub_embedder(model: HubModel) -> nn.Module:
    """A net from token ids (B, L) to embeddings float32 (B, D), of length 1 where the sentence folder normalises.

    Raises:
        RejectedError: the folder's chain has modules that are not supported, or puts a prompt before every text.
    """
    mode, normalised = _sentence_chain(model) if model.kind == "sentence" else ("mean", False)
    if prompt := default_prompt(model.folder):
        raise RejectedError(
            f"The sentence model in {model.folder} puts the prompt {prompt!r} before every text, which token ids alone "
            "cannot show. Clear `default_prompt_name` in its config_sentence_transformers.json, or give another model."
        )
    return Embedder(_encoder(model), mode, normalised, model)


def hub_masked(model: HubModel) -> MaskedModel:
    """A net from token ids (B, L) to the logits (B, L, V) of the token in each place.

    Raises:
        RejectedError: the folder holds no masked language model, or its weights are incomplete.
    """
    return MaskedModel(_load(model, "AutoModelForMaskedLM"), model)


def label_order(labels: Sequence[str], classes: Sequence[str]) -> Tensor:
    """For each of the data's classes, the position of its name among a model's: int64 (C,).

    Names are compared exactly; if that fails, without case, provided that they still differ from each other.

    Raises:
        RejectedError: the names are not the same; names both lists.
    """
    for form in (str, str.casefold):
        mine, theirs = [form(c) for c in classes], [form(c) for c in labels]
        if sorted(mine) == sorted(theirs) and len(set(theirs)) == len(theirs):
            return torch.tensor([theirs.index(name) for name in mine])
    named = ", ".join(map(repr, labels)) or "not named"
    generic = " Names such as LABEL_0 do not tell the order." if all("LABEL_" in name for name in labels) else ""
    raise RejectedError(
        f"The classifier's classes are {named}; the data's are {', '.join(map(repr, classes))}."
        f"{generic} Write the data's names, in the order of the model's logits, as `id2label` into its config.json, or "
        "train a new head with `[teacher] tune`."
    )


def _encoder(model: HubModel) -> Any:
    """The encoder without its pooler, which is not used here and would never be trained."""
    net: Any = _load(model, "AutoModel")
    if "add_pooling_layer" in inspect.signature(type(net).__init__).parameters:
        net.pooler = None
    return net


def _load(model: HubModel, kind: str) -> nn.Module:
    return load_folder(model.folder, kind)


def load_folder(folder: Path, kind: str) -> nn.Module:
    """The weights of a folder, float32, in eval mode; they must be complete.

    Args:
        folder: as ``save_pretrained`` writes it.
        kind: the class of transformers.

    Raises:
        RejectedError: they are not, or need code of the model.
    """
    transformers = library("transformers", "This model")
    file = folder / "config.json"
    config = plain_config(json.loads(file.read_text(encoding="utf-8")), file)
    check_sizes(config, weights_of(folder), getattr(transformers, kind), file)
    try:
        with silence(transformers.utils.logging):
            net, loaded = getattr(transformers, kind).from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise RejectedError(
            f"The model in {folder} cannot be loaded as {kind}: {str(error).splitlines()[0]} Download it again, "
            "or save it with `save_pretrained` and a release of transformers that supports it."
        ) from error
    # The authors leave out a pooler that was never trained, and it is not used here.
    missing = sorted(name for name in loaded["missing_keys"] if "pooler" not in name)
    if missing or loaded["mismatched_keys"]:
        lacks = ", ".join(missing[:3]) or str(next(iter(loaded["mismatched_keys"])))
        raise RejectedError(
            f"The weights in {folder} are incomplete: {lacks} would be random. Save the model again with "
            "`save_pretrained`, by the class that it was trained as."
        )
    made: nn.Module = net.eval()
    return made


@contextmanager
def silence(logging: ModuleType) -> Iterator[None]:
    """Hide progress bars and tables of a library while it loads; problems are raised as errors."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _sentence_chain(model: HubModel) -> tuple[str, bool]:
    """How a sentence folder pools, and whether it normalises."""
    chain = sentence_modules(model.folder)
    kinds = [module["type"].rpartition(".")[2] for module in chain]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or chain[0]["path"] != "":
        raise RejectedError(
            f"The sentence model in {model.folder} is a chain of {', '.join(kinds)}; supported is Transformer (in the "
            "folder itself), Pooling and, optionally, Normalize. Give another model, or pass the module from Python."
        )
    modes = pooling_modes(model.folder, chain[1]["path"])
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise RejectedError(
            f"The sentence model in {model.folder} pools by {', '.join(modes)}; supported is one of: "
            f"{', '.join(POOLINGS)}. Set `pooling` for a new head, or give another model."
        )
    return modes[0], "Normalize" in kinds
