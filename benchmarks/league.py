"""The league: every method in two small worlds, equally tuned, judged on five paired seeds.

    python -m benchmarks.league [--work FOLDER] [--steps 500] [--seeds 5] [--out docs]
    python -m benchmarks.league --only crd vkd      these beside hinton, on a page of their own: ``league_some.md``

Each method gets six trials on validation rows; the best is trained anew with each seed and judged on test rows that
nothing has seen. Finished fits are kept in the work folder, so the same command again goes on where it was stopped.
Writes ``league.md`` and ``league.svg`` into the folder ``--out``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from benchmarks.league_entries import HINTON, LABELS_ONLY, Entry, Trial, entries
from benchmarks.league_page import Row, WorldResult, write_page
from benchmarks.league_worlds import WORLDS, World
from torch import nn

from stillhouse import methods
from stillhouse.data import Rows, StoredBatches, Stream
from stillhouse.engine import Budget, Step, fit
from stillhouse.errors import StillhouseError
from stillhouse.files import write_json
from stillhouse.pipeline.run.progress import Advance, stage
from stillhouse.pipeline.run.workers import default_workers, run_all
from stillhouse.pipeline.student.step import head_of, student_spec
from stillhouse.taps import EMBEDDING
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.teachers import StoredTeacher, spec_of
from stillhouse.types import Batch, count_parameters, logits_of

RATES = (5e-3, 1e-2, 2e-2, 4e-2)  # tried by the labels-only student; the best is used by all
TUNING_SEED = 100
BATCH_SIZE = 128


class Job(NamedTuple):
    """One fit of one student, and the file that its result goes to."""

    world: World
    trial: Trial
    seed: int
    lr: float
    steps: int

    @property
    def path(self) -> Path:
        """Named by all that the result depends on."""
        key = f"{self.trial.method}-{self.trial.words()}-{self.trial.store}-{self.lr:g}-{self.steps}-{self.seed}"
        safe = "".join(c if c.isalnum() or c in ".-" else "_" for c in key)
        return self.world.folder / "fits" / f"{safe}.json"

    @property
    def result(self) -> dict[str, Any]:
        """What ``train`` wrote."""
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found

    @property
    def score(self) -> float:
        """Accuracy on the rows of this phase; 0 where training failed."""
        hits: str = self.result.get("hits", "0")
        return hits.count("1") / len(hits)


def train(job: Job, advance: Advance) -> None:
    """Train one student and write which judged rows it has right."""
    begun = time.monotonic()
    try:
        found: dict[str, Any] = {"hits": hits(trained(job, advance), job.world.judged())}
    except StillhouseError as error:
        found = {"failed": str(error)}
        advance(job.steps)
    write_json(job.path, found | {"seconds": round(time.monotonic() - begun, 2)})


def trained(job: Job, advance: Advance) -> nn.Module:
    """The student of a job, deployed."""
    world, trial = job.world, job.trial
    answers = StoredTeacher(world.stores[trial.store]) if trial.method else None
    views = world.mixed if trial.store == "mixup" else world.views
    eligible = torch.arange(len(world.seen)) if answers else world.labelled
    stream = Stream(eligible, batch_size=BATCH_SIZE, seed=job.seed, views=views.count)
    budget = Budget(job.steps, BATCH_SIZE, job.lr, checkpoint_every=10 * job.steps, log_every=job.steps)
    return fit(
        step_of(job, answers),
        StoredBatches(Rows(world.data.train.inputs, world.seen), stream, views),
        budget,
        folder=job.path.with_suffix(""),
        identity=job.path.stem,
        answer=answers.outputs if answers else None,
        advance=advance,
    )


def step_of(job: Job, answers: StoredTeacher | None) -> Step:
    """The student as its seed makes it, the same for every method, with what it matches."""
    torch.manual_seed(job.seed)
    student, trial = job.world.make_student(), job.trial
    if answers is None or trial.method is None:
        return Step(student, loss=label_loss, label_smoothing=trial.smoothing)
    method = methods.make(trial.method, **trial.settings)
    rows = torch.arange(2)
    inputs, size = job.world.data.train.inputs[:2], len(job.world.seen)
    told = answers.outputs(Batch(inputs, torch.full_like(rows, -1), rows, torch.zeros_like(rows)))
    method.build(
        student_spec(student, inputs, [*method.student_layers, EMBEDDING], size),
        spec_of(told, rows=size, head=head_of(job.world.teacher, inputs)),
    )
    matched = [(trial.method, method, trial.share)]
    return Step(student, matched, loss=label_loss, label_weight=1 - trial.share, balance="gradient")


@torch.inference_mode()
def hits(net: nn.Module, rows: Rows) -> str:
    """For each row 1 where the net's class is the label, else 0."""
    right = logits_of(net.eval()(rows.inputs)).argmax(-1) == rows.targets
    return "".join(map(str, right.int().tolist()))


