"""Judge the peers' answers beside our own, and write docs/peers.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from benchmarks.examples.example import ROOT
from benchmarks.examples.markdown import bullets, table
from benchmarks.examples.running import run_folder
from benchmarks.peers.ours import FACTS as OURS
from benchmarks.peers.ours import measured
from benchmarks.peers.peers import PEERS, Peer
from benchmarks.peers.runners.common import FACTS, ROWS, Array, World
from benchmarks.peers.told import ABOUT, NOT_RUN, TOLD
from benchmarks.peers.world import HOME, WORLDS

from stillhouse.reporting.folder import read_json
from stillhouse.reporting.wording import ABSENT, count

PAGE = ROOT / "docs" / "peers.md"
HEADS = ["", "Accuracy", "Log-loss", "Bytes", "ms, 1 row", f"ms a row, of {ROWS}", "CPU-seconds of a fit", "Seeds"]
LEAST = 1e-9  # a probability counts as at least this much in the log-loss
MARGIN = 0.005  # of accuracy: smaller gaps are called none
OWN = "Stillhouse: "
ARMS = {
    "labels_only": "{} on the labels",
    "self_trained": "{} self-trained, no teacher",
    "simple": "simple model on the labels",
    "simple_distilled": "simple model on the teacher's answers",
    "distilled": "**{} distilled**",
}


class Line(NamedTuple):
    """One row of a table."""

    name: str
    accuracy: float
    log_loss: float
    facts: dict[str, Any]
    seeds: int


def write() -> Path:
    """Write the page from what has been run so far."""
    worlds = [name for name in WORLDS if (HOME / name / OURS).exists()]
    parts = [ABOUT, *(section(name) for name in worlds)]
    missing = [*NOT_RUN.items()]
    missing += [
        (title, "not run yet.")
        for name, peer in PEERS.items()
        for entry, title in peer.entries.items()
        if entry not in facts_of(name).get("entries", {})
    ]
    parts += ["## Not run", bullets(f"{name}: {why}" for name, why in missing)] if missing else []
    parts += ["## Versions and hours", bullets(hours(worlds))]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return PAGE


def section(world: str) -> str:
    """The table of a world and what it says."""
    told = TOLD[world]
    ours, theirs = our_lines(world), peer_lines(world)
    lines = [Line("The teacher", *teacher(world), {}, 1), *ours, *theirs]
    return "\n\n".join(
        [
            f"## {told.title}",
            told.about.strip(),
            table(HEADS, map(cells, lines)),
            verdict(ours, theirs),
            told.why.strip(),
        ]
    )


def our_lines(world: str) -> list[Line]:
    """The arms of our run."""
    found = []
    for arm, facts in measured(world).items():
        name = ARMS.get(arm, arm).format(f"`{facts['net']}`")
        name += f" ({facts['model']})" if facts["model"] else ""
        found.append(Line(OWN + name, facts["accuracy"], facts["log_loss"], facts, facts["seeds"]))
    return found


def peer_lines(world: str) -> list[Line]:
    """The entries of the peers of a world that have run."""
    truth = targets(world)
    return [
        Line(title, *judged(HOME / "answers" / name / f"{entry}.npz", truth), facts["entries"][entry], seeds)
        for name, peer, facts in finished(world)
        for entry, title in peer.entries.items()
        if entry in facts["entries"]
        for seeds in [len(facts["entries"][entry]["cpu_seconds"])]
    ]


def finished(world: str) -> list[tuple[str, Peer, dict[str, Any]]]:
    """Name, peer and facts of those of a world that have run."""
    found = [(name, peer, facts_of(name)) for name, peer in PEERS.items() if peer.world == world]
    return [each for each in found if each[2]]


def facts_of(name: str) -> dict[str, Any]:
    """What a peer noted of its run; empty where there is none."""
    return read_json(HOME / "answers" / name / FACTS)


def judged(path: Path, truth: Array) -> tuple[float, float]:
    """Accuracy and mean log-loss of a peer's answers, means over its seeds."""
    with np.load(path) as file:
        answers = np.clip(file["answers"], LEAST, None)
    answers = answers / answers.sum(-1, keepdims=True)
    right = (answers.argmax(-1) == truth).mean()
    return float(right), float(-np.log(answers[:, np.arange(len(truth)), truth]).mean())


def targets(world: str) -> Array:
    """The labels of the test rows, which no peer saw."""
    with np.load(run_folder(WORLDS[world]) / "predictions.npz") as file:
        order = {int(row): i for i, row in enumerate(file["rows"])}
        known = file["targets"].astype(int)
    found: Array = known[[order[int(row)] for row in World(HOME / world).test]]
    return found


def teacher(world: str) -> tuple[float, float]:
    """Accuracy and log-loss of the teacher."""
    measures = read_json(run_folder(WORLDS[world]) / "scores.json")["models"]["teacher"]["measures"]
    return measures["accuracy"]["value"], measures["nll"]["value"]


def cells(line: Line) -> list[str]:
    """A row as texts."""
    spent = line.facts.get("cpu_seconds")
    seconds = ABSENT if spent is None else f"{np.mean(spent):.2g}" if np.mean(spent) < 10 else f"{np.mean(spent):.0f}"
    times = [line.facts.get("ms_1"), line.facts.get(f"ms_{ROWS}")]
    shown = [ABSENT if ms is None else f"{ms / rows:.2g}" for ms, rows in zip(times, (1, ROWS), strict=True)]
    size = count(line.facts["bytes"]) if "bytes" in line.facts else ABSENT
    return [line.name, f"{line.accuracy:.1%}", f"{line.log_loss:.3f}", size, *shown, seconds, str(line.seeds)]


def verdict(ours: list[Line], theirs: list[Line]) -> str:
    """Which of ours and of theirs is most accurate, and by how much."""
    if not theirs:
        return "No peer has run yet."
    (student,) = [line for line in ours if "distilled**" in line.name]
    best = max(theirs, key=lambda line: line.accuracy)
    gap = student.accuracy - best.accuracy
    told = (
        f"The most accurate peer is {best.name} ({best.accuracy:.1%}); our distilled student has {student.accuracy:.1%}"
    )
    if abs(gap) < MARGIN:
        return f"{told}: no gap to speak of."
    ahead = [line.name for line in theirs if line.accuracy > student.accuracy + MARGIN]
    if gap > 0:
        return f"{told}: we lead by {100 * gap:.1f} points."
    return f"**We lose**, by {-100 * gap:.1f} points. {told}. Ahead of it: {', '.join(ahead)}."


def hours(worlds: Iterable[str]) -> list[str]:
    """Who ran when, with what."""
    found = []
    for world in worlds:
        facts = read_json(run_folder(WORLDS[world]) / "run.json")
        versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if name != "platform")
        found.append(f"{WORLDS[world]}, our run: {facts['started'][:16].replace('T', ' ')} UTC; {versions}")
        for name, _, noted in finished(world):
            versions = ", ".join(f"{package} {version}" for package, version in noted["versions"].items())
            found.append(f"{name}: {noted['started']} to {noted['ended'][-5:]} UTC; {versions}")
    return found
