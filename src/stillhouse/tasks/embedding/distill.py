"""Distilling an embedder: one call from a recipe to a judged run folder."""

from __future__ import annotations

from stillhouse import command
from stillhouse.pipeline.distill import write_split
from stillhouse.pipeline.kinds import write_report
from stillhouse.pipeline.run.folder import RunFolder, locked, open_run
from stillhouse.recipe import Recipe
from stillhouse.tasks.embedding.contrast import EmbeddingTrainer, make_arms
from stillhouse.tasks.embedding.judge import EmbeddingJudge
from stillhouse.tasks.embedding.setup import gather_embedding, settled
from stillhouse.tasks.embedding.teacher import EmbedderTeaching


def embed(recipe: Recipe, *, allow_code: bool = False) -> RunFolder:
    """Distil a ready embedder into a small one, beside the same student trained without it, and judge both.

    The teacher's vectors of the training texts are asked for once and kept; each seed's student is trained to match
    them and, on the same budget, once more by contrast without them. All are compared on held-out texts, the student
    as it began too. The same call again takes up where an interrupted one stopped.

    Args:
        recipe: ``[data] text``, ``[teacher] hub``, a student of texts. ``[data] target`` names a column of categories
            by which retrieval is judged; nothing learns from it. ``[data] valid`` and ``[training] label_weight`` are
            taken as 0. Without a ``[[method]]`` the cosine of the vectors is matched.
        allow_code: whether ``python:`` names may be run.

    Returns:
        The run: ``embedding_scores.json``, ``report.html`` and ``student/`` lie in its folder.

    Raises:
        UsageError: the recipe or the run folder is wrong.
        RejectedError: texts or teacher cannot be used.
        StillhouseError: training diverged.
    """
    resolved = settled(recipe)
    with locked(resolved.output.dir):
        found = gather_embedding(resolved, allow_code=allow_code)
        run = open_run(resolved, command=command.current(), parts=found.have.parts)
        write_split(run, found.have)
        teaching = EmbedderTeaching(run, resolved, found.have, found.teacher, found.width)
        found.have.students.origin = teaching.origin
        trainer, arms = EmbeddingTrainer(run, resolved, found.have, [teaching]), make_arms(found.have)
        trainer.train(arms)
        EmbeddingJudge(run, resolved, found, trainer, arms).judge()
        write_report(run.folder)
    return run
