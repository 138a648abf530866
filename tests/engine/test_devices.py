"""Where nets compute, and in which arithmetic: choices, refusals, float16, and a device that is not the CPU."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stillhouse as sh
from stillhouse import tasks
from stillhouse.data import Rows, StoredBatches, Stream, Views
from stillhouse.engine import CHECKPOINT, LOG, Step, StopRequest, check_place, device_of, loop
from stillhouse.engine.optim import AdamW
from stillhouse.engine.placement import devices
from stillhouse.engine.scaling import PATIENCE, FixedScale, LossScale
from stillhouse.engine.slices import Whole
from stillhouse.errors import UsageError
from stillhouse.task import OutputSpec
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.teachers import ModuleTeacher
from stillhouse.types import Batch
from tests.engine.elsewhere import DEVICE, Elsewhere, other_device
from tests.engine.small import BUDGET, Net, answer, rows, run, small_step
from tests.methods import examples
from tests.methods.test_contract import NAMES

absent = pytest.mark.skipif("cuda" in devices(), reason="this machine has the device")


def test_auto_is_an_accelerator_where_there_is_one() -> None:
    assert device_of("auto").type == ("cpu" if devices() == ["cpu"] else devices()[-1])
    assert device_of("cpu").type == "cpu"


@absent
@pytest.mark.parametrize(
    "table",
    [
        {"training": {"device": "cuda"}},
        {"teacher": {"training": {"device": "cuda"}}},
        {"assistant": [{"name": "mlp_tiny", "training": {"device": "cuda"}}]},
    ],
)
def test_a_device_that_is_not_there_is_refused_before_anything_is_read(tmp_path: Path, table: dict[str, Any]) -> None:
    where = "assistant" if "assistant" in table else next(iter(table))
    recipe = table | {"data": {"path": str(tmp_path / "no such file.csv"), "target": "y"}}
    with pytest.raises(UsageError, match=rf'\[{where}.*device = .cuda.*has cpu.*`device = "auto"`'):
        sh.distill(recipe, out=tmp_path / "run", verbose=False)


def test_float16_is_refused_where_torch_cannot_compute_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillhouse.engine.placement.why_not_half", lambda kind: "no Half kernel")
    with pytest.raises(UsageError, match=r'\[training\] precision = "16-mixed".*no Half kernel.*bf16-mixed'):
        check_place("cpu", "16-mixed")
    check_place("cpu", "bf16-mixed")


@pytest.mark.parametrize("steps", [1, 12])
def test_float16_steps_are_those_of_torchs_own_scaler(steps: int) -> None:
    """Ours and torch.amp.GradScaler with torch.optim.AdamW, over gradients of which some overflow."""
    torch.manual_seed(0)
    ours, theirs = nn.Parameter(torch.ones(4, 3)), nn.Parameter(torch.ones(4, 3))
    optimiser = AdamW([([ours], 0.1)], 0.01)
    reference = torch.optim.AdamW([theirs], 0.01, weight_decay=0.1)
    scale, scaler = LossScale(torch.device("cpu")), torch.amp.GradScaler("cpu")
    for number in range(steps):
        gradient = torch.randn(4, 3) * (torch.inf if number % 5 == 2 else 1.0)
        ours.grad = gradient * scale.factor
        overflow = scale.unscale([ours.grad])
        optimiser.step(overflow)
        scale.update(overflow)
        theirs.grad = gradient * scaler.scale(torch.ones(()))
        scaler.step(reference)
        scaler.update()
        assert scale.factor.item() == scaler.get_scale()
    assert torch.equal(ours, theirs)


def test_the_scale_grows_after_steps_without_an_overflow() -> None:
    scale = LossScale(torch.device("cpu"))
    before = scale.factor.item()
    for _ in range(PATIENCE):
        scale.update(torch.zeros(()))
    assert scale.factor.item() == 2 * before


def test_an_overflow_changes_no_weight_and_writes_no_infinite_number(tmp_path: Path) -> None:
    step = small_step()
    before = {k: v.clone() for k, v in step.student.named_parameters()}
    scale = LossScale(torch.device("cpu"))
    scale.factor.fill_(3e38)
    trained = list(step.parameters())
    optimiser = AdamW([(trained, 0.0)], 0.1)
    batch = StoredBatches(rows(), Stream(torch.arange(80), batch_size=16, seed=3), Views("none", 1, 0.0, 0)).at(0, step)
    taken = Whole(step, optimiser, nullcontext).measure(
        0, batch, answer, 1000 * scale.factor, apart=True, call=None, stop=StopRequest()
    )
    sizes, _ = loop.move(taken, optimiser, scale, [True] * len(trained), None)
    assert all(torch.equal(before[k], v) for k, v in step.student.named_parameters())
    assert scale.factor.item() == pytest.approx(1.5e38)
    assert all(torch.isfinite(v) for v in sizes.values())


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_half_precision_trains_about_as_single_precision_does(tmp_path: Path, precision: Any) -> None:
    last = {}
    for name in ("32-true", precision):
        run(tmp_path / name, replace(BUDGET, precision=name))
        last[name] = json.loads((tmp_path / name / LOG).read_text().splitlines()[-1])["loss"]
    assert last[precision] == pytest.approx(last["32-true"], rel=0.02)
    assert last[precision] != last["32-true"]


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_an_autocast_of_the_caller_around_a_fit_changes_nothing(tmp_path: Path, precision: Any) -> None:
    half = replace(BUDGET, precision=precision, steps=20)
    alone = run(tmp_path / "alone", half).state_dict()
    with torch.autocast("cpu", enabled=False):  # torch keeps casts of weights until the outermost one ends
        inside = run(tmp_path / "inside", half).state_dict()
    assert all(torch.equal(inside[name], value) for name, value in alone.items())


def test_a_resumed_fit_in_float16_ends_with_the_same_bits(tmp_path: Path) -> None:
    half = replace(BUDGET, precision="16-mixed")
    whole = run(tmp_path / "whole", half)

    def stop(steps: int) -> None:
        if (tmp_path / "parts" / CHECKPOINT).exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", half, advance=stop)
    again = run(tmp_path / "parts", half)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits run on the other device."""
    monkeypatch.setattr(loop, "placement", lambda device, precision: (DEVICE, nullcontext, FixedScale(DEVICE)))


