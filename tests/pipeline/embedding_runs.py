"""A small encoder, 90 texts of three kinds, and the recipes of embedders over them."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import torch

from stillhouse.recipe import Recipe, parse
from tests.teachers.hub_folders import TEXTS, bert

WORDS = sorted({word.strip(".,:").lower() for text in TEXTS for word in text.split()})
SEEDS = [0, 1]


def write_world(made: Path) -> Path:
    """A small encoder and 90 texts of three kinds, in a folder."""
    torch.set_num_threads(1)
    draw = random.Random(0)
    bert(made / "hub")
    with (made / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "topic"])
        for number in range(90):
            some = WORDS[8 * (number % 3) :][:14]
            rows.writerow([" ".join(draw.choices(some, k=draw.randint(5, 14))), "abc"[number % 3]])
    return made


def recipe(folder: Path, run: str, **over: Any) -> Recipe:
    table: dict[str, Any] = {
        "task": {"name": "embedding"},
        "data": {"text": str(folder / "texts.csv"), "target": "topic", "tokens": 20, "test": 0.5},
        "teacher": {"hub": str(folder / "hub")},
        "student": {"name": "static_embedding", "settings": {"width": 8}},
        "training": {"steps": 30, "batch_size": 16, "seeds": SEEDS, "checkpoint_every": 10, "log_every": 10},
        "evaluation": {"resamples": 200},
        "output": {"dir": str(folder / run)},
    }
    return parse({key: {**table.get(key, {}), **over.get(key, {})} for key in {**table, **over}})


def derived_recipe(folder: Path, run: str) -> Recipe:
    """A student cut out of its teacher."""
    made = recipe(folder, run)
    student = made.student.model_copy(
        update={"name": None, "settings": {}, "derive": made.student.derive.model_copy(update={"layers": 1})}
    )
    return made.model_copy(update={"student": student})
