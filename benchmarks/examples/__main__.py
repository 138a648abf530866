"""Run demonstrations and write their pages; see the package's own words."""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.examples.example import find, names
from benchmarks.examples.page import write
from benchmarks.examples.running import run, run_folder

from stillhouse.errors import StillhouseError


def main() -> int:
    """Run what was asked for; the exit code is that of the first error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.examples", description=__doc__)
    parser.add_argument("name", nargs="+", help=f"all, or of {', '.join(names())}")
    parser.add_argument("--pages", action="store_true", help="only write the pages, from the run folders")
    given = parser.parse_args()
    for name in names() if given.name == ["all"] else given.name:
        begun = time.monotonic()
        try:
            example = find(name)
            folder = run_folder(name) if given.pages else run(name, example)
            print(f"{write(name, example, folder)}: {time.monotonic() - begun:.0f} s", flush=True)
        except StillhouseError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
