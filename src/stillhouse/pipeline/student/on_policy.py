"""The last phase of a language model's training: on its own text, with the teacher asked live."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from stillhouse import methods
from stillhouse.engine import Step, read_weights, tensor_state, write_weights
from stillhouse.errors import UsageError
from stillhouse.methods.base import Method
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.progress import Advance, say
from stillhouse.pipeline.student.arms import Job
from stillhouse.pipeline.student.config import WEIGHTS
from stillhouse.pipeline.student.stages import Asked, Stage
from stillhouse.pipeline.student.step import student_spec, teacher_spec
from stillhouse.recipe import Recipe
from stillhouse.teachers import StoredTeacher

if TYPE_CHECKING:
    from stillhouse.pipeline.student.train import Trainer

OFFLINE, OWN = "offline", "on_policy"  # folders of the two phases of a fit
RATE = 0.1  # of [training] lr, where [on_policy] lr gives none


def check_phase(recipe: Recipe, steps: int) -> None:
    """Refuse an on-policy phase that leaves no step for the stored answers, teaches nothing, or teaches own samples.

    Args:
        recipe: of the run.
        steps: of a fit.

    Raises:
        UsageError: says what to write.
    """
    phase, wanted = recipe.on_policy, recipe.on_policy.steps
    if wanted is None:
        return
    if phase.labels and phase.writer == "student":
        raise UsageError(
            "[on_policy] labels = true would teach the student its own samples as if they were right. Write "
            'writer = "teacher", or remove the line.'
        )
    if phase.divergence == "none" and not phase.labels:
        raise UsageError(
            '[on_policy] divergence = "none" learns from labels alone. Write labels = true and writer = "teacher", or '
            "a divergence."
        )
    if wanted >= steps:
        raise UsageError(
            f"[on_policy] steps = {wanted} of {steps} in all leaves none for the stored answers, and the phase is the "
            f"last part of the training. Write steps = {max(1, steps // 4)} there, or more [training] steps."
        )
    if recipe.training.processes > 1:
        raise UsageError("[on_policy]: several processes do not write one text. Remove [training] devices and nodes.")


def in_phases(
    trainer: Trainer, job: Job, whole: Stage, answers: StoredTeacher, teacher: Asked, advance: Advance
) -> nn.Module:
    """Train a student on stored answers, and at last on its own text or its teacher's; what ships of it.

    On its own text the phase is GKD's (Agarwal et al. 2024, arXiv:2306.13649); with ``reverse_kl`` its gradient is the
    single-step part of MiniLLM's (Gu et al. 2024, arXiv:2306.08543, equation 4). The steps of both phases together are
    the run's, so that all arms take as many.
    """
    settings = trainer.context.recipe.on_policy
    assert settings.steps is not None
    before = whole.budget.steps - settings.steps
    first = whole._replace(budget=whole.budget.part(before), folder=whole.folder / OFFLINE, name=f"{whole.name}/1")
    step = trainer.step(job, answers, teacher)
    there = float((first.folder / WEIGHTS).exists())
    if trainer.group.of_first([there])[0]:
        student = step.deployed()
        student.load_state_dict(read_weights(first.folder / WEIGHTS)[0])
        advance(before)
    else:
        student = trainer.fit_stage(job, step, first, answers, advance)
        write_weights(first.folder / WEIGHTS, tensor_state(student))
    budget = replace(whole.budget.part(settings.steps), lr=settings.lr or whole.budget.lr * RATE)
    last = whole._replace(budget=budget, folder=whole.folder / OWN, name=f"{whole.name}/2", before=before)
    context = trainer.context_of(job.arm)
    own = live_step(student, context, answers)
    stored = trainer.stored(job, own, last, answers)
    live: Any = teacher
    ask = getattr(live.teacher, "taught", live.teacher.outputs)  # a service lists the largest classes
    batches = context.task.own_text(stored, settings, context.data, job.seed, live.teacher)
    made = trainer.fit_on(job, own, last, batches, ask, advance)
    if batches.seconds:
        whose = "its own" if settings.writer == "student" else "its teacher's"
        say(f"{job.arm.name}: {batches.tokens:,} tokens of {whose}, {batches.tokens / batches.seconds:.0f} a second.")
    return made


def live_step(student: nn.Module, context: RunContext, answers: StoredTeacher) -> Step:
    """What the phase trains: the divergence of [on_policy], and the text's own loss where stored text is read."""
    settings, train = context.recipe.on_policy, context.data.train
    matched: list[tuple[str, Method, float]] = []
    if settings.divergence != "none":
        own = {"beta": settings.beta} if settings.divergence == "jensen_shannon" else {}
        method = methods.make(settings.divergence, **own)
        rows = len(train.targets)
        method.build(student_spec(student, train.inputs[:2], [], rows), teacher_spec(answers, context, None))
        matched.append((settings.divergence, method, 1.0))
    return Step(
        student,
        matched,
        loss=context.task.loss,
        label_weight=context.recipe.training.label_weight,
    )
