"""Hidden states in the store: the teacher's own answers, at the price of one product."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import stillhouse as sh
from stillhouse.data import Views
from stillhouse.errors import RejectedError, UsageError
from stillhouse.store import Store
from stillhouse.tasks import get
from stillhouse.teachers import StoredTeacher, label
from stillhouse.types import Batch
from tests.tasks.language_modelling.conftest import table
from tests.tasks.language_modelling.models import write_corpus
from tests.tasks.language_modelling.test_teacher import T, asked, net, windows

__all__ = ["net"]
TASK = get("language_modelling")
VIEWS = Views("none", 1, 0.0, 0)


def batch_of(inputs: torch.Tensor) -> Batch:
    rows = torch.arange(len(inputs))
    return Batch(inputs, torch.full_like(rows, -1), rows, torch.zeros_like(rows))


@pytest.mark.parametrize("half", [True, False])
def test_hidden_states_give_the_teachers_answers_again(half: bool, net: torch.nn.Module, tmp_path: Path) -> None:
    teacher = asked(net, half=half)  # type: ignore[arg-type]
    inputs = torch.cat([windows([0, *range(20, 30)]), windows([0, 5, 6, 7])])
    store = label(
        teacher, inputs, VIEWS, tmp_path / "store", task=TASK, key={}, dtype="float16", block_rows=2,
        codec="hidden",
    )  # fmt: skip
    assert [(field.name, field.shape, field.dtype) for field in store.fields] == [("hidden", (T, 16), "bfloat16")]
    assert store.key.parts["codec"] == "hidden:16:bfloat16"
    assert len(store.key.parts["head"]) == 32
    found = StoredTeacher(store, head=teacher.from_hidden).outputs(batch_of(inputs)).values
    spoken = inputs[:, 1] > 0
    live = teacher.outputs(batch_of(inputs)).values
    if half:
        assert torch.equal(found[spoken], live[spoken])
    else:
        kl = (live.softmax(-1) * (live.log_softmax(-1) - found.log_softmax(-1))).sum(-1)[spoken]
        assert 0 <= float(kl.mean()) < 1e-3
    with pytest.raises(UsageError, match="give the teacher's output layer"):
        StoredTeacher(store).outputs(batch_of(inputs))


def test_another_output_layer_is_another_store(net: torch.nn.Module, tmp_path: Path) -> None:
    inputs = windows([0, *range(20, 30)])
    kept = {
        "views": Views("none", 1, 0.0, 0),
        "folder": tmp_path / "store",
        "task": TASK,
        "key": {},
        "dtype": "float16",
    }
    teacher = asked(copy.deepcopy(net))  # type: ignore[arg-type]
    label(teacher, inputs, block_rows=2, codec="hidden", **kept)  # type: ignore[arg-type]
    with torch.no_grad():
        teacher.head.weight[3] += 1
    with pytest.raises(RejectedError, match="head"):
        label(teacher, inputs, block_rows=2, codec="hidden", **kept)  # type: ignore[arg-type]


def test_hidden_states_are_a_language_models_alone() -> None:
    with pytest.raises(UsageError, match="before its output layer"):
        sh.distill({"data": {"name": "digits"}, "store": {"codec": "hidden"}})


@pytest.mark.slow
def test_a_run_learns_from_hidden_states(teacher: Path, tmp_path: Path) -> None:
    recipe = table(teacher, tmp_path / "run", corpus=str(write_corpus(tmp_path / "a.jsonl")), group="book", rows=12)
    recipe |= {"store": {"codec": "hidden"}, "student": {"derive": {"layers": 1, "vocabulary": 60}}}
    run = sh.distill(recipe, accept_teacher=True)
    store = Store.open(run.folder / "store")
    assert {field.name for field in store.fields} == {"hidden"}
    assert run.scores["models"]["distilled"]["measures"]["kl"]["value"] > 0


def test_answers_in_another_batch_are_the_same_up_to_rounding() -> None:
    log_p = np.log(np.random.default_rng(0).dirichlet(np.ones(50), (2, 8)))
    noise = np.random.default_rng(1).normal(size=log_p.shape)
    assert TASK.same_answers(log_p, log_p + 1e-3 * noise)
    rough = log_p + 0.05 * noise  # as half precision does
    rough -= np.log(np.exp(rough).sum(-1, keepdims=True))
    assert TASK.same_answers(log_p, rough)
    other = log_p.copy()
    other[1] = log_p[1, ::-1]
    assert not TASK.same_answers(log_p, other)
