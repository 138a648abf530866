"""Input without an end, or far too large: seconds and memory of the answer beyond an empty start of the command."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from benchmarks.speed.commands import Command, command
from benchmarks.speed.loops import scratch
from benchmarks.speed.timing import Row
from tests.teachers import hub_folders

LINE = 300_000_000  # bytes of a line that never ends
SECONDS, MEBIBYTES = 2.0, 300


def refusals(quick: bool) -> list[Row]:
    """Every such input is refused at once, and nothing large is read for it."""
    with scratch() as folder:
        cases = inputs(folder, LINE // 10 if quick else LINE)
        empty = {start: refused(start, shlex.split(start)) for start in {start for start, _ in cases.values()}}
        found = {name: refused(name, arguments) for name, (_, arguments) in cases.items()}
    seconds = {name: one.seconds - empty[cases[name][0]].seconds for name, one in found.items()}
    memory = {name: (one.memory - empty[cases[name][0]].memory) / 2**20 for name, one in found.items()}
    return [
        largest("seconds of the processor until an endless or too large input is refused", seconds, SECONDS, " s"),
        largest("memory until then", memory, MEBIBYTES, " MiB"),
    ]


def largest(what: str, found: dict[str, float], most: float, unit: str) -> Row:
    """The worst case, and all of them beside it."""
    worst = max(found.values())
    note = "; ".join(f"{name} {value:.2f}" for name, value in found.items())
    return Row(f"{what}, beyond an empty start", f"<= {most:g}{unit}", worst, worst <= most, unit, note=note)


def refused(name: str, arguments: list[str]) -> Command:
    """A command that must end with an error of the documented kinds."""
    found = command(arguments, timeout=120)
    if found.code not in (2, 4) or "unexpected" in found.err:
        raise SystemExit(f"{name} was not refused (exit code {found.code}): {found.err[-1000:]}")
    return found


def inputs(folder: Path, line: int) -> dict[str, tuple[str, list[str]]]:
    """By what is wrong with an input: the command without it, which is refused as far on, and the command with it."""
    os.mkfifo(folder / "pipe.toml")
    os.mkfifo(folder / "pipe.csv")
    (folder / "string.toml").write_text('[data]\npath = "' + "x" * (line // 3) + '"\n', encoding="ascii")
    for name, first in (("line.csv", "a,b\n1,2\n"), ("line.jsonl", '{"a": 1, "b": 2}\n')):
        (folder / name).write_text(first + "x" * line, encoding="ascii")
    for name, hidden in (("layers.toml", [2] * 20_000), ("layer.toml", [0])):
        net = f'[student]\nname = "mlp_tiny"\nsettings = {{ hidden = {hidden} }}\n'
        (folder / name).write_text(f'[data]\nname = "digits"\n{net}', encoding="ascii")
    hub_folders.edit(hub_folders.bert(folder / "hub"), "config.json", num_hidden_layers=10**6)
    (folder / "texts.csv").write_text("text,kind\n" + "".join(f"word {i},{i % 2}\n" for i in range(200)))
    run = ["--output.dir", str(folder / "run")]
    data = ["distill", "--data.target", "b", *run, "--data.path"]
    texts = ["--data.text", str(folder / "texts.csv"), "--data.target", "kind"]
    recipe, rows = f"distill {folder}/none.toml", f"{shlex.join(data)} {folder}/none.csv"
    net = f"distill {folder}/layer.toml {shlex.join(run)}"
    teacher = f"distill {shlex.join([*texts, *run])} --teacher.hub {folder}/none"
    return {
        "recipe /dev/zero": (recipe, ["distill", "/dev/zero"]),
        "recipe in a pipe": (recipe, ["distill", str(folder / "pipe.toml")]),
        f"a string of {line // 3_000_000} MB": (recipe, ["distill", str(folder / "string.toml")]),
        "data in a pipe": (rows, [*data, str(folder / "pipe.csv")]),
        "data /dev/zero": (rows, [*data, "/dev/zero"]),
        f"a line of {line // 10**6} MB in a CSV": (rows, [*data, str(folder / "line.csv")]),
        f"a line of {line // 10**6} MB in JSON lines": (rows, [*data, str(folder / "line.jsonl")]),
        "20,000 layers": (net, ["distill", f"{folder}/layers.toml", *run]),
        "a teacher of 10^6 layers": (teacher, ["distill", *texts, *run, "--teacher.hub", str(folder / "hub")]),
    }
