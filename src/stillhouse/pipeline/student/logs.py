"""The metrics of all fits of a run, joined into its one log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillhouse import hashes
from stillhouse.engine import LOG, read_log
from stillhouse.files import write_atomic

BEFORE = "before"  # in the metrics of a round: the steps of those before it


def lines_of(log: Path) -> str:
    """The lines of a log; the steps of a round count on from the rounds before."""
    if not log.exists():
        return ""
    hashes.check(log)
    text, found = log.read_text(encoding="utf-8"), []
    if f'"{BEFORE}"' not in text:
        return text
    for line in read_log(log):
        before = line.pop(BEFORE)
        found.append(json.dumps(line | {"step": line["step"] + before}) + "\n")
    return "".join(found)


def join_logs(folder: Path, logs: Sequence[Path]) -> list[dict[str, Any]]:
    """Write all fits' metrics into the run's one file; returns what the engine warned of: arm, seed, step, message."""
    write_atomic(folder / LOG, "".join(map(lines_of, logs)).encode())
    warned = [line for path in logs for line in read_log(path) if "warning" in line]
    return [{"arm": x["arm"], "seed": x["seed"], "step": x["step"], "message": x["warning"]} for x in warned]