def weighted_batches() -> StoredBatches:
    made = rows()
    return StoredBatches(
        Rows(made.inputs, made.targets, torch.linspace(0.5, 1.5, len(made.targets))),
        Stream(torch.arange(80), batch_size=16, seed=3, views=2),
        Views("noise", 2, 0.1, 0),
    )


@pytest.mark.parametrize("balance", ["none", "gradient"])
def test_a_fit_on_another_device_ends_with_the_same_bits(tmp_path: Path, elsewhere: None, balance: Any) -> None:
    budget = replace(BUDGET, keep="best", log_every=10, steps=20, checkpoint_every=7)

    def step() -> Step:
        made = small_step()
        pairs = list(zip(made.names, made.methods, [0.9, 0.5], strict=True))
        return Step(made.student, pairs, loss=label_loss, label_weight=0.1, balance=balance)  # type: ignore[arg-type]

    with other_device():
        there = run(tmp_path / "there", budget, step(), batches=weighted_batches())
    assert all(isinstance(value, Elsewhere) for value in there.state_dict().values())
    found = {name: value.tolist() for name, value in there.state_dict().items()}
    with pytest.MonkeyPatch.context() as here:
        here.setattr(
            loop, "placement", lambda d, p: (torch.device("cpu"), nullcontext, FixedScale(torch.device("cpu")))
        )
        own = run(tmp_path / "own", budget, step(), batches=weighted_batches())
    assert found == {name: value.tolist() for name, value in own.state_dict().items()}
    assert (tmp_path / "there" / LOG).read_text() == (tmp_path / "own" / LOG).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_method_computes_where_the_nets_are(name: str) -> None:
    built, batch = examples.setup(name), examples.batch()
    expected = built.loss(batch).item()
    built = examples.setup(name)
    with other_device():
        for module in (built.student, built.teacher, built.method):
            module.to(DEVICE)
        moved = batch._replace(inputs=batch.inputs.to(DEVICE), targets=batch.targets.to(DEVICE))
        loss = built.loss(moved)
        assert loss.device == DEVICE
        loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_a_teacher_answers_on_its_device_and_its_own_module_stays(tmp_path: Path) -> None:
    net, inputs = Net().eval(), torch.randn(5, 6)
    where = torch.arange(5)
    batch = Batch(inputs, torch.zeros_like(where), where, torch.zeros_like(where))
    task, spec = tasks.get("classification"), OutputSpec((3,))
    own = ModuleTeacher(net, task, spec, ["hidden.0"]).outputs(batch)
    with other_device():
        teacher = ModuleTeacher(net, task, spec, ["hidden.0"], device=DEVICE)
        found = teacher.outputs(batch)
    for mine, theirs in ((found.values, own.values), (found.features["hidden.0"], own.features["hidden.0"])):
        assert type(mine) is Tensor
        torch.testing.assert_close(mine, theirs)
    assert teacher.module is net
    assert not any(isinstance(p, Elsewhere) for p in net.parameters())
