"""Where memory does not suffice for many rows, fewer are asked about at once, and the answers are the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stillhouse import tasks
from stillhouse.memory import in_halves, ran_out
from stillhouse.task import OutputSpec
from stillhouse.tasks.predictor import run_net
from stillhouse.teachers import ModuleTeacher
from tests.teachers.asking import rows_of

TOO_MUCH = 1 << 60  # bytes that no machine has


class Greedy(nn.Module):
    """A net that needs far too much memory for more than some rows."""

    def __init__(self, most: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.most = nn.Linear(4, 3), most
        self.asked: list[int] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.asked.append(len(inputs))
        if len(inputs) > self.most:
            torch.empty(TOO_MUCH, dtype=torch.uint8)
        answers: torch.Tensor = self.inner(inputs)
        return answers


def test_the_errors_of_allocators_are_known() -> None:
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(TOO_MUCH, dtype=torch.uint8)
    with pytest.raises(MemoryError) as of_python:
        bytearray(TOO_MUCH)
    assert ran_out(of_torch.value)
    assert ran_out(of_python.value)
    assert ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"))
    assert not ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not ran_out(ValueError("out of memory"))


@pytest.mark.fault(
    "E16", "memory does not suffice for a batch of a teacher or of a prediction: halves are asked", exit=0
)
@pytest.mark.filterwarnings("ignore:Memory does not suffice")
@pytest.mark.parametrize("most", [1, 3, 10, 100])
def test_answers_in_halves_are_the_answers(most: int) -> None:
    inputs = torch.randn(23, 4, generator=torch.Generator().manual_seed(0))
    batch = rows_of(inputs.numpy())._replace(inputs=inputs, raw=None)
    nets = Greedy(100), Greedy(most)
    torch.testing.assert_close(run_net(nets[0], inputs), run_net(nets[1], inputs))
    whole, halved = (
        ModuleTeacher(net, tasks.get("classification"), OutputSpec((3,), ("a", "b", "c")), ["inner"], kind="logits")
        for net in nets
    )
    torch.testing.assert_close(halved.outputs(batch).values, whole.outputs(batch).values)
    torch.testing.assert_close(halved.outputs(batch).features, whole.outputs(batch).features)
    assert max(n for n in nets[1].asked if n <= most) <= most


def test_it_is_said_once_and_one_row_that_is_too_much_ends() -> None:
    with pytest.warns(UserWarning, match="Memory does not suffice for 8 rows at once"):
        run_net(Greedy(4), torch.zeros(8, 4))
    with pytest.warns(UserWarning, match="2 rows"), pytest.raises(RuntimeError, match="memory"):
        run_net(Greedy(0), torch.zeros(2, 4))
    with pytest.raises(RuntimeError, match="shapes"):
        run_net(Greedy(4), torch.zeros(8, 5))


def test_parts_come_in_order_and_none_is_lost() -> None:
    def ask(start: int, stop: int) -> range:
        if stop - start > 3:
            raise MemoryError
        return range(start, stop)

    with pytest.warns(UserWarning, match="halves"):
        parts = in_halves(ask, 5, 31)
    assert [number for part in parts for number in part] == list(range(5, 31))
    assert in_halves(lambda start, stop: (start, stop), 0, 0) == [(0, 0)]
