"""The command line: a command becomes a call of ``pipeline``, an error becomes an exit code."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.exceptions import UnknownOptionError, UnusedCliTokensError

from stillhouse import command, writing
from stillhouse.cli import commands
from stillhouse.cli.shared import LOOK, OPTIONS, REFERENCE, RUN, SHIP
from stillhouse.cli.stores import store
from stillhouse.cli.streams import drop_output, prepare, tell
from stillhouse.errors import StillhouseError, UsageError, nearest
from stillhouse.memory import ran_out

DEBUG = "STILLHOUSE_DEBUG"
# 128 + SIGINT, SIGTERM, SIGPIPE, SIGHUP (Windows lacks the last two)
INTERRUPTED, TERMINATED, PIPE_CLOSED, HUNG_UP = 130, 143, 141, 129
HELP = "See `stillhouse --help`, and `--help` of the command."
STOPPED = "stopped: finished work is kept, and the same command resumes."


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
# The flags of these commands come from the recipe, whose models take a quarter of a second to load: only when called.
RUNNING = {
    "distill": "Distil: teacher, store, students, controls, judgement and report; the same command again resumes.",
    "tune": "Hold a tournament of students, methods and budgets on validation rows, and run its winner.",
    "plan": "Say what a recipe will cost before it starts: calls, bytes, fits, seconds.",
    "label": "Only ask the teacher, and keep its outputs in the run folder's store.",
    "make": "Only make the rows of [[made]]: raw rows, and pictures to look at.",
    "curve": "Run a recipe at several numbers of labels, calls, layers or rows, and draw what distilling gains.",
}
READING = {
    LOOK: (commands.evaluate, commands.report, commands.compare, commands.check),
    SHIP: (commands.predict, commands.export, commands.draft),
    REFERENCE: (commands.methods, commands.makers, commands.layers),
}
app.command(commands.demo, group=RUN, sort_key=0)
for position, (name, text) in enumerate(RUNNING.items()):
    app.command(f"stillhouse.cli.running:{name}", name=name, help=text, group=RUN, sort_key=1 + position)
for group, found in READING.items():
    for position, reading in enumerate(found):
        app.command(reading, group=group, sort_key=position)
app.command(store)
app.command(commands.embed, show=False)  # an old command, which names the new one


app.meta.group_parameters = OPTIONS
app.meta.suppress_keyboard_interrupt = False  # not inherited


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(negative="", help=f"Show tracebacks; also {DEBUG}=1.")] = False,
) -> None:
    """Set the options of all commands, then run one."""
    if debug:
        os.environ[DEBUG] = "1"
    app(_with_values(tokens))


def _with_values(tokens: Sequence[str]) -> list[str]:
    """The words, where a switch of the recipe takes the true or false behind it, as other keys take their values."""
    given = list(tokens)
    if not {"true", "false"} & {word.lower() for word in given}:
        return given
    from stillhouse.cli.flags import SWITCHES  # the recipe's models take a quarter of a second to load

    for place in range(len(given) - 1, 0, -1):
        if given[place].lower() in ("true", "false") and given[place - 1].replace("_", "-") in SWITCHES:
            given[place - 1 : place + 1] = [f"{given[place - 1]}={given[place].lower()}"]
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (docs/reference/exit-codes.md).

    Args:
        arguments: after the program's name; default: those of this process.
    """
    # Torch reads this when it makes its threads, later than here. Threads that spin are a little faster on an idle
    # machine, but tens of times slower beside other work: 718 against 17 ms for a small net's step on two cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    prepare()
    given = list(sys.argv[1:] if arguments is None else arguments)
    hang_up = getattr(signal, "SIGHUP", signal.SIGTERM)
    ending = {signal.SIGTERM} | ({hang_up} if signal.getsignal(hang_up) is not signal.SIG_IGN else set())  # not: nohup
    before = {number: signal.signal(number, _terminate) for number in ending}
    try:
        with command.reproduced_by(shlex.join(["stillhouse", *given])), warnings.catch_warnings():
            warnings.showwarning = _warn
            return _run(given)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """Write a warning in one line, without the place in the code."""
    tell(f"warning: {message}")


def _run(arguments: list[str]) -> int:
    """Run the command; every end becomes an exit code, every error a line on standard error."""
    try:
        app.meta(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return _fail(STOPPED, INTERRUPTED)
    except SystemExit as stop:
        if stop.code not in (TERMINATED, HUNG_UP):
            raise
        return _fail(STOPPED, int(stop.code))
    except UnknownOptionError as error:
        return _fail(_unknown(error), UsageError.exit_code)
    except UnusedCliTokensError as error:
        said = f"No argument and no flag takes {shlex.join(error.unused_tokens or [])}."
        return _fail(f"{said} {HELP}", UsageError.exit_code)
    except CycloptsError as error:
        said = str(error).replace(", ...", " and others").rstrip(".")  # the library shortens a list of commands
        return _fail(f"{said}. See `stillhouse --help`.", UsageError.exit_code)
    except StillhouseError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        return _fail(*_of_system(error))
    except Exception as error:  # a defect of ours: one line, with the way to see more
        return _fail(_unexpected(error), 1)
    return 0


def _of_system(error: OSError) -> tuple[str, int]:
    """What is said of an error of the operating system that nobody has explained, and its exit code."""
    if error.filename and error.errno in writing.FULL | {errno.EROFS}:  # without a name it is standard output
        told = writing.cannot_write(Path(error.filename), error)
        return str(told), told.exit_code
    where = f": {error.filename}" if error.filename else ""
    if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        return f"{error.strerror}{where}. Name another file.", UsageError.exit_code
    return f"{error.strerror or error}{where}. Fix that and run the same command again: it resumes.", 1


def _unexpected(error: Exception) -> str:
    """An error that nobody has raised on purpose; only the end of the memory has a cure of its own."""
    if ran_out(error):
        return (
            "Memory ran out, of the machine or the device. Finished work is kept. Lower `[training] batch_size` or "
            "`[training] workers`, or write `[data] on_disk = true`, and choose another [output] dir."
        )
    return f"unexpected {type(error).__name__}: {error}. Run again with --debug to see where."


def _unknown(error: UnknownOptionError) -> str:
    """An unknown flag, with the nearest that exists; a name of a whole table is no flag."""
    typed = (error.token.keyword or error.token.value).partition("=")[0]
    flags = [name for one in error.argument_collection if one.show and not one.children for name in one.names]
    close = nearest(typed, flags)
    return f"Unknown option: {typed}.{close if 'Did you mean' in close else ''} {HELP}"


def _terminate(number: int, _frame: FrameType | None) -> None:
    """End on SIGTERM or SIGHUP through every ``finally``; while the engine trains, it handles the signal itself."""
    raise SystemExit(128 + number)


def _fail(message: str, code: int) -> int:
    if os.environ.get(DEBUG):
        with suppress(OSError, ValueError):
            traceback.print_exc()
    tell(f"error: {message}")  # always one paragraph
    drop_output()
    return code
