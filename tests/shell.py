"""The command line in this process, and in one of its own."""

import contextlib
import io
import shlex
import subprocess
import sys
from typing import Any

from stillhouse.cli import main

BUDGET = (
    "--data.name digits --data.labels 100 --teacher.name mlp_large --teacher.labels all --teacher.training.steps 60 "
    "--training.seeds 0 1 --evaluation.resamples 200 --accept-teacher"
)
QUICK = f"{BUDGET} --training.steps 40"


def run(command: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(shlex.split(command))
    return code, out.getvalue(), err.getvalue()


def process(command: str, **options: Any) -> subprocess.Popen[str]:
    """A command as a process of its own."""
    arguments = [sys.executable, "-m", "stillhouse", *shlex.split(command)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
