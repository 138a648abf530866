"""A language model behind a service as the teacher of a run: where its answers are kept, and what it may cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.errors import UsageError
from stillhouse.pipeline.run.context import RunContext
from stillhouse.store import TopK
from stillhouse.teachers import make_codec

if TYPE_CHECKING:
    from stillhouse.teachers.endpoint.causal import ServedCausalTeacher

JOURNAL = "journal.jsonl"  # what a service has answered, in the run folder


def journal_of(context: RunContext) -> Path:
    """Where the answers of a service are: beside the stores that runs share, so that no run pays for them again."""
    own, shared = context.recipe.output.dir / JOURNAL, context.recipe.store.dir
    return shared / JOURNAL if isinstance(shared, Path) and not own.exists() else own


def served_model(context: RunContext) -> ServedCausalTeacher:
    """The service of [teacher.endpoint] that scores prompts of tokens.

    Raises:
        UsageError: the store keeps what no service tells, or a setting is wrong.
    """
    from stillhouse.teachers.endpoint.causal import ServedCausalTeacher

    recipe = context.recipe
    section, keeps = recipe.teacher.endpoint, recipe.store
    codec = make_codec(keeps.codec, keeps.dtype, context.task)
    if not isinstance(codec, TopK):
        raise UsageError(
            f"[store] codec = {keeps.codec!r} needs all of a teacher's answer, and a service lists the largest classes "
            'of each token. Write `[store] codec = "topk:20"`.'
        )
    if recipe.on_policy.steps is not None and recipe.on_policy.writer == "teacher":
        raise UsageError('[on_policy] writer = "teacher" needs a teacher on this machine. Write writer = "student".')
    encoder: Any = context.data.encoder
    tokenizer = encoder.vocabulary.tokenizer
    time, classes = context.spec.shape
    return ServedCausalTeacher(
        str(section.url),
        section.model,
        (time, classes),
        journal=journal_of(context),
        k=codec.k,
        names=[tokenizer.decode([number], skip_special_tokens=False) for number in range(classes)],
        extra={key: None if value == "" else value for key, value in section.extra.items()},
        api_key_env=section.api_key_env or None,
        allow_http=section.allow_http,
        concurrency=section.concurrency,
        max_calls=section.max_calls,
        max_cost=section.max_cost,
        price_in=section.price_in or None,
        price_out=section.price_out or None,
        accept_drift=recipe.teacher.accept_drift,
    )
