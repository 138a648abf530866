"""Microseconds a text of several students and their teacher, measured in one sitting, one thread each.

What counts is the time that a core spends on it, the least of many repeats: other work on the machine can only add to
the time on the wall, and what is asked is what the net takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import stillhouse
from stillhouse.data.texts import read_text_inputs
from stillhouse.pipeline.appointing import hub_net
from stillhouse.recipe import read

TEXTS = 64
LEAST, MOST, SECONDS = 7, 200, 6.0  # repeats, and the time they may take together
TEACHER, TOKENS = "teacher", "token ids"  # beside the students' names


def microseconds(recipe: Path, folders: Mapping[str, Path]) -> dict[str, dict[str, float]]:
    """Time the nets on 64 texts of the test part together (``many``) and on one of them alone (``one``).

    Args:
        recipe: of one of the runs; it names the texts and the teacher.
        folders: finished runs by the name of their student.

    Returns:
        By student, for ``teacher``, and for ``token ids``, which all nets need: microseconds a text.
    """
    wanted = read(recipe)
    if wanted.data.text is None:
        raise ValueError(f"{recipe} has no texts")
    texts = read_text_inputs(wanted.data.text)[-TEXTS:]
    students = {name: stillhouse.load(folder) for name, folder in folders.items()}
    some = next(iter(students.values()))
    nets: dict[str, nn.Module] = {name: model.net for name, model in students.items()}
    nets[TEACHER] = hub_net(wanted.teacher, some.classes).eval()
    ids = some.encoder.encode(texts)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            found = {name: pair(net, ids) for name, net in nets.items()}
    finally:
        torch.set_num_threads(threads)
    return found | {TOKENS: pair(some.encoder.encode, texts)}


def pair(work: Callable[[Any], object], rows: Any) -> dict[str, float]:
    """Microseconds a row, of all of them together and of one."""
    return {"many": least(lambda: work(rows)) / len(rows), "one": least(lambda: work(rows[:1]))}


def least(work: Callable[[], object]) -> float:
    """Microseconds of a core that the cheapest repeat took."""
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < LEAST or (len(times) < MOST and time.perf_counter() - begun < SECONDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1e6 * min(times)
