"""A run on texts, from the recipe to the report: its arms, its store, and what ships."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import stillhouse as sh
from stillhouse.store import Store
from tests.tasks.language_modelling.conftest import table
from tests.tasks.language_modelling.models import write_corpus


@pytest.mark.slow
def test_run_has_the_arms_that_an_honest_comparison_needs(run: sh.Run) -> None:
    scores = json.loads((run.folder / "scores.json").read_text(encoding="utf-8"))
    assert list(scores["models"]) == ["teacher", "text_only", "text_same_compute", "distilled", "untrained"]
    rivals = {one["b"] for one in scores["comparisons"] if one["headline"]}
    assert rivals == {"text_only", "text_same_compute"}
    assert scores["verdict"] in ("better", "non_inferior", "inconclusive", "worse")
    closeness = scores["models"]["distilled"]["measures"]
    assert {"kl", "reverse_kl", "rms_change", "agreement", "acceptance"} <= set(closeness)
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Closeness to the teacher" in page
    assert "text, same compute" in page


@pytest.mark.slow
def test_text_of_the_teachers_time_is_fresh(run: sh.Run) -> None:
    record = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    assert record["data"]["train"] == 12
    assert record["saw"]["text_same_compute"]["labels"] > 12
    assert record["more_steps"]["text_same_compute"] > 0


@pytest.mark.slow
def test_store_keeps_the_largest_classes_and_the_tail_of_each_token(run: sh.Run) -> None:
    store = Store.open(run.folder / "store")
    kept = {field.name: field.shape for field in store.fields}
    assert kept == {"indices": (16, 32), "log_probs": (16, 33)}
    found = store.read(np.arange(store.rows), np.zeros(store.rows, np.int64))
    assert np.allclose(np.exp(found["log_probs"].astype(np.float64)).sum(-1), 1, atol=2e-3)


@pytest.mark.slow
def test_shipped_student_opens_as_a_folder_of_transformers(run: sh.Run, tmp_path: Path) -> None:
    student = sh.load(run.folder)
    student.save_pretrained(tmp_path)
    model, words = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    ids = words("the cat sat", return_tensors="pt", add_special_tokens=False)["input_ids"]
    theirs = model(input_ids=ids).logits[0].log_softmax(-1)
    window = student.encoder.encode(["the cat sat"])
    assert np.allclose(
        student.log_probs(window)[0, 1:4].numpy(),
        model(input_ids=window[:, 0, : 1 + ids.shape[1]]).logits[0, 1:4].log_softmax(-1).detach().numpy(),
        atol=1e-5,
    )
    assert theirs.shape[-1] == words.vocab_size
    assert np.isfinite(student.predict(["the cat sat on a mat"])).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "smaller"),
    [
        ({"layers": 1, "choose": "importance"}, {"num_hidden_layers"}),
        ({"heads": 1, "feedforward": 0.5}, {"num_attention_heads", "intermediate_size"}),
        ({"width": 0.5}, {"hidden_size", "num_attention_heads"}),
    ],
)
def test_a_student_is_cut_out_of_its_teacher_by_recipe(
    parts: dict[str, object], smaller: set[str], teacher: Path, tmp_path: Path
) -> None:
    recipe = table(teacher, tmp_path / "run", corpus=str(write_corpus(tmp_path / "a.jsonl")), group="book", rows=12)
    student = sh.load(sh.distill(recipe | {"student": {"derive": parts}}, accept_teacher=True).folder)
    student.save_pretrained(tmp_path / "folder")
    config = AutoModelForCausalLM.from_pretrained(tmp_path / "folder").config
    whole = AutoModelForCausalLM.from_pretrained(teacher).config
    sizes = ("num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_size")
    assert {name for name in sizes if getattr(config, name) < getattr(whole, name)} == smaller
