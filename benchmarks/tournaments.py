"""Tournaments on real data within a given time, killed once and continued; the page docs/tournaments.md is from them.

    python -m benchmarks.tournaments demo thyroid     holds these tournaments, then writes the page
    python -m benchmarks.tournaments --pages          only writes the page, from the run folders

Each is ``stillhouse tune RECIPE --time SECONDS`` in a process of its own. The first call is killed (SIGKILL) as soon as
five candidates have ended: one whole group of four and a part of the next; or after half of its time. The same command
is then given again. What had ended before the kill must be there afterwards, byte for byte. ``--time`` gives all named
ones another time than their own.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import xxhash
from benchmarks.examples.example import ROOT, find, names
from benchmarks.examples.markdown import table
from benchmarks.examples.running import prepare

from stillhouse.files import write_json
from stillhouse.pipeline import Run
from stillhouse.pipeline.run.folder import STUDY
from stillhouse.pipeline.tuning.candidate import FACTS
from stillhouse.pipeline.tuning.study import TRIALS
from stillhouse.reporting.folder import RunFiles, read, read_json
from stillhouse.reporting.leaderboard import cells, heads, name_of, notes, read_leaderboard, setting_of
from stillhouse.reporting.wording import count, decimal, several

PAGE = ROOT / "docs" / "tournaments.md"
RUNS = Path("runs") / "tournaments"
RECORD = "tournament.json"
KILLED_AFTER = 5  # candidates
SHOWN = 6  # candidates of a leaderboard, the best
TOP = """
# Tournaments on real data

*Written by `python -m benchmarks.tournaments` from the run folders.*

What [the tournament](tuning.md) finds on examples of this package, and whether it keeps to its time. Each was killed
once (SIGKILL), when five candidates had ended or half of its time was over, and continued by the same command; what had
ended before was there afterwards, byte for byte. The machine had two cores that other work wanted too, so fewer
candidates were tried in the time than a quiet one would try.
"""


class Tournament(NamedTuple):
    """One that is held."""

    title: str
    recipe: str  # from the root
    seconds: int
    flags: tuple[str, ...] = ()

    def command(self, seconds: int) -> str:
        """As a user would write it."""
        return " ".join(["stillhouse tune", self.recipe, f"--time {seconds}", *self.flags])


TOURNAMENTS = {
    "demo": Tournament(
        "The demo: 200 labelled images", "src/stillhouse/demo.toml", 900, ("--data.valid 0.2", "--views.count 4")
    ),
    "newsgroups": Tournament("20 Newsgroups: 300 labelled texts", "docs/examples/newsgroups.toml", 600),
    "churn": Tournament("A table: customers who leave, 300 labels", "docs/examples/churn.toml", 300),
    "thyroid": Tournament("Thyroid patients, 500 labels", "docs/examples/thyroid.toml", 300),
}


def hold(name: str, given: int | None = None) -> None:
    """Hold a tournament in ``runs/tournaments/NAME``, killed once; one that has ended is left as it is."""
    folder, seconds = ROOT / RUNS / name, given or TOURNAMENTS[name].seconds
    told = TOURNAMENTS[name].command(seconds)
    if (folder / RECORD).exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = ["--output.dir", str(RUNS / name), "--store.dir", str(RUNS / f"{name}_store")]
    command = [sys.executable, "-m", "stillhouse", *told.split()[1:], *place]
    if name in names():
        prepare(find(name))
    load = os.getloadavg()[0]
    with (folder.parent / f"{name}.log").open("ab") as log:
        begun = time.monotonic()
        first = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        while first.poll() is None and len(ended(folder)) < KILLED_AFTER and time.monotonic() < begun + seconds / 2:
            time.sleep(0.05)
        if first.poll() is not None:
            raise SystemExit(
                f"{name} ended before it could be killed, with exit code {first.returncode}: see {log.name}"
            )
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        killed, before = time.monotonic() - begun, ended(folder)
        begun = time.monotonic()
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=True)
        took = time.monotonic() - begun
    after = ended(folder)
    if changed := [number for number, digest in before.items() if after.get(number) != digest]:
        raise SystemExit(f"{name}: candidates {changed} are not what they were before the kill")
    loads = sorted(round(x, 1) for x in (load, os.getloadavg()[0]))
    facts = {"killed_after": killed, "kept": len(before), "seconds": took, "given": seconds, "load": loads}
    write_json(folder / RECORD, facts | {"command": told})


def ended(folder: Path) -> dict[str, str]:
    """Digest of the facts of each candidate that has ended, by its number."""
    files = (folder / STUDY / TRIALS).glob(f"*/{FACTS}")
    return {path.parent.name: xxhash.xxh3_64_hexdigest(path.read_bytes()) for path in files}


def section(name: str, folder: Path) -> Iterator[str]:
    """What is told of one tournament."""
    record, told = read_json(folder / RECORD), read_leaderboard(folder)
    run = read(folder, Run(folder).task)
    yield f"## {TOURNAMENTS[name].title}"
    yield f"```sh\n{record['command']}\n```"
    after = sum("number" in entry for entry in told["candidates"])
    low, high = (decimal(value, 1) for value in record["load"])
    yield (
        f"Killed after {count(round(record['killed_after']))} s with {several(record['kept'], 'candidate')}. The "
        f"second call was given {count(record['given'])} s and took **{count(round(record['seconds']))} s**, the run "
        f"of the winner included: {within(record)}; {several(after, 'candidate')} had ended. (Processes that wanted "
        f"the two cores, by the load before and after: {low} and {high}.)"
    )
    yield leaderboard(told, run)
    yield "\n".join(f"- {note}" for note in notes(told, run.task))
    seeds = several(len(run.scores["seeds"]), "seed")
    yield f"The winner, trained again with {seeds} and judged on {count(run.scores['test_rows'])} test rows:"
    yield f"> {run.scores['sentence']}"


def within(record: dict[str, Any]) -> str:
    """Whether the second call ended in its time."""
    over = round(record["seconds"] - record["given"])
    return f"{count(over)} s too late" if over > 0 else "within its time"


def leaderboard(told: dict[str, Any], run: RunFiles) -> str:
    """The rivals and the best candidates."""
    measure = run.task.measure(told["measure"])
    numbered = [entry for entry in told["candidates"] if "number" in entry]
    shown = [e for e in told["candidates"] if "number" not in e or e in numbered[:SHOWN] or e["winner"]]
    lines = [
        [
            ("**{}**" if entry["winner"] else "{}").format(name_of(entry)) + (" \\*" if entry["front"] else ""),
            setting_of(entry),
            *cells(entry, measure, told["measure"]),
        ]
        for entry in shown
    ]
    return table(["", "Setting", *heads(measure)], lines)


def main() -> None:
    """Hold what was named, and write the page of all that have ended."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tournaments", description=__doc__)
    parser.add_argument(
        "name", nargs="*", choices=[[], *TOURNAMENTS], help="which; all that have ended are on the page"
    )
    parser.add_argument("--pages", action="store_true", help="only write the page")
    parser.add_argument("--time", type=int, help="seconds for each that is named; default: its own")
    given = parser.parse_args()
    if unknown := [name for name in given.name if name not in TOURNAMENTS]:
        parser.error(f"no tournament is called {', '.join(unknown)}; there are {', '.join(TOURNAMENTS)}")
    for name in [] if given.pages else given.name:
        hold(name, given.time)
    done = [name for name in TOURNAMENTS if (ROOT / RUNS / name / RECORD).exists()]
    parts = [TOP.strip(), *(part for name in done for part in section(name, ROOT / RUNS / name))]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
