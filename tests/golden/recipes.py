"""Three recipes of a few seconds and the files they read, all of them written here and the same each time."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

TOPICS = {
    "cellar": "barley malt copper still cask oak spirit yeast mash angel share",
    "garden": "rose soil spade seed bloom hedge worm prune leaf bee compost",
    "harbour": "boat tide rope sail anchor gull quay net salt mast crew",
}
PLAIN = "the a of and in on was with near old some under"
SITES = ("north", "east", "south", "west")

IMAGE: dict[str, Any] = {
    "data": {"name": "digits", "labels": 60},
    "views": {"policy": "shift", "count": 2, "strength": 1},
    "teacher": {
        "name": "cnn_tiny",
        "labels": 300,
        "settings": {"channels": [8, 16]},
        "training": {"steps": 60, "batch_size": 32, "lr": 1e-2},
    },
    "student": {"name": "cnn_tiny", "settings": {"channels": [4, 8]}},
    "controls": {"same_teacher": True},
    "evaluation": {"resamples": 200},
}
TABLE: dict[str, Any] = {
    "data": {"path": "table.csv", "target": "kind", "labels": 60},
    "views": {"policy": "noise", "count": 2, "strength": 0.1},
    "teacher": {"name": "extra_trees", "labels": "all", "settings": {"n_estimators": 20, "n_jobs": 1}, "folds": 3},
    "student": {"name": "mlp_tiny", "settings": {"hidden": [8]}},
    "evaluation": {"resamples": 200, "groups": ["site"]},
}
TEXT: dict[str, Any] = {
    "data": {"text": "texts.csv", "labels": 40, "tokens": 24, "vocabulary": 256},
    "views": {"policy": "words", "count": 2, "strength": 0.1},
    "teacher": {
        "name": "static_embedding",
        "labels": "all",
        "settings": {"width": 16},
        "training": {"steps": 60, "batch_size": 32, "lr": 3e-2},
    },
    "student": {"name": "transformer_tiny", "settings": {"width": 16, "layers": 1, "heads": 2, "feedforward": 32}},
    "evaluation": {"resamples": 200},
}
RECIPES = {"image": IMAGE, "table": TABLE, "text": TEXT}
TRAINING = {"steps": 60, "batch_size": 32, "lr": 1e-2, "workers": 1, "seeds": [0, 1], "log_every": 20}


def write_table(path: Path, rows: int = 400) -> None:
    """Two measurements and a site tell three kinds apart; cells of all three are missing, and some labels."""
    draw = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(("length", "weight", "site", "kind"))
        for number in range(rows):
            kind = number % 3
            site = SITES[kind] if draw.random() < 0.6 else str(draw.choice(SITES))
            cells = [f"{draw.normal(kind, 0.8):.3f}", f"{draw.normal(-kind, 1.2):.3f}", site]
            row = ["" if draw.random() < 0.08 else cell for cell in cells]
            out.writerow((*row, "" if draw.random() < 0.1 else "abc"[kind]))


def write_texts(path: Path, rows: int = 360) -> None:
    """Texts of eight plain words, two of their topic and one of any; a tenth of them carry no label."""
    draw = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(("text", "label"))
        for number in range(rows):
            topic = list(TOPICS)[number % len(TOPICS)]
            words = [*draw.choice(PLAIN.split(), 8), *draw.choice(TOPICS[topic].split(), 2)]
            words.append(draw.choice(TOPICS[str(draw.choice(list(TOPICS)))].split()))
            out.writerow((" ".join(draw.permutation(words)), "" if draw.random() < 0.1 else topic))


def write_one_class(path: Path) -> None:
    """Rows from which no classifier can be learned."""
    path.write_text("length,kind\n" + "".join(f"{number},a\n" for number in range(40)), encoding="utf-8")


def write_recipe(folder: Path, name: str, **over: Any) -> Path:
    """A recipe beside the files it reads, with tables laid over it; its run folder is ``folder/run``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "table.csv")
    write_texts(folder / "texts.csv")
    table = {**RECIPES[name], "training": TRAINING, "output": {"dir": str(folder / "run")}}
    for section, values in over.items():
        table[section] = {**table.get(section, {}), **values}
    path = folder / "recipe.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path
