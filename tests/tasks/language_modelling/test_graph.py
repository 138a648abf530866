"""The ONNX graph of a causal student: with the cache it is given, it answers as the student does on the whole text."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.tasks.language_modelling.causal_graph import write_graph
from stillhouse.windows import CausalWindows
from tests.students.causal_models import gpt2, llama
from tests.tasks.language_modelling.conftest import table
from tests.tasks.language_modelling.models import write_corpus
from tests.tasks.language_modelling.test_recurrent import mamba


@pytest.mark.slow
@pytest.mark.parametrize("make", [llama, gpt2])
def test_a_text_that_is_read_token_by_token_has_the_answers_of_the_whole(make: Any, tmp_path: Path) -> None:
    net = make()
    file = write_graph(CausalWindows(net), tmp_path / "student.onnx", {"task": "x"})
    session = onnxruntime.InferenceSession(str(file))
    inputs = {one.name: one for one in session.get_inputs()}
    ids = torch.tensor([[1, 9, 30, 8, 4, 44]])
    with torch.no_grad():
        whole = net(input_ids=ids, use_cache=False).logits[0]
    cache = {
        name: np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32) for name, one in inputs.items() if name != "ids"
    }
    for start, stop in ((0, 3), (3, 4), (4, 6)):
        given = session.run(None, {"ids": ids[:, start:stop].numpy(), **cache})
        named = dict(zip([one.name for one in session.get_outputs()], given, strict=True))
        np.testing.assert_allclose(named["logits"][0], whole[start:stop].numpy(), atol=1e-4)
        cache = {name: named[name.replace("past", "cache")] for name in cache}
    assert session.get_modelmeta().custom_metadata_map["task"] == "x"


def test_a_recurrent_student_has_no_graph(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="save_pretrained"):
        write_graph(CausalWindows(mamba()), tmp_path / "a.onnx", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_is_exported_with_its_tokenizer(teacher: Path, tmp_path: Path) -> None:
    recipe = table(teacher, tmp_path / "run", corpus=str(write_corpus(tmp_path / "a.jsonl")), group="book", rows=12)
    recipe |= {"student": {"derive": {"layers": 1, "vocabulary": 60}}}
    run = sh.distill(recipe, accept_teacher=True)
    file = sh.export(run, "onnx")
    assert file.name == "student.onnx"
    words = Tokenizer.from_file(str(file.with_name("student-tokenizer.json")))
    session = onnxruntime.InferenceSession(str(file))
    ids = np.minimum(np.array([words.encode("the cat", add_special_tokens=False).ids]), 60)
    cache = {
        one.name: np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32)
        for one in session.get_inputs()
        if one.name != "ids"
    }
    assert session.run(["logits"], {"ids": ids, **cache})[0].shape == (1, ids.shape[1], 61)
