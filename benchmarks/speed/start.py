"""How long the user waits before anything happens."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.speed.timing import Row, interleaved, timed


def starts(quick: bool) -> list[Row]:
    """``import stillhouse`` beyond bare Python, and ``stillhouse --help`` as a whole."""
    program = str(Path(sys.executable).with_name("stillhouse"))
    cases = {
        "bare": [sys.executable, "-c", "pass"],
        "import": [sys.executable, "-c", "import stillhouse"],
        "help": [program, "--help"],
    }
    found = interleaved({name: timed(partial(run, words)) for name, words in cases.items()}, 3 if quick else 15)
    middle = {name: statistics.median(seconds) for name, seconds in found.items()}
    bare = f"bare Python starts in {middle['bare']:.3f} s"
    return [
        Row(
            "import stillhouse, start of Python included",
            "<= 0.15 s",
            middle["import"],
            middle["import"] <= 0.15,
            " s",
            note=bare,
        ),
        Row("stillhouse --help", "<= 0.5 s", middle["help"], middle["help"] <= 0.5, " s", note=bare),
    ]


def run(words: Sequence[str]) -> None:
    """One process to its end."""
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
