"""Microseconds of one core that several students and their teacher take for a text, one net after the other."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from pathlib import Path

from torch import nn

import stillhouse
from stillhouse import tasks
from stillhouse.data import TextEncoder
from stillhouse.data.reading.files import read_text_inputs
from stillhouse.evaluation import measure_cost
from stillhouse.pipeline.teacher.build import hub_net
from stillhouse.recipe import read
from stillhouse.timing import Timed, in_turns

TASK = tasks.get("classification")

TEXTS = 64
SECONDS = 4.0  # for each net: alone, as it would serve, so that no other net's weights drive its own from the caches
PARALLEL = "TOKENIZERS_PARALLELISM"  # the tokenizer's threads, whose work the clock of this thread would not see
TEACHER, TOKENS = "teacher", "token ids"  # beside the students' names


def microseconds(recipe: Path, folders: Mapping[str, Path]) -> dict[str, dict[str, float]]:
    """Time the nets on 64 texts of the test part together (``many``) and on one of them alone (``one``).

    Each reads as much of a text as it was trained on; the token ids are those of the first student.

    Args:
        recipe: of one of the runs; it names the texts and the teacher.
        folders: finished runs by the name of their student.

    Returns:
        By student, for ``teacher``, and for ``token ids``: microseconds a text.
    """
    wanted = read(recipe)
    if wanted.data.text is None:
        raise ValueError(f"{recipe} has no texts")
    texts = read_text_inputs(wanted.data.text)[-TEXTS:]
    students = {name: stillhouse.load(folder) for name, folder in folders.items()}
    some = next(iter(students.values()))
    short = TextEncoder.from_tokenizer(some.encoder.tokenizer_json, length=wanted.data.tokens)
    reads = {name: model.encoder for name, model in students.items()} | {TEACHER: short}
    encode = some.encoder.encode
    nets: dict[str, nn.Module] = {name: model.net for name, model in students.items()}
    nets[TEACHER] = hub_net(wanted.teacher, TASK, some.classes)
    costs = {name: measure_cost(net, reads[name].encode(texts), budget_seconds=SECONDS) for name, net in nets.items()}
    found = {name: each(cost["ms_64"], cost["ms_1"]) for name, cost in costs.items()}
    os.environ[PARALLEL] = "false"
    calls = {"many": Timed(lambda: encode(texts)), "one": Timed(lambda: encode(texts[:1]))}
    taken = {name: 1e3 * statistics.median(times) for name, times in in_turns(calls, seconds=SECONDS).items()}
    return found | {TOKENS: each(taken["many"], taken["one"])}


def each(many: float, one: float) -> dict[str, float]:
    """Microseconds a text, from the milliseconds of all of them together and of one."""
    return {"many": 1e3 * many / TEXTS, "one": 1e3 * one}
