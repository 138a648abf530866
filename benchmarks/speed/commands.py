"""One command in a process of its own: what it says, and its seconds of the processor and its largest memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple


class Command(NamedTuple):
    """A command that ended."""

    code: int
    out: str
    err: str
    seconds: float  # of the processor, children included
    memory: float  # bytes, of the largest process


def command(arguments: Sequence[str], timeout: float | None = None) -> Command:
    """Run ``stillhouse`` with these arguments to its end.

    A shell stands between, since Linux counts the memory of the process that starts a program as the program's own.
    """
    words = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-m", "benchmarks.speed.commands", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout)
    out, _, last = done.stdout.rstrip("\n").rpartition("\n")
    return Command(done.returncode, out, done.stderr, **json.loads(last))


def main(arguments: Sequence[str]) -> int:
    """The command in this process; behind its output one line of what it took."""
    from stillhouse.cli import main as stillhouse

    code = stillhouse(list(arguments))
    used, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = sum(one.ru_utime + one.ru_stime for one in (used, children))
    print("\n" + json.dumps({"seconds": seconds, "memory": 1024 * max(used.ru_maxrss, children.ru_maxrss)}))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