def run(title: str, jobs: Sequence[Job]) -> None:
    """Train what has no result yet, on all cores; the slow ones first, so that no core waits at the end."""
    jobs = [job for job in once(jobs) if not job.path.exists()]
    for world in {id(job.world): job.world for job in jobs}.values():
        assert world.teacher
        assert world.stores  # made here, before workers are forked
    jobs.sort(key=lambda job: job.trial.method not in ("crd", "rkd", "reviewkd"))
    with stage(title, sum(job.steps for job in jobs), "steps") as advance:
        run_all(jobs, train, default_workers(torch.device("cpu")), advance)


def once(jobs: Sequence[Job]) -> list[Job]:
    """Each fit once."""
    return list({job.path: job for job in jobs}.values())


def best(jobs: Sequence[Job]) -> Job:
    """The one with the most validation rows right; the first of equals."""
    return max(jobs, key=lambda job: job.score)


def play(
    make: Callable[..., World], name: str, work: Path, steps: int, seeds: int, only: Sequence[str] = ()
) -> WorldResult:
    """Tune and judge all entries in one world, or hinton and those of these names."""
    tuning, final = (make(phase, work / name / phase) for phase in ("tuning", "final"))
    plain = Trial(None, {}, 0.0)
    rates = [[Job(tuning, plain, TUNING_SEED + i, lr, steps) for i in range(2)] for lr in RATES]
    run(f"{name}: learning rate", [job for pair in rates for job in pair])
    lr = max(rates, key=lambda pair: sum(job.score for job in pair))[0].lr
    playing: list[Entry] = [e for e in entries(tuning.map_pairs) if not only or e.name in (HINTON, *only)]
    tried = {e.name: [Job(tuning, trial, TUNING_SEED, lr, steps) for trial in e.trials] for e in playing}
    run(f"{name}: tuning", [job for jobs in tried.values() for job in jobs])
    chosen = {e.name: best(tried[e.name]) for e in playing}

    def finals(job: Job) -> list[Job]:
        return [job._replace(world=final, seed=seed) for seed in range(seeds)]

    judged = {LABELS_ONLY: finals(Job(final, plain, 0, lr, steps))} | {n: finals(job) for n, job in chosen.items()}
    run(f"{name}: final fits", [job for jobs in judged.values() for job in jobs])
    families = {e.name: e.family for e in playing}
    rows = [
        Row(n, families[n], chosen[n].trial.words(), chosen[n].score, [j.result["hits"] for j in jobs])
        for n, jobs in judged.items()
        if n != LABELS_ONLY and all("hits" in j.result for j in jobs)
    ]
    failed = sorted(set(chosen) - {row.name for row in rows})
    counts = {"student": count_parameters(final.make_student()), "teacher": count_parameters(final.teacher)}
    scratch = [job.result["hits"] for job in judged[LABELS_ONLY]]
    teacher = hits(final.teacher, final.data.test)
    everything = [job for jobs in (*tried.values(), *judged.values(), *rates) for job in jobs]
    seconds = sum(job.result["seconds"] for job in once(everything))
    return WorldResult(name, rows, scratch, teacher, counts, lr, seconds, failed)


def main() -> None:
    """Play, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/league"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=(), help="names of entries, for a page of their own")
    given = parser.parse_args()
    torch.set_num_threads(1)
    results = [play(make, name, given.work, given.steps, given.seeds, given.only) for name, make in WORLDS.items()]
    write_page(given.out, results, steps=given.steps, seeds=given.seeds, only=given.only)


if __name__ == "__main__":
    main()
