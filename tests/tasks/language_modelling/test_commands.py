"""The commands on a run of a language model: each works, or says in one line what to write instead."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.recipe import parse, read
from stillhouse.tasks import get
from stillhouse.tasks.language_modelling.reading import prepared
from stillhouse.tasks.language_modelling.students import training_text
from tests.tasks.language_modelling.conftest import table
from tests.tasks.language_modelling.models import write_corpus


def cut(teacher: Path, room: Path) -> dict[str, Any]:
    """A recipe whose student keeps some of the teacher's tokens."""
    corpus = write_corpus(room / "corpus.jsonl")
    recipe = table(teacher, room / "run", corpus=str(corpus), group="book", rows=12)
    return recipe | {"student": {"derive": {"layers": 1, "vocabulary": 60}}}


@pytest.mark.slow
def test_a_plan_prices_tokens_and_compares_codecs_on_the_users_own_text(teacher: Path, tmp_path: Path) -> None:
    told = sh.plan(cut(teacher, tmp_path))
    assert told["teacher_calls"] == 12, "windows of fresh text are for an arm without a teacher"
    assert told["teachers"][0]["tokens_a_second"] > 0
    store = told["store"]
    by_name = {one["codec"]: one for one in store["codecs"]}
    chosen = by_name[store["codec"]]
    assert (chosen["bytes_a_token"], chosen["bytes_a_row"], chosen["bytes"]) == (130, 16 * 130, 12 * 16 * 130)
    assert store["probe_tokens"] == 12 * 16
    assert by_name["topk:64:float16"]["gradient_error"] < chosen["gradient_error"]
    within = [one["gradient_error"] for one in store["codecs"] if one["bytes"] <= chosen["bytes"]]
    assert by_name[store["best"]]["gradient_error"] == min(within)


@pytest.mark.parametrize("command", [lambda r: sh.tune(r, trials=2), lambda r: sh.plan(r, pilot=True)])
def test_tournaments_and_pilots_are_refused_before_anything_is_trained(
    command: Callable[[Any], object], teacher: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="stillhouse compare"):
        command(cut(teacher, tmp_path))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_recipe_in_a_run_folder_goes_on_with_the_run(run: sh.Run) -> None:
    kept = read(run.folder / "recipe.toml")
    settled = get("language_modelling").settle(kept)
    assert settled.training == kept.training
    assert settled.training.text_weight == settled.training.label_weight == 0.5


@pytest.mark.slow
def test_each_line_of_a_text_file_is_a_prompt(run: sh.Run, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("the cat sat\n\nthe dog ran\r\n", encoding="utf-8")
    out = tmp_path / "answers.csv"
    assert sh.predict(run, file, out) == 2
    assert out.read_text(encoding="utf-8").startswith("bits_per_byte,continuation\n")


@pytest.mark.slow
def test_export_writes_a_folder_that_transformers_opens_and_names_it_where_weights_were_asked_for(run: sh.Run) -> None:
    with pytest.raises(UsageError, match="--format transformers"):
        sh.export(run, "safetensors")
    folder = sh.export(run, "transformers")
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    model.eval()
    window = sh.load(run).encoder.encode(["the cat sat"])
    with torch.inference_mode():
        assert torch.allclose(model(input_ids=window[:, 0, :4]).logits, sh.load(run)(window)[:, :4], atol=1e-4)


@pytest.mark.slow
def test_words_are_counted_in_all_training_text_not_only_in_what_the_teacher_is_asked(
    teacher: Path, tmp_path: Path
) -> None:
    data = prepared(get("language_modelling").settle(parse(cut(teacher, tmp_path))))
    assert len(training_text(data)) > int((data.train.targets >= 0).sum())
