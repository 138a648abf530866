"""Views whose words a masked language model guesses: asked once, kept, and the same for teacher and student."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from stillhouse.data import TextEncoder
from stillhouse.errors import DamagedError, UsageError
from stillhouse.pipeline import distill
from stillhouse.pipeline.setup.masked_lm_views import CANDIDATES, Guesses
from stillhouse.recipe import Recipe, parse
from tests.pipeline.helpers import opened
from tests.teachers.masked_folders import TOKENS, masked_model, newsgroups


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of texts, and the model that guesses in them."""
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("guessing")
    texts = newsgroups(100)
    masked_model(folder / "model", texts, steps=20)
    with (folder / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(("text", "label"))
        out.writerows((text, ("long", "short")[len(text.split()) < 85]) for text in texts)
    return folder


def recipe(world: Path, out: Path, **over: Any) -> Recipe:
    table: dict[str, Any] = {
        "data": {"text": str(world / "texts.csv"), "tokens": TOKENS, "tokenizer": str(world / "model/tokenizer.json")},
        "views": {"policy": "masked", "model": str(world / "model"), "count": 3, "strength": 0.5},
        "teacher": {"name": "static_embedding", "training": {"steps": 5, "batch_size": 16}},
        "student": {"name": "static_embedding", "settings": {"width": 8}},
        "training": {"steps": 5, "batch_size": 16, "seeds": [0]},
        "controls": {"all_labels": False},
        "evaluation": {"resamples": 100},
        "output": {"dir": str(out)},
    }
    return parse({**table, **{k: {**table.get(k, {}), **v} for k, v in over.items()}})


def gathered(table: Recipe) -> Any:
    return opened(table).context


def test_a_run_asks_the_model_once_and_a_second_one_not_at_all(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = distill(recipe(world, tmp_path / "run"), accept_teacher=True)
    assert capsys.readouterr().err.count("words that fit their place: 72 texts") == 1
    assert (run.folder / CANDIDATES).exists()
    (run.folder / "scores.json").unlink()
    distill(recipe(world, tmp_path / "run"), accept_teacher=True)
    assert "words that fit" not in capsys.readouterr().err

    again = gathered(recipe(world, tmp_path / "run"))
    monkeypatch.setattr(Guesses, "ask", lambda *_: pytest.fail("the model was asked again"))
    rows = torch.arange(len(again.data.train.targets))
    seen = again.views.apply(again.data.train.inputs, rows, torch.ones_like(rows))
    moved = seen != again.data.train.inputs
    words = again.data.train.inputs >= 5
    assert not moved[~words].any()
    assert moved[words].float().mean().item() == pytest.approx(0.5, abs=0.07)
    assert (seen[words] >= 5).all(), "no special token stands for a word"


def test_candidates_of_other_rows_are_asked_anew_and_a_damaged_file_once_it_is_deleted(
    world: Path, tmp_path: Path
) -> None:
    have = gathered(recipe(world, tmp_path))
    guesses, ids = have.views.guesser, have.data.train.inputs[:8]
    first = guesses.candidates(ids)
    other = guesses.candidates(ids[:4])
    assert (len(first.ids), len(other.ids)) == (8, 4)
    path = tmp_path / CANDIDATES
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DamagedError, match=r"Delete .*candidates\.npz"):
        guesses.candidates(ids[:4])
    path.unlink()
    assert guesses.candidates(ids[:4]).ids.tolist() == other.ids.tolist()


def test_the_model_belongs_to_the_run_and_to_the_key_of_its_answers(world: Path, tmp_path: Path) -> None:
    have = gathered(recipe(world, tmp_path))
    assert have.views.guesser.key in have.views.describe()
    assert "views model" in have.run.record["parts"]
    other = tmp_path / "other"
    encoder = masked_model(other, newsgroups(40), steps=1)
    assert isinstance(encoder, TextEncoder)
    assert Guesses(other, encoder, 8, tmp_path).key != have.views.guesser.key
    with pytest.raises(UsageError, match="gives other ids than the one that splits the texts"):
        gathered(recipe(world, tmp_path, views={"model": str(other)}))


def test_a_model_without_its_policy_or_its_folder_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='for `policy = "masked"` only'):
        gathered(recipe(world, tmp_path, views={"policy": "words"}))
    with pytest.raises(UsageError, match="is not a folder"):
        gathered(recipe(world, tmp_path, views={"model": str(tmp_path / "nowhere")}))
