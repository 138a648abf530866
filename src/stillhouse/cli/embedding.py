"""``stillhouse embed``: distilling an embedder of texts."""

from __future__ import annotations

from stillhouse.cli.running import AllowCode, RecipeFile, Sections, resolve
from stillhouse.cli.shared import Json, command_line, show_run


def embed(
    file: RecipeFile = None,
    /,
    *,
    json: Json = False,
    allow_code: AllowCode = False,
    flags: Sections = None,
) -> None:
    """Distil an embedder of texts into a small one, judged by rank correlation and retrieval on held-out texts.

    The recipe names texts (``[data] text``), a ready embedder (``[teacher] hub``) and a student; no label is needed.
    ``[data] target``, a column of categories, is used only to judge retrieval. The same command again resumes.
    """
    resolved = resolve(file, flags)
    from stillhouse import pipeline

    show_run(pipeline.embed(resolved, command=command_line(), allow_code=allow_code), json)
