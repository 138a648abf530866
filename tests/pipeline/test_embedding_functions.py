"""A function from texts to vectors teaches embedders, which read whole texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer

import stillhouse as sh
from stillhouse.errors import RejectedError
from stillhouse.pipeline import distill
from tests.pipeline.embedding_runs import derived_recipe, recipe

WIDTH = 12
VECTORS = HashingVectorizer(n_features=WIDTH)


def embed(texts: Any) -> np.ndarray:
    """Vectors of a model of other people."""
    found: np.ndarray = VECTORS.transform(texts).toarray()
    return found


def distil(folder: Path, teacher: Any, out: Path, **over: Any) -> Any:
    made = recipe(folder, "unused", **over)
    table = made.model_copy(update={"teacher": type(made.teacher)()})
    return sh.distill(table, teacher=teacher, out=out, verbose=False)


def test_any_function_teaches_and_tf_idf_stands_beside(embedding_world: Path, tmp_path: Path) -> None:
    run = distil(embedding_world, embed, tmp_path / "run", data={"tokens": 6})
    models = run.scores["models"]
    assert {"teacher", "distilled", "contrast", "simple", "simple_distilled"} <= set(models)
    assert "TF-IDF" in run.scores["saw"]["simple"]["model"]
    student = run.load()
    assert student.embed(["copper still"]).shape == (1, WIDTH)
    assert student.encoder.length > 6, "the teacher's 6 tokens are no limit for a table of word vectors"
    start = "the old mash of rye and barley"
    one, other = student.embed([f"{start} copper still", f"{start} yeast oak"])
    assert not np.array_equal(one, other)


def test_what_is_no_row_of_numbers_for_each_text_is_refused(embedding_world: Path, tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"answered \(12,\) for 2 rows. It must answer one row of numbers"):
        distil(embedding_world, lambda texts: embed(texts)[0], tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.slow
def test_a_student_cut_out_of_its_teacher_reads_no_more_than_it_has_positions_for(
    embedding_world: Path, tmp_path: Path
) -> None:
    made = derived_recipe(embedding_world, "unused")
    made = made.model_copy(update={"output": made.output.model_copy(update={"dir": tmp_path / "run"})})
    longer = made.student.model_copy(update={"tokens": 60})
    with pytest.raises(RejectedError, match=r"can read only 40. Set .* `\[student\] tokens` .* to 40 or fewer"):
        distill(made.model_copy(update={"student": longer}))
    assert not (tmp_path / "run" / "store").exists(), "nothing was asked"
    cured = made.student.model_copy(update={"tokens": 40})
    made = made.model_copy(update={"output": made.output.model_copy(update={"dir": tmp_path / "cured"})})
    assert distill(made.model_copy(update={"student": cured})).load().encoder.length == 40
