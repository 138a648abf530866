"""Opens a file in a separate process first, since a file may crash its reader or never end."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from stillhouse.errors import RejectedError

PATIENCE = 120  # seconds of computing for the child; a file of gigabytes takes some
WAIT = 1800.0  # seconds by the clock: on a busy machine the child computes little of the time


def ask_child(program: Path, path: Path, *arguments: str, patience: int = PATIENCE) -> dict[str, Any]:
    """What a program of ours says about a file: its last line, JSON.

    Args:
        program: a Python file that does not import this package, which would take seconds.
        path: of the file to look at.
        arguments: for the program, before the path.
        patience: seconds of computing it may take.

    Raises:
        RejectedError: the child was killed by the file, did not come to an end, or refuses it (``{"refused": why}``).
    """
    # -P: the program's folder holds a file onnx.py, which must not stand in for the package.
    command = [sys.executable, "-P", str(program), *arguments, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:  # noqa: S603
        confine(child.pid, patience)
        try:
            answer, complaint = child.communicate(timeout=WAIT)
        except subprocess.TimeoutExpired:
            child.kill()
            raise endless(path, f"{WAIT:g} seconds") from None
    if child.returncode == -signal.SIGXCPU:
        raise endless(path, f"{patience} seconds of computing")
    lines = answer.decode(errors="replace").strip().splitlines()
    if child.returncode or not lines:
        said = complaint.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise RejectedError(
            f"{path} cannot be a teacher: the process that opened it died with status {child.returncode} "
            f"({said[-1][:300]}). The file is damaged, or made to do harm; save or export the model again."
        )
    found: dict[str, Any] = json.loads(lines[-1])
    if "refused" in found:
        raise RejectedError(f"{path} cannot be a teacher: {found['refused']}. Save or export the model again, whole.")
    return found


def endless(path: Path, limit: str) -> RejectedError:
    """The error for a file whose reader does not end."""
    return RejectedError(
        f"{path} cannot be a teacher: opening it, or asking it about two rows, took longer than {limit} and was "
        "stopped. It may never end; save or export the model again."
    )


def confine(process: int, seconds: int) -> None:
    """Limit a process to some seconds of computing and to the memory of the machine, where the system can do so.

    A limit is never raised: where a cluster has set a smaller one, that one stays.
    """
    if not hasattr(resource, "prlimit"):
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    wanted = {
        resource.RLIMIT_AS: (memory, memory),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (seconds, seconds + 1),
    }
    with contextlib.suppress(ProcessLookupError):  # it is through already
        for kind, limits in wanted.items():
            soft, hard = (_smaller(*pair) for pair in zip(limits, resource.prlimit(process, kind), strict=True))
            resource.prlimit(process, kind, (_smaller(soft, hard), hard))


def _smaller(one: int, other: int) -> int:
    """The smaller of two limits; one that is infinite is a negative number."""
    return min((limit for limit in (one, other) if limit != resource.RLIM_INFINITY), default=resource.RLIM_INFINITY)
