"""A run is resumed with the very objects it began with, and with no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.methods.hinton import Hinton
from stillhouse.teachers.identity import given_identity, using

pytestmark = pytest.mark.slow  # many whole runs

X = torch.randn(160, 4, generator=torch.Generator().manual_seed(0))
Y = X[:, :3].argmax(1)
DATA = ((X[:100], Y[:100]), None, (X[100:], Y[100:]))


class Teacher(nn.Module):
    """Knows the classes of rows that are shifted as it expects."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.shift, self.calls = shift, 0

    def forward(self, rows: Tensor) -> Tensor:
        self.calls += 1
        return 4 * (rows[:, :3] - self.shift)


def student() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def call(out: Path, **given: Any) -> sh.Run:
    torch.set_num_threads(1)
    recipe = {"evaluation": {"resamples": 100}, "training": {"workers": 1}}
    options: dict[str, Any] = {"teacher": Teacher(), "student": student(), "data": DATA} | given
    return sh.distill(
        recipe, steps=8, batch_size=32, seeds=[0], out=out, accept_teacher=True, verbose=False, **options
    )  # fmt: skip


class Changed(Teacher):
    def forward(self, rows: Tensor) -> Tensor:
        return super().forward(rows) ** 3


def hooked() -> nn.Module:
    teacher = Teacher()
    teacher.register_forward_hook(lambda module, args, output: output.roll(1, -1))
    return teacher


def pretrained() -> nn.Module:
    net = student()
    with torch.no_grad():
        net.get_parameter("2.weight").mul_(2.0)
    return net


def frozen() -> nn.Module:
    net = student()
    net[0].requires_grad_(False)
    return net


def other_activation() -> nn.Module:
    net = student()
    net[1] = nn.LeakyReLU(0.3)
    return net


OTHERS: dict[str, tuple[dict[str, Callable[[], Any]], str]] = {
    "a number that the teacher reads": ({"teacher": lambda: Teacher(3.0)}, r"teacher: other code, attributes or hooks"),
    "the teacher's code": ({"teacher": Changed}, "teacher: other code"),
    "a hook of the teacher": ({"teacher": hooked}, "teacher: other code"),
    "the student's weights": ({"student": pretrained}, "student: other weights"),
    "frozen layers of the student": ({"student": frozen}, "student: other code, attributes"),
    "a layer of the student": ({"student": other_activation}, "student: other code, attributes"),
    "a function in place of the student": ({"student": lambda: student}, "student: not the same"),
    "a setting of the method": ({"method": lambda: Hinton(temperature=7.0)}, r"method|temperature"),
    "a label": ({"data": lambda: ((X[:100], Y[:100].roll(1)), None, DATA[2])}, r"the data changed: rows 1, 2, 3"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    return call(tmp_path_factory.mktemp("same") / "run")


@pytest.mark.parametrize("what", OTHERS)
def test_another_object_is_another_run_and_the_message_names_it(what: str, run: sh.Run) -> None:
    given, words = OTHERS[what]
    with pytest.raises(UsageError, match=words) as caught:
        call(run.folder, **{name: make() for name, make in given.items()})
    assert 'out="..."' in str(caught.value)


def test_the_same_objects_made_again_resume(run: sh.Run) -> None:
    assert call(run.folder).scores == run.scores


def test_an_object_that_counts_its_calls_resumes_and_is_another_when_it_is_changed(tmp_path: Path) -> None:
    teacher, net = Teacher(), student()
    first = call(tmp_path / "run", teacher=teacher, student=net)
    assert teacher.calls
    teacher.train()  # a run sets the mode itself
    assert call(tmp_path / "run", teacher=teacher, student=net).scores == first.scores
    teacher.shift = 3.0
    with pytest.raises(UsageError, match="teacher"):
        call(tmp_path / "run", teacher=teacher, student=net)


def test_what_an_object_reads_from_a_file_is_seen_in_its_answers(tmp_path: Path) -> None:
    file = tmp_path / "weights.npy"
    np.save(file, np.eye(4)[:, :3])

    def ask(rows: Any) -> Any:
        scores = np.exp(4 * np.asarray(rows, dtype=np.float64).reshape(len(rows), -1) @ np.load(file))
        return scores / scores.sum(1, keepdims=True)

    def make() -> nn.Sequential:
        net = student()
        net.get_parameter("2.weight").data[:, :4] = torch.from_numpy(np.load(file)).float().T
        return net

    call(tmp_path / "run", teacher=ask, student=make)
    call(tmp_path / "run", teacher=ask, student=make)
    np.save(file, np.eye(4)[:, 1:])
    with pytest.raises(UsageError, match=r"The teacher and the student of .* answered differently"):
        call(tmp_path / "run", teacher=ask, student=make)


def test_code_that_a_recipe_names_belongs_to_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    written = (
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, classes):\n        super().__init__()\n"
        "        self.net = nn.Linear(4, classes)\n    def forward(self, rows):\n        return self.net(rows){}\n"
        "def make(shape, classes):\n    return Net(classes)\n"
    )

    def distilled(end: str) -> sh.Run:
        (tmp_path / "named_student.py").write_text(written.format(end))
        sys.modules.pop("named_student", None)
        importlib.invalidate_caches()
        return call(tmp_path / "run", student="python:named_student:make", allow_code=True)

    first = distilled("")
    assert distilled("").scores == first.scores
    with pytest.raises(UsageError, match="student code: not the same"):
        distilled(".abs()")


def test_runs_in_threads_share_an_object_and_the_last_one_gives_it_back() -> None:
    teacher = Teacher().train()
    before, first, last = given_identity(teacher), using(teacher), using(teacher, [teacher])
    first.__enter__()
    last.__enter__()
    teacher.calls += 1
    first.__exit__(None, None, None)
    assert not teacher.training, "another run still asks it"
    assert given_identity(teacher) == before
    last.__exit__(None, None, None)
    assert teacher.training
    assert given_identity(teacher) == before, "only runs have changed it"
    teacher.shift = 1.0
    assert given_identity(teacher) != before
