"""Run the peers and write docs/peers.md; see the package's own words."""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.peers import environment
from benchmarks.peers.ours import measured
from benchmarks.peers.page import write
from benchmarks.peers.peers import PEERS
from benchmarks.peers.runners.common import FACTS
from benchmarks.peers.world import HOME, written

from stillhouse.errors import StillhouseError


def main() -> int:
    """Run what was asked for, one peer after the other; a peer that fails leaves the others alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(PEERS)}; default: those that have not run")
    parser.add_argument("--page", action="store_true", help="only write the page")
    given = parser.parse_args()
    failed = []
    for name in [] if given.page else given.name or PEERS:
        peer = PEERS[name]
        out = HOME / "answers" / name
        if (out / FACTS).exists() and not given.name:
            continue
        try:
            world = written(peer.world)
            measured(peer.world)
            environment.run(peer.environment, peer.runner, world, out)
        except (StillhouseError, subprocess.CalledProcessError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed.append(name)
    print(write())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
