"""A process that takes part in the fits of a run that another process leads."""

from __future__ import annotations

from stillhouse import writing
from stillhouse.errors import UsageError
from stillhouse.pipeline.distill import Distillation
from stillhouse.pipeline.run.context import Given
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.run.session import objects_at_work
from stillhouse.pipeline.run.torchrun import announced, check_processes, place, wait_for_end
from stillhouse.recipe import Recipe


def follow_run(recipe: Recipe, given: Given) -> RunFolder:
    """Take part in the fits of a run, whose first process writes all files; the run, when it is judged.

    Raises:
        UsageError: the recipe wants another number of processes.
        LostProcessError: the first process has failed.
    """
    wanted = recipe.training
    check_processes(wanted.devices, wanted.nodes, cuda=False)
    fits = announced(wanted.timeout)
    if fits:
        with writing.nothing(), objects_at_work(given):
            run = Distillation(recipe, given._replace(overwrite=False))
            run.plan_fits()
            run.make()
            run.follow(fits)
    wait_for_end(wanted.timeout)
    return RunFolder(recipe.output.dir)


def refuse_torchrun(what: str) -> None:
    """Refuse what trains nets side by side among processes that train one net together.

    Raises:
        UsageError: ``torchrun`` has started this process.
    """
    if place() is not None:
        raise UsageError(
            f"{what}, and `torchrun` starts processes that train one net together. Start it without `torchrun`."
        )
