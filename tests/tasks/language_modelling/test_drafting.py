"""Text that a run's student writes, alone and as a draft for its teacher."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import stillhouse as sh
from stillhouse.errors import RejectedError, UsageError
from stillhouse.students.causal import derive_causal
from stillhouse.tasks.language_modelling.drafting import first_tokens, measure
from stillhouse.windows import CausalWindows
from tests.shell import run as shell
from tests.students.causal_models import llama
from tests.tasks.language_modelling.conftest import table
from tests.tasks.language_modelling.models import write_corpus


def test_lookup_control_present() -> None:
    model = llama()
    student: Any = derive_causal(model, layers=2, vocabulary=40, counts=torch.arange(64)).module
    prompts = [torch.tensor([3, 4, 5, 3, 4, 5, 3]), torch.tensor([9, 8])]
    found = measure(CausalWindows(model), student, prompts, gamma=[1, 2], new_tokens=6)
    assert [(row["draft"], row["gamma"]) for row in found["drafts"]] == [
        ("student", 1), ("student", 2), ("prompt lookup", 1), ("prompt lookup", 2),
    ]  # fmt: skip
    for row in found["drafts"]:
        assert 1 <= row["tokens_per_cycle"] <= row["gamma"] + 1
        assert row["identical"] == 2
        assert row["speed"] == pytest.approx(row["tokens_per_second"] / found["plain"]["tokens_per_second"])
    json.dumps(found)


def test_only_texts_that_are_long_enough_are_continued() -> None:
    windows = torch.zeros(3, 2, 6, dtype=torch.int64)
    windows[:, 0] = torch.arange(18).view(3, 6)
    windows[0, 1, :], windows[1, 1, :2], windows[2, 1, :5], windows[2, 1, 5] = 1, 1, 1, 2
    assert [one.tolist() for one in first_tokens(windows, 5, 4)] == [[0, 1, 2, 3], [12, 13, 14, 15]]
    with pytest.raises(RejectedError, match="smaller --prompt-tokens"):
        first_tokens(windows, 5, 7)


@pytest.mark.slow
def test_a_run_writes_text_and_is_measured_as_a_draft(run: sh.Run, tmp_path: Path) -> None:
    student = sh.load(run.folder)
    alone = [student.generate(text, max_new_tokens=6) for text in ("the cat", "a dog ran to the house")]
    assert student.generate(["the cat", "a dog ran to the house"], max_new_tokens=6) == alone
    assert student.tokens_per_second > 0
    assert student.generate("the cat", max_new_tokens=6, sampling_temperature=1.0) == student.generate(
        "the cat", max_new_tokens=6, sampling_temperature=1.0
    )
    with pytest.raises(UsageError, match="top_p"):
        student.generate("the cat", top_p=2.0)
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("text\nthe cat\na dog ran to the house\n", encoding="utf-8")
    sh.predict(run.folder, prompts, tmp_path / "out.csv")
    assert list(pd.read_csv(tmp_path / "out.csv").columns) == ["bits_per_byte", "continuation"]

    settings = f"draft {run.folder} --prompt-tokens 6 --max-new-tokens 5"
    found = json.loads(shell(f"{settings} --gamma 1,2 --json")[1])
    assert {row["draft"] for row in found["drafts"]} == {"student", "prompt lookup"}
    assert all(row["identical"] == found["prompts"] for row in found["drafts"])
    shown = shell(f"{settings} --gamma 1")[1]
    assert "prompt lookup" in shown
    assert "Plain decoding" in shown
    drawn = json.loads(shell(f"{settings} --gamma 2 --sampling-temperature 1 --json")[1])
    assert drawn["drafts"][0]["identical"] is None
    code, _, refused = shell(f"{settings} --gamma 99")
    assert code == 2
    assert "--gamma 1,2,3,5" in refused


@pytest.mark.slow
def test_a_student_with_a_cut_vocabulary_is_saved_for_transformers(teacher: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    recipe = table(teacher, tmp_path / "run", corpus=str(corpus), group="book", rows=12)
    recipe["student"] = {"derive": {"layers": 1, "vocabulary": 60}}
    made = sh.distill(recipe, accept_teacher=True)
    student = sh.load(made.folder)
    student.save_pretrained(tmp_path / "saved")
    opened: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    words = AutoTokenizer.from_pretrained(tmp_path / "saved")
    text = "the cat sat on a mat"
    window = student.encoder.encode([text])
    ids = torch.tensor([words(text, add_special_tokens=False)["input_ids"]]).clamp(max=60)
    with torch.no_grad():
        mine = student(window)[0, 1 : 1 + ids.shape[1]]
        first = torch.tensor([[words.bos_token_id]])
        theirs = opened(torch.cat([first, ids], 1)).logits[0, 1:]
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    assert isinstance(student.generate(text, max_new_tokens=5), str)
