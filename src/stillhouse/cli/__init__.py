"""The command line: no logic of its own; what is typed becomes a call, what goes wrong becomes an exit code."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from stillhouse import command
from stillhouse.cli import commands
from stillhouse.cli.shared import LOOK, OPTIONS, REFERENCE, RUN, SHIP
from stillhouse.cli.stores import store
from stillhouse.errors import StillhouseError, UsageError

DEBUG = "STILLHOUSE_DEBUG"
INTERRUPTED, TERMINATED, PIPE_CLOSED = 130, 143, 141  # 128 + SIGINT, SIGTERM, SIGPIPE (which Windows lacks)
STOPPED = "stopped: what was finished is kept, and the same command continues."


def _version() -> str:
    from importlib.metadata import version

    return version("stillhouse")


app = App(
    name="stillhouse",
    help="Knowledge distillation that proves whether it paid.",
    version=_version,
    group_parameters=OPTIONS,
    group_commands=OPTIONS,
    exit_on_error=False,
    print_error=False,
    help_on_error=False,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
# The flags of these come from the recipe, whose models take a quarter of a second to load: only when called.
RUNNING = {
    "distill": "Distil: teacher, store, students, controls, judgement and report; the same command again resumes.",
    "plan": "Say what a recipe will cost before it starts: calls, bytes, fits, seconds.",
    "label": "Only ask the teacher, and keep its outputs in the run folder's store.",
    "curve": "Run a recipe at several numbers of labels, teacher calls or layers, and draw what distilling gains.",
}
READING = {
    LOOK: (commands.evaluate, commands.report, commands.check),
    SHIP: (commands.predict, commands.export),
    REFERENCE: (commands.methods, commands.layers),
}
app.command(commands.demo, group=RUN, sort_key=0)
for position, (name, text) in enumerate(RUNNING.items()):
    app.command(f"stillhouse.cli.running:{name}", name=name, help=text, group=RUN, sort_key=1 + position)
for group, found in READING.items():
    for position, reading in enumerate(found):
        app.command(reading, group=group, sort_key=position)
app.command(store)
app.command(commands.embed, show=False)  # its old name, which says the new one


app.meta.group_parameters = OPTIONS
app.meta.suppress_keyboard_interrupt = False  # not inherited


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(negative="", help=f"Show tracebacks; also {DEBUG}=1.")] = False,
) -> None:
    """Set what holds for all commands, then run the one that was asked for."""
    if debug:
        os.environ[DEBUG] = "1"
    app(tokens)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (docs/reference/exit-codes.md).

    Args:
        arguments: What follows the program's name; default: that of this process.
    """
    # Read when torch's threads are made, which is later than here. Spinning threads are a little quicker on an idle
    # machine and, beside any other work, tens of times slower: 718 against 17 ms for a small net's step on two cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given = list(sys.argv[1:] if arguments is None else arguments)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        with command.reproduced_by(shlex.join(["stillhouse", *given])):
            return _run(given)
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(arguments: list[str]) -> int:
    """Call the command, and turn whatever ends it into an exit code and a line on standard error."""
    try:
        app.meta(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return _fail(STOPPED, INTERRUPTED)
    except SystemExit as stop:
        if stop.code != TERMINATED:
            raise
        return _fail(STOPPED, TERMINATED)
    except CycloptsError as error:
        return _fail(f"{str(error).rstrip('.')}. See `stillhouse --help`.", UsageError.exit_code)
    except StillhouseError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}. Fix that and run the same command again: it continues.", 1)
    except Exception as error:  # a defect of ours: said in one line, with the way to see more
        return _fail(f"unexpected {type(error).__name__}: {error}. Run again with --debug to see where.", 1)
    return 0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    """End on SIGTERM by the way of every ``finally``; the engine handles it itself while it trains."""
    raise SystemExit(TERMINATED)


def _fail(message: str, code: int) -> int:
    if os.environ.get(DEBUG):
        traceback.print_exc()
    sys.stderr.write(f"error: {' '.join(message.split())}\n")  # one paragraph, whoever wrote it
    return code
