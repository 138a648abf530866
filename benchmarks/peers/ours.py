"""Our side's figures on the same rows: from the judged run, its time of a row measured as the peers measure theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.examples.running import run_folder
from benchmarks.peers.runners.common import PICTURES, ROWS, Array, World, milliseconds
from benchmarks.peers.world import HOME, WORLDS

import stillhouse
from stillhouse.files import write_json
from stillhouse.reporting.folder import read_json

ARMS = ("labels_only", "self_trained", "simple", "simple_distilled", "distilled")
FACTS = "ours.json"


def measured(world: str) -> dict[str, dict[str, Any]]:
    """Figures by arm; kept in the world's folder."""
    kept = HOME / world / FACTS
    if not kept.exists():
        write_json(kept, figures(run_folder(WORLDS[world]), World(HOME / world)))
    return read_json(kept)


def figures(run: Path, world: World) -> dict[str, dict[str, Any]]:
    """Of each arm that ships: ``accuracy log_loss bytes seeds model net ms_1 ms_64``."""
    scores, found = read_json(run / "scores.json"), {}
    for arm in (arm for arm in ARMS if arm in scores["models"]):
        measures = scores["models"][arm]["measures"]
        folder = run / "student" if arm == "distilled" else run / "arms" / arm
        model = stillhouse.load(folder)
        found[arm] = {
            "accuracy": measures["accuracy"]["value"],
            "log_loss": measures["nll"]["value"],
            "bytes": (folder / "model.safetensors").stat().st_size,
            "seeds": len(scores["models"][arm].get("seeds", {})) or 1,
            "model": scores["saw"][arm].get("model"),
            "net": read_json(folder / "model.json")["net"]["name"],
            **{f"ms_{n}": milliseconds(model.predict_proba, rows(world, world.test[:n])) for n in (1, ROWS)},
        }
    return found


def rows(world: World, numbers: Array) -> Any:
    """Raw rows as ``predict_proba`` takes them."""
    if (world.folder / PICTURES).exists():
        return world.pictures[numbers]
    frame = world.frame.iloc[numbers]
    return frame["text"].tolist() if list(frame.columns) == ["text"] else frame
