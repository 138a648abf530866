"""What `inversion` reaches in how many seconds of a core, from teachers with and without BatchNorm; writes a page.

python -m benchmarks.examples.inverting            runs what is not run yet, then writes docs/examples/inversion.md
python -m benchmarks.examples.inverting BatchNorm-a-minute    runs only this one
python -m benchmarks.examples.inverting --pages    only writes the page, from the run folders
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from benchmarks.examples.example import PAGES, ROOT
from benchmarks.examples.made import IMAGES, NO_DATA, RUNS, SEEDS, figure
from benchmarks.examples.markdown import fenced, table
from benchmarks.examples.running import note
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stillhouse import students
from stillhouse.pipeline.distill import Distillation
from stillhouse.pipeline.run.context import NOTHING, Given, RunContext
from stillhouse.pipeline.run.folder import inherit
from stillhouse.pipeline.run.session import at_work
from stillhouse.pipeline.student.arms import Arm
from stillhouse.recipe import parse
from stillhouse.reporting.folder import read_json

PAGE, COMMAND = "inversion", "python -m benchmarks.examples.inverting"
MINUTE: dict[str, Any] = {"count": 6000, "rounds": 3, "steps": 150}
FIVE: dict[str, Any] = {"count": 6000, "rounds": 2, "steps": 600}


class Point(NamedTuple):
    """One run, and the mark that was set for it before."""

    name: str
    norm: bool  # whether the teacher has BatchNorm
    settings: dict[str, Any]
    seconds: int  # of a core, for the rows
    mark: float  # per cent


POINTS = [
    Point("no BatchNorm, a minute", False, MINUTE, 60, 89.0),
    Point("BatchNorm, a minute", True, MINUTE, 60, 91.0),
    Point("BatchNorm, five minutes", True, FIVE, 300, 94.0),
]
ABOUT = """
The student sees no real training row and no label, and the maker `inversion` has the teacher alone. The teacher is
`cnn_large` on 4,000 labelled images, or the same net without its BatchNorm layers, for which the term `statistics` is
left out. Rounds and steps were set before the runs, so that the rows take about the seconds of the mark; the student
has 4,354 parameters, four affine views of each row and 500 steps. Test rows are real.
"""


def folder_of(point: Point) -> Path:
    return ROOT / RUNS / PAGE / point.name.replace(",", "").replace(" ", "-")


def used() -> float:
    """Seconds of cores that this process and its ended children have used."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def without_norm(inputs: Tensor, targets: Tensor) -> nn.Module:
    """The teacher's net without BatchNorm, trained as long as the teacher is; its weights are kept."""
    torch.manual_seed(0)
    net = students.make("cnn_large", shape=tuple(inputs.shape[1:]), outputs=10, settings={})
    for block in net.blocks:  # type: ignore[union-attr]
        block[1] = nn.Identity()
        nn.init.kaiming_normal_(block[0].weight)
    file = ROOT / RUNS / PAGE / "plain.pt"
    if file.exists():
        net.load_state_dict(torch.load(file, weights_only=True))
        return net.eval()
    training = IMAGES["teacher"]["training"]
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, training["steps"])
    for _ in range(training["steps"]):
        rows = torch.randint(len(inputs), (training["batch_size"],))
        optimizer.zero_grad()
        torch.autograd.backward([cross_entropy(net(inputs[rows]), targets[rows])])
        optimizer.step()
        schedule.step()
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), file)
    return net.eval()


def only_distilled(context: RunContext, arms: list[Arm]) -> list[Arm]:
    """No control: the marks are of the student."""
    return [arm for arm in arms if arm.name == "distilled"]


def run(point: Point) -> None:
    """One run to its scores; a stopped one goes on."""
    folder = folder_of(point)
    if (folder / "scores.json").exists():
        return
    table = {**NO_DATA, "made": [{"name": "inversion", **point.settings}], "output": {"dir": str(folder)}}
    given = NOTHING
    if not point.norm:
        del table["teacher"]
        given = Given(teacher=plain_teacher())
    with at_work(folder, given):
        made_run = Distillation(parse(table), given, command=COMMAND, choose=only_distilled)
        first = folder_of(next(one for one in POINTS if one.norm))
        if point.norm and first != folder:
            inherit({"teacher": first / "teacher"}, folder)
        made_run.plan_fits()
        made_run.admit(accept=True)
        begun = used()
        made_run.make()
        making = read_json(folder / "example.json").get("making", 0.0) + used() - begun
        note(folder, making=making)  # a stopped run's seconds are in the folder too
        made_run.train()
        made_run.judge()
    note(folder, students=used() - begun - making)


def plain_teacher() -> nn.Module:
    """The teacher without BatchNorm, of the training rows of these runs."""
    folder = ROOT / RUNS / PAGE / "rows"
    table = {**NO_DATA, "made": [{"name": "blobs", "count": 200}], "output": {"dir": str(folder)}}
    with at_work(folder, NOTHING):
        rows = Distillation(parse(table), NOTHING, command=COMMAND).context.learning.data.train
    return without_norm(rows.inputs, rows.targets)


def write() -> Path:
    """The page, from the run folders."""
    rows = [[*facts(point)] for point in POINTS if (folder_of(point) / "scores.json").exists()]
    heads = ["Teacher, budget", "Rounds x steps", "Rows", "Making, core s", "Student", "Teacher", "Mark", "Reached"]
    text = [
        "# Inversion: what seconds of a core buy",
        f"*Written by `{COMMAND}`.*",
        ABOUT.strip(),
        table(heads, rows),
        f"Mean of {len(SEEDS)} students of one set of made rows, with the 95 % interval over seeds and test rows. "
        "Seconds are those of cores that generators, rivals and the answers for rivals took, on a machine that also "
        "did other work; asking the teacher about all views and training a student come on top.",
        "## How to run it",
        fenced(COMMAND, "sh"),
    ]
    path = PAGES / f"{PAGE}.md"
    path.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    return path


def facts(point: Point) -> list[str]:
    """A line of the table."""
    folder = folder_of(point)
    scores, settings = read_json(folder / "scores.json"), point.settings
    reached = scores["models"]["distilled"]["measures"]["accuracy"]["value"] * 100
    return [
        point.name,
        f"{settings['rounds']} x {settings['steps']}",
        f"{settings['count']:,}",
        f"{read_json(folder / 'example.json')['making']:.0f} of {point.seconds}",
        figure(scores, "distilled"),
        figure(scores, "teacher"),
        f"{point.mark:g} %",
        "yes" if reached >= point.mark else "no",
    ]


def main() -> None:
    """Run what is not run yet, and write the page."""
    named = [point for point in POINTS if folder_of(point).name in sys.argv]
    for point in (named or POINTS) if "--pages" not in sys.argv else ():
        run(point)
    print(write())


if __name__ == "__main__":
    main()
