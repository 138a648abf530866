"""Students of language models: cut out of the teacher, from a causal folder, or a small random net."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.data import Prepared
from stillhouse.errors import UsageError
from stillhouse.extras import library
from stillhouse.recipe import Recipe
from stillhouse.students.causal import CausalStudent, derive_causal
from stillhouse.task import Link
from stillhouse.tasks.language_modelling.reading import start_of, words_of
from stillhouse.teachers.causal.loading import load_causal, refuse_foreign
from stillhouse.teachers.hub.configs import plain_config
from stillhouse.windows import DOCUMENTS, IDS, CausalWindows

NAME = "language_modelling"
TRANSFORMER, RECURRENT = "causal_transformer", "causal_recurrent"
SIZES = {
    TRANSFORMER: {"hidden": 128, "layers": 2, "heads": 4, "feedforward": 512},
    RECURRENT: {"hidden": 128, "layers": 2, "state": 16},
}
PROBE = 8  # windows on which layers and units are scored


class CausalStudents:
    """How the students of a run are built; see ``pipeline.run.context.MakesStudents``.

    Args:
        make_first: builds a student, of the teacher's module.
        table: whether the student keeps some of the teacher's classes.
        derived: the settings of one that is cut out of its teacher.
        pretrained: whether it starts with weights from elsewhere.
    """

    own = False
    link: Link = "softmax"
    probe: Tensor | None = None

    def __init__(
        self, make_first: Callable[[Any], nn.Module], *, derived: dict[str, Any] | None = None, pretrained: bool
    ) -> None:
        self.make_first, self.derived, self.pretrained = make_first, derived, pretrained
        self.origin: Callable[[], tuple[nn.Module, dict[str, Any]]] | None = None
        self.card: dict[str, Any] = {}
        self.notes: list[str] = []
        self._first: nn.Module | None = None

    def make(self) -> nn.Module:
        """The student as a fit starts with it; random weights follow torch's global seed."""
        if not self.pretrained:
            return self.make_first(None)
        if self._first is None:
            self._first = self.make_first(None if self.origin is None else self.origin()[0])
        return copy.deepcopy(self._first)

    def scratch(self) -> nn.Module:
        """The same net with weights drawn again."""
        return built(self.built_card())

    def built_card(self) -> dict[str, Any]:
        """How to build it again: the configuration of its model, and whether it has a table of classes."""
        net: Any = self._first if self._first is not None else self.make()
        return card_of(net)


def card_of(net: Any) -> dict[str, Any]:
    """The card of a causal student: the configuration of its model, and how many ids its table of classes has."""
    config = {k: v for k, v in net.model.config.to_dict().items() if k not in ("quantization_config", "dtype")}
    table = getattr(net, "table", None)
    return {"of_task": NAME, "config": config, "table": None if table is None else len(table)}


def built(card: dict[str, Any]) -> nn.Module:
    """The net of a card with random weights."""
    config = plain_config(card["config"], "the student's card")
    model = library("transformers", "A language model").AutoModelForCausalLM.from_config(config)
    table = None if card["table"] is None else torch.zeros(card["table"], dtype=torch.int64)
    if table is None:
        return CausalWindows(model)
    return CausalStudent(model, table)


def students(recipe: Recipe, data: Prepared) -> CausalStudents:
    """How the students of a run are built.

    Raises:
        UsageError: the recipe names a net that reads no windows, or a setting that it does not have.
        RejectedError: the student's folder has another tokenizer.
    """
    section = recipe.student
    if section.derive.wanted:
        if section.name is not None or section.start is not None:
            raise UsageError("[student.derive] defines the whole student: remove [student] name and start.")
        if recipe.teacher.endpoint.url is not None:
            raise UsageError(
                "[student.derive] cuts a student out of its teacher, and a service shows no weights. Start from a "
                'model with the same tokenizer: `[student] start = "folder"`; or remove the table.'
            )
        settings = section.derive.model_dump()
        if settings.pop("embedding_rank", None):
            raise UsageError("[student.derive] embedding_rank: a language model keeps its embedding. Remove the line.")
        return _derived(settings, data)
    if section.start is not None:
        return _from_folder(recipe)
    return _random(section.name or TRANSFORMER, dict(section.settings), data)


