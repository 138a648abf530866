"""What every method promises, checked on every file of the folder because it is there."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from stillhouse import methods
from stillhouse.methods.base import KINDS
from stillhouse.types import Batch, Outputs
from tests.methods.examples import Setup, batch, method_class, part, setup

NAMES = methods.names()
# Correlation is free of scale, the total variation and losses made of it are of first order: the factor T^2, which the
# design fixes for all, makes their gradients grow with T. Their cards say so.
GROWS_WITH_TEMPERATURE = {"acceptance", "dist", "lk_hybrid", "total_variation"}
OF_OUTPUTS = {"logit", "divergence", "value"}
FAMILIES = OF_OUTPUTS | {"feature", "relation", "contrast", "transformer", "embedding"}

every = pytest.mark.parametrize("name", NAMES)


def gradients(built: Setup, rows: Batch, scale: float = 1.0) -> list[Tensor]:
    """Gradients of all that is trained."""
    built.student.zero_grad()
    built.method.zero_grad()
    (scale * built.loss(rows)).backward()  # type: ignore[no-untyped-call]
    return current(built)


def current(built: Setup) -> list[Tensor]:
    trained = [*built.student.parameters(), *built.method.parameters()]
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in trained]


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    size = max(float(t.abs().max()) for t in theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9 * max(size, 1e-3))


@every
def test_a_card_holds_paper_formula_and_a_number_that_runs(name: str) -> None:
    method, card = method_class(name), methods.card(name).text
    assert method.paper.title
    assert 1950 < method.paper.year < 2100
    assert method.family in FAMILIES
    assert method.needs <= KINDS | {"features", "embedding", "targets"}
    assert len(method.needs & KINDS) <= 1
    assert all(heading in card for heading in ("Formula:", "Defaults:", "Deviations:"))
    assert re.search(r">>> .+\n(?:\s+\.\.\. .+\n)*\s*[(\[]?-?\d", card), "no doctest with a number"


@every
def test_one_step_trains_the_student(name: str) -> None:
    built, rows = setup(name), batch()
    kept = {k: v.clone() for k, v in built.method.state_dict().items()}  # memories and statistics move in a forward
    torch.manual_seed(2)
    before = built.loss(rows)
    optimizer = torch.optim.SGD(built.student.parameters(), lr=1e-4)
    before.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    built.method.load_state_dict(kept)
    torch.manual_seed(2)
    assert built.loss(rows) < before


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("size", "classes"), [(1, 5), (8, 2)])
def test_it_is_finite(name: str, dtype: torch.dtype, size: int, classes: int) -> None:
    built = setup(name, classes, torch.float32)
    for net in (built.student, built.teacher):
        net.to(
            dtype
        )  # the nets run in half precision; what the method learns stays in single precision, as in autocast
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        terms = built.terms(batch(size, classes, dtype))
        assert all(term.dtype == torch.float32 and term.shape == () for term in terms.values())
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(term) for term in terms.values())
    assert all(torch.isfinite(g).all() for g in current(built))


@every
def test_a_batch_that_is_masked_out_is_worth_nothing(name: str) -> None:
    built = setup(name)
    rows = batch(mask=torch.zeros(8, dtype=torch.bool))
    assert built.loss(rows).item() == 0.0
    assert all((g == 0).all() for g in gradients(built, rows))


@every
def test_gradients_reach_student_and_adapters_and_never_the_teacher(name: str) -> None:
    built = setup(name)
    built.teacher.requires_grad_(True)
    rows = batch()
    terms = built.method(built.student(rows.inputs), built.teacher(rows.inputs), rows)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in built.student.parameters())
    for key, learned in built.method.named_parameters():
        if learned.requires_grad:
            assert learned.grad is not None, f"{key} learns nothing"
            assert torch.isfinite(learned.grad).all()
    assert all(p.grad is None for p in built.teacher.parameters())


@every
def test_a_row_counts_as_far_as_its_weight_says(name: str) -> None:
    if method_class(name).batch_coupled or not method_class(name).needs <= KINDS | {"targets"}:
        pytest.skip("weights are those of answers, row by row")
    weights = torch.linspace(0, 1, 8, dtype=torch.float64)
    whole = gradients(setup(name), batch(mask=weights))
    built, rows = setup(name), batch()
    for row in range(1, 8):
        (weights[row] / 7 * built.loss(part(rows, slice(row, row + 1)))).backward()  # type: ignore[no-untyped-call]
    assert_same(current(built), whole)


@every
def test_splitting_and_accumulating_gives_the_same_gradient(name: str) -> None:
    if method_class(name).batch_coupled:
        pytest.skip("declared to relate the rows of a batch")
    built, rows = setup(name), batch()
    whole = gradients(built, rows)
    built = setup(name)
    for piece, share in ((part(rows, slice(0, 3)), 3 / 8), (part(rows, slice(3, 8)), 5 / 8)):
        (share * built.loss(piece)).backward()  # type: ignore[no-untyped-call]
    assert_same(current(built), whole)


@every
def test_padding_changes_nothing(name: str) -> None:
    built, rows = setup(name), batch()
    whole = gradients(built, rows)
    again = batch(11, mask=torch.arange(11) < 8)
    inputs = torch.cat([rows.inputs, torch.full_like(again.inputs[8:], 1e3)])
    targets = torch.cat([rows.targets, torch.full_like(again.targets[8:], -100)])
    padded = again._replace(inputs=inputs, targets=targets)
    assert_same(gradients(setup(name), padded), whole)


@every
def test_a_constant_added_to_logits_changes_nothing(name: str) -> None:
    if method_class(name).needs & (KINDS - {"logits"}):
        pytest.skip("reads outputs that a constant changes")
    built, rows = setup(name), batch()
    ours, theirs = built.student(rows.inputs), built.teacher(rows.inputs)
    plain = setup(name).method(ours, theirs, rows)
    shifted = setup(name).method(
        ours._replace(values=ours.logits + 7.0), theirs._replace(values=theirs.logits - 3.0), rows
    )
    for term, value in plain.items():
        torch.testing.assert_close(shifted[term], value, rtol=1e-9, atol=1e-12)


@every
def test_the_gradient_keeps_its_scale_as_temperature_moves(name: str) -> None:
    if "temperature" not in methods.settings(method_class(name)) or name in GROWS_WITH_TEMPERATURE:
        pytest.skip("no temperature, or declared on its card")
    norms = [
        torch.cat([g.flatten() for g in gradients(setup(name, temperature=t), batch())]).norm().item()
        for t in (1.0, 4.0, 16.0)
    ]
    assert max(norms) < 10 * min(norms)


@every
def test_a_perfect_student_has_nothing_to_learn(name: str) -> None:
    method = method_class(name)
    if method.family not in OF_OUTPUTS or not method.perfect_is_zero:
        pytest.skip("compares features through adapters, or its least value is not 0: says its card")
    built, rows = setup(name), batch()
    theirs = built.teacher(rows.inputs)
    ours = theirs.values.clone().requires_grad_(True)
    loss = torch.stack(list(built.method(Outputs(ours), theirs, rows).values())).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert abs(loss.item()) < 1e-6
    assert ours.grad.abs().max() < 1e-6
    assert built.loss(rows).item() > 1e-3


@every
def test_state_saved_and_restored_gives_the_same_next_loss(name: str) -> None:
    built, rows = setup(name), batch()
    gradients(built, rows)
    saved = {k: v.clone() for k, v in built.method.state_dict().items()}
    expected = built.loss(rows).item()
    restored = setup(name)
    restored.method.load_state_dict(saved)
    assert restored.loss(rows).item() == expected


@every
def test_a_copy_of_a_method_gives_the_same_loss_and_shares_nothing(name: str) -> None:
    built, rows = setup(name), batch()
    copied = built._replace(method=copy.deepcopy(built.method))
    assert {id(p) for p in built.method.parameters()}.isdisjoint(id(p) for p in copied.method.parameters())
    losses = []
    for one in (built, copied):
        torch.manual_seed(2)
        losses.append(one.loss(rows).item())
    assert losses[0] == losses[1]


def _one_of_two(rank: int, folder: str, names: list[str]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = {}
    for name in names:
        own = gradients(setup(name), part(batch(), slice(4 * rank, 4 * rank + 4)))
        for gradient in own:
            dist.all_reduce(gradient)
        found[name] = [gradient / 2 for gradient in own]
    if rank == 0:
        torch.save(found, f"{folder}/gradients.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_gradient_of_one(tmp_path: Path) -> None:
    names = [name for name in NAMES if not method_class(name).batch_coupled]
    spawn(_one_of_two, args=(str(tmp_path), names), nprocs=2)  # type: ignore[no-untyped-call]
    found = torch.load(tmp_path / "gradients.pt", weights_only=True)
    for name in names:
        assert_same(found[name], gradients(setup(name), batch()))
