"""Several processes train one net: the same as one process, in rounding or in every bit."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stillhouse import methods
from stillhouse.engine import ALONE, Group, Step, StopRequest
from stillhouse.engine.optim import AdamW
from stillhouse.engine.slices import Sliced, Whole
from tests.engine.several import batches, case, differ, together, trained
from tests.methods.examples import method_class

NAMES = methods.names()
UNCOUPLED = [name for name in NAMES if not method_class(name).batch_coupled]
COUPLED = [name for name in NAMES if method_class(name).batch_coupled]


def gradients(name: str, group: Group, slices: int | None) -> list[Tensor]:
    """The gradient of one step of a method, in double precision."""
    step, answer = case(name)
    step.train()
    parameters = [p for p in step.parameters() if p.requires_grad]
    sliced = Sliced(step, parameters, group, slices or 1, seed=0, arithmetic=nullcontext)
    takes = Whole(step, AdamW([(parameters, 0.0)], 0.1), nullcontext) if slices is None else sliced
    sliced.draw(0)  # negatives are drawn alike
    one = torch.ones((), dtype=torch.float64)
    batch = batches(torch.float64).at(0, step.student)
    taken = takes.measure(0, batch, answer, one, apart=False, call=None, stop=StopRequest())
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, *taken.each.values(), strict=True)]


def assert_equal_gradients(found: list[Tensor], whole: list[Tensor]) -> None:
    size = torch.cat([g.flatten() for g in whole]).norm()
    gap = torch.cat([(a - b).flatten() for a, b in zip(found, whole, strict=True)]).norm()
    assert gap <= 1e-12 * size


def test_two_processes_with_unequal_labels_end_with_the_weights_of_one(tmp_path: Path) -> None:
    two = together(2, lambda group: trained(case("hinton"), tmp_path / "two", group, 2, steps=5))
    assert differ(two, trained(case("hinton"), tmp_path / "one", steps=5)) < 1e-12


@pytest.mark.slow
def test_every_uncoupled_method_ends_with_the_same_weights_in_one_process_and_in_two(tmp_path: Path) -> None:
    def both(group: Group) -> dict[str, dict[str, Tensor]]:
        return {name: trained(case(name), tmp_path / "two" / name, group, 2) for name in UNCOUPLED}

    for name, two in together(2, both).items():
        assert differ(two, trained(case(name), tmp_path / "one" / name)) < 1e-6, name


@pytest.mark.parametrize("name", COUPLED)
def test_methods_that_relate_rows_get_all_rows_of_the_batch_in_slices(name: str) -> None:
    assert_equal_gradients(gradients(name, ALONE, 4), gradients(name, ALONE, None))


@pytest.mark.slow
def test_methods_that_relate_rows_have_the_same_gradient_in_one_process_and_in_two() -> None:
    found = together(2, lambda group: {name: gradients(name, group, 2) for name in COUPLED})
    for name, two in found.items():
        assert_equal_gradients(two, gradients(name, ALONE, None))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hinton", "crd"])
def test_one_two_and_four_processes_end_with_the_same_bits_also_when_stopped_and_resumed(
    tmp_path: Path, name: str
) -> None:
    def fitted(group: Group, folder: str, stop: int | None = None) -> dict[str, Tensor]:
        one = case(name, torch.float32, dropout=0.3, norm=True)
        return trained(one, tmp_path / folder, group, slices=4, steps=30, stop=stop)

    one = fitted(ALONE, "one")
    assert differ(one, together(2, lambda group: fitted(group, "two"))) == 0
    assert differ(one, together(4, lambda group: fitted(group, "four"))) == 0
    for folder in ("resumed by one", "resumed by four"):
        with pytest.raises(SystemExit):
            together(2, lambda group, folder=folder: fitted(group, folder, stop=11))  # type: ignore[misc]
        assert (tmp_path / folder / "checkpoint.safetensors").exists()
    assert differ(one, fitted(ALONE, "resumed by one")) == 0
    assert differ(one, together(4, lambda group: fitted(group, "resumed by four"))) == 0


@pytest.mark.slow
def test_a_head_that_no_term_uses_stops_no_process(tmp_path: Path) -> None:
    """A feature method alone: the head has no gradient in any process."""

    def fitted(group: Group, folder: str, slices: int | None) -> dict[str, Tensor]:
        one = case("fitnet")
        step = Step(one.step.student, [("fitnet", one.step.methods[0], 1.0)], label_weight=0.0)  # type: ignore[list-item]
        return trained(one._replace(step=step), tmp_path / folder, group, slices)

    one, two = fitted(ALONE, "one", None), together(2, lambda group: fitted(group, "two", 2))
    assert differ(two, one) < 1e-12
    before = case("fitnet").step.student.state_dict()
    assert torch.equal(one["student.head.weight"], before["head.weight"])
    assert not torch.equal(one["student.a.0.weight"], before["a.0.weight"])
