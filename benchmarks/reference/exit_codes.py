"""exit-codes.md: what the exit status of a command says."""

from __future__ import annotations

import inspect

from benchmarks.examples.markdown import words

from stillhouse import cli, errors

SIGNALS = {
    cli.HUNG_UP: "Its terminal was closed (SIGHUP). What was finished is kept, and the same command resumes.",
    cli.INTERRUPTED: "Stopped by Ctrl-C (SIGINT). What was finished is kept, and the same command resumes.",
    cli.TERMINATED: "Stopped by SIGTERM. What was finished is kept, and the same command resumes.",
    cli.PIPE_CLOSED: "The reader of standard output closed it (SIGPIPE).",
}


def exit_codes_page(made: str) -> str:
    """The page."""
    known = [kind for kind in vars(errors).values() if inspect.isclass(kind)]
    ours = [kind for kind in known if issubclass(kind, errors.StillhouseError)]
    rows = [["0", "", "Done."]]
    for kind in sorted(ours, key=lambda k: k.exit_code):
        name = kind.__name__
        about = "Failed: training diverged, the disk is full, or a defect of Stillhouse."
        rows.append([str(kind.exit_code), f"`{name}`", about if kind.exit_code == 1 else inspect.getdoc(kind) or ""])
    rows += [[str(code), "", text] for code, text in SIGNALS.items()]
    return (
        f"# Exit codes\n\n{made}\n\nEach error is one paragraph on standard error that says what is wrong, where, why, "
        "and the line that fixes it. In Python the same errors are exceptions of `stillhouse.errors`.\n\n"
        + words(["code", "exception", "what it says"], rows)
        + "\n"
    )
