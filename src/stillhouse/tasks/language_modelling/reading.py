"""From [data] and [teacher] to the windows of a run, and to its teacher."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from stillhouse.data import Prepared
from stillhouse.data.corpus.prepare import Corpus, prepare_corpus
from stillhouse.data.encoders.vocabulary import Vocabulary
from stillhouse.errors import UsageError
from stillhouse.recipe import Recipe, TeacherSection
from stillhouse.task import OutputSpec
from stillhouse.teachers.causal.loading import CausalFiles, load_causal, open_causal, open_words
from stillhouse.teachers.causal.teacher import CausalTeacher, Tokens, check_half

CONTEXT = 512
HALF_WINDOWS = 1  # on which half precision is compared with the exact model


def files_of(section: TeacherSection) -> CausalFiles:
    """The teacher's files.

    Raises:
        UsageError: none is named.
    """
    if section.hub is None and section.gguf is None:
        raise UsageError(
            'A language model needs a teacher that is ready: `[teacher] hub = "folder"` of a causal model, or '
            '`[teacher] gguf = "model.gguf"`.'
        )
    return open_causal(section.hub, section.gguf, section.revision)


def words_of(recipe: Recipe) -> tuple[Vocabulary, int | None]:
    """The teacher's tokens, and the longest text that it reads, where it says so.

    Raises:
        UsageError: a service is asked, and nobody says by which tokenizer.
    """
    if recipe.teacher.endpoint.url is None:
        files = files_of(recipe.teacher)
        return files.vocabulary, files.positions
    if recipe.data.tokenizer is None:
        raise UsageError(
            "[teacher.endpoint] is asked about tokens by their numbers, so its tokenizer is needed here. Write `[data] "
            'tokenizer = "tokenizer.json"`, of the model that it serves.'
        )
    return open_words(recipe.data.tokenizer), None


def prepared(recipe: Recipe) -> Prepared:
    """The windows of a run.

    Raises:
        UsageError: the recipe names no corpus, or two; or windows are longer than the teacher's.
        RejectedError: the texts cannot be used.
    """
    data = recipe.data
    if (data.corpus is None) == (data.chat is None):
        raise UsageError(
            'A language model is distilled on texts: `[data] corpus = "folder"`, or on dialogues: `[data] chat = '
            '"talks.jsonl"`. Name one of them.'
        )
    (words, positions), context = words_of(recipe), data.context or CONTEXT
    if positions is not None and context > positions:
        raise UsageError(
            f"[data] context = {context}, and the teacher reads {positions} tokens at most. Write `context = "
            f"{positions}` or less."
        )
    loss_on = data.loss_on if data.chat is not None else "all"
    wanted = Corpus(
        data.corpus, data.chat, data.column, data.group, context, data.packing, loss_on,
        data.valid, data.test, data.seed, data.rows,
    )  # fmt: skip
    return prepare_corpus(wanted, words)


@lru_cache(maxsize=1)
def _net(files: CausalFiles, fingerprint: str) -> Tokens:
    return Tokens(load_causal(files), files.vocabulary.size)


def net_of(files: CausalFiles) -> Tokens:
    """The teacher's net, float32; loaded once in a process."""
    return _net(files, files.fingerprint())


def ready_teacher(section: TeacherSection, task: Any, spec: OutputSpec, data: Prepared, device: Any) -> CausalTeacher:
    """The teacher.

    Raises:
        RejectedError: its weights cannot be read, or half precision changes its answers.
    """
    files = files_of(section)
    net, half = net_of(files), section.dtype == "bfloat16"
    made = CausalTeacher(net, task, spec, files.fingerprint(), half=half, device=device)
    if half:
        check_half(lambda inputs: net.to(torch.float32)(inputs), made, data.train.inputs[:HALF_WINDOWS])
    return made


def start_of(path: Path) -> CausalFiles:
    """The files of a student's own causal folder."""
    return open_causal(str(path), None)