def _derived(settings: dict[str, Any], data: Prepared) -> CausalStudents:
    probe = data.train.inputs[:PROBE]
    if settings.get("vocabulary"):
        encoder: Any = data.encoder
        settings["counts"] = torch.bincount(training_text(data), minlength=encoder.vocabulary.size)
        ends = [one for one in (encoder.vocabulary.start, encoder.vocabulary.end) if one is not None]
        settings["special"] = torch.tensor(ends, dtype=torch.int64)
    found = CausalStudents(lambda teacher: nn.Identity(), derived=settings, pretrained=True)

    def cut(teacher: Any) -> nn.Module:
        if teacher is None:
            raise UsageError("[student.derive] needs the teacher that the student is cut out of.")
        made = derive_causal(teacher, probe=probe, **settings)
        found.notes = list(made.notes)
        return made.module

    found.make_first = cut
    return found


def training_text(data: Prepared) -> Tensor:
    """The tokens (n,) by whose number a vocabulary is cut: of all training text, asked about or not.

    Those that are learned; of dialogues all that are read.
    """
    taken = np.concatenate([data.split.valid, data.split.test])
    rows = np.setdiff1d(np.arange(len(data.source)), taken)
    inputs = data.encoder.encode(data.source.take(rows))
    targets = torch.from_numpy(np.asarray(data.source.targets)[rows])
    spoken, learned = inputs[:, DOCUMENTS] > 0, targets >= 0
    return targets[learned] if bool((learned | ~spoken).all()) else inputs[:, IDS][spoken]


def _from_folder(recipe: Recipe) -> CausalStudents:
    path = recipe.student.start
    assert path is not None
    files, (words, _) = start_of(path), words_of(recipe)
    refuse_foreign(words, files.vocabulary, f"The student {path}")
    return CausalStudents(lambda _: CausalWindows(load_causal(files)), pretrained=True)


def _random(name: str, settings: dict[str, Any], data: Prepared) -> CausalStudents:
    known = SIZES[name]
    odd = [one for one in settings if one not in known]
    if odd:
        raise UsageError(f"[student.settings] {odd[0]}: {name} has {', '.join(known)}. Rename or remove it.")
    config = (_transformer if name == TRANSFORMER else _recurrent)({**known, **settings}, data.encoder)

    def make(teacher: Any) -> nn.Module:
        return CausalWindows(library("transformers", "A language model").AutoModelForCausalLM.from_config(config))

    return CausalStudents(make, pretrained=False)


def _transformer(sizes: dict[str, int], encoder: Any) -> Any:
    """Llama's architecture (Touvron et al. 2023, arXiv:2302.13971)."""
    if sizes["hidden"] % sizes["heads"]:
        raise UsageError(
            f"[student.settings] hidden = {sizes['hidden']} is no multiple of heads = {sizes['heads']}. Change one."
        )
    return library("transformers", "A language model").LlamaConfig(
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["feedforward"],
        max_position_embeddings=max(encoder.context, 64),
        **_words(encoder),
    )


def _recurrent(sizes: dict[str, int], encoder: Any) -> Any:
    """Mamba (Gu, Dao 2023, arXiv:2312.00752): a state of fixed size in place of a cache that grows."""
    return library("transformers", "A language model").MambaConfig(
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        state_size=sizes["state"],
        **_words(encoder),
    )


def _words(encoder: Any) -> dict[str, Any]:
    words = encoder.vocabulary
    return {
        "vocab_size": words.size,
        "bos_token_id": words.start,
        "eos_token_id": words.end,
        "pad_token_id": None,
        "tie_word_embeddings": True,
    }
