"""The balance of the loss: what is warned of, what the first steps set, and that it survives an interruption."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.engine import LOG, Step
from stillhouse.engine.balance import MEASURED_STEPS, PATIENCE, Balance, ShareWatch
from stillhouse.engine.gradients import backward_each, by_source, norms
from stillhouse.methods import make
from stillhouse.methods.base import Method
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.types import Batch, Spec
from tests.engine.small import BUDGET, Net, answer, rows, run


def step_of(hinton: float, fitnet: float, labels: float, *, balance: bool) -> Step:
    torch.manual_seed(1)
    methods: list[tuple[str, Method, float]] = [
        ("hinton", make("hinton"), hinton),
        ("fitnet", make("fitnet", student_layer="hidden.0", teacher_layer="body"), fitnet),
    ]
    for _, method, _ in methods:
        method.build(Spec(3, {"hidden.0": (8,)}), Spec(3, {"body": (5,)}))
    torch.manual_seed(1)
    return Step(Net(), methods, loss=label_loss, label_weight=labels, balance="gradient" if balance else "none")


def train(folder: Path, step: Step, stop_at: int | None = None) -> dict[str, torch.Tensor]:
    """The whole fit, or a fit whose process is lost in the step after its checkpoint at ``stop_at``."""

    def advance(steps: int) -> None:
        advance.done += steps  # type: ignore[attr-defined]
        if stop_at is not None and advance.done >= stop_at:  # type: ignore[attr-defined]
            raise InterruptedError

    advance.done = 0  # type: ignore[attr-defined]
    budget = replace(BUDGET, checkpoint_every=5)
    return run(folder, budget, step, valid=None, advance=advance).state_dict()


def lines_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


@pytest.mark.parametrize("stop_at", [12, MEASURED_STEPS + 7])
def test_a_balanced_fit_that_is_interrupted_ends_with_the_same_student(stop_at: int, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", step_of(0.9, 0.5, 0.1, balance=True))
    with pytest.raises(InterruptedError):
        train(tmp_path / "cut", step_of(0.9, 0.5, 0.1, balance=True), stop_at)
    again = train(tmp_path / "cut", step_of(0.9, 0.5, 0.1, balance=True))
    assert {k for k, v in again.items() if not torch.equal(v, whole[k])} == set()
    assert lines_of(tmp_path / "cut") == lines_of(tmp_path / "whole")


def test_the_weights_are_frozen_after_the_first_steps(tmp_path: Path) -> None:
    train(tmp_path, step_of(0.9, 0.5, 0.1, balance=True))
    after = [line["weights"] for line in lines_of(tmp_path) if line["step"] >= MEASURED_STEPS]  # type: ignore[operator]
    assert len(after) > 2
    assert all(weights == after[0] for weights in after)


def test_each_source_gets_the_share_that_its_weight_asks_for_whatever_its_scale() -> None:
    step = step_of(3.0, 1.0, 1.0, balance=True).eval()
    data = rows()
    batch = Batch(data.inputs, data.targets, torch.arange(100), torch.zeros(100, dtype=torch.int64))
    parameters = list(step.student.parameters())
    assert step.balance is not None
    counted = [True] * len(parameters)
    before = norms(by_source(backward_each(step(batch, answer(batch)), parameters)), counted)
    step.balance.observe(before)
    after = norms(by_source(backward_each(step(batch, answer(batch)), parameters)), counted)
    total = sum(after.values())
    assert {k: pytest.approx((v / total).item(), rel=1e-4) for k, v in after.items()} == {
        "labels": 0.2, "hinton": 0.6, "fitnet": 0.2,
    }  # fmt: skip
    assert total.item() == pytest.approx(sum(before.values()).item(), rel=1e-4)  # type: ignore[union-attr]


NORM = st.floats(1e-4, 1e4)
WEIGHT = st.floats(0.01, 10)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WEIGHT, NORM), min_size=2, max_size=5), st.integers(1, 4))
def test_steady_gradients_are_balanced_exactly_however_many_steps_are_measured(
    sources: list[tuple[float, float]], steps: int
) -> None:
    weights = {str(i): w for i, (w, _) in enumerate(sources)}
    balance = Balance(weights)
    for _ in range(steps):
        balance.observe({str(i): w * g * balance.factor(str(i)) for i, (w, g) in enumerate(sources)})
    norms = [w * g * balance.factor(str(i)).item() for i, (w, g) in enumerate(sources)]
    for norm, weight in zip(norms, weights.values(), strict=True):
        assert norm / sum(norms) == pytest.approx(weight / sum(weights.values()), rel=1e-3)


def test_a_source_without_a_gradient_keeps_its_weight() -> None:
    balance = Balance({"labels": 0.5, "hinton": 0.5})
    balance.observe({"labels": torch.tensor(0.0), "hinton": torch.tensor(3.0)})
    assert balance.factors.tolist() == [1.0, 1.0]


def test_a_method_that_warms_up_gets_the_weight_that_it_would_have_without_warming_up(tmp_path: Path) -> None:
    found = []
    for warmup in (0.0, 0.5):
        torch.manual_seed(1)
        step = Step(
            Net(), [("dkd", make("dkd", warmup=warmup), 0.5)], loss=label_loss, label_weight=0.5, balance="gradient"
        )
        train(tmp_path / str(warmup), step)
        found.append(lines_of(tmp_path / str(warmup))[-1]["weights"])
    assert found[0] == found[1]


def test_a_drowned_term_is_a_warning_that_names_the_weight_once_a_fit(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"'labels' has .* hardly trains.*\[training\] balance") as caught:
        train(tmp_path, step_of(0.9, 0.9, 1e-6, balance=False))
    assert len([w for w in caught if "out of balance" in str(w.message)]) == 1
    told = [(line["step"], line["warning"]) for line in lines_of(tmp_path) if "warning" in line]
    assert [step for step, _ in told] == [5 * PATIENCE]
    assert "Raise `[training] label_weight` (now 1e-06)" in str(told[0][1])


def test_a_balanced_fit_has_nothing_to_warn_of(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(tmp_path, step_of(1.0, 1.0, 1.0, balance=True))
    assert all("warning" not in line for line in lines_of(tmp_path))


def lines(*shares: float) -> list[dict[str, float]]:
    return [{"labels": 1 - share, "fitnet#2": share} for share in shares]


def test_only_shares_that_stay_out_of_bounds_are_told() -> None:
    calm = ShareWatch({})
    assert [calm.look(line) for line in lines(0.001, 0.001, 0.5, 0.001, 0.001, 0.02)] == [None] * 6
    alone = ShareWatch({})
    assert [alone.look({"labels": 1.0}) for _ in range(9)] == [None] * 9
    nothing_labelled = ShareWatch({})
    assert [nothing_labelled.look({"labels": 0.0, "a": 0.6, "b": 0.4}) for _ in range(9)] == [None] * 9
    quiet = ShareWatch({"labels": 0.1, "fitnet#2": 0.9})
    with pytest.warns(UserWarning, match=r"'labels' has 0.5 % and hardly trains.*Raise `\[training\] label_weight`"):
        told = [quiet.look(line) for line in lines(0.995, 0.995, 0.995, 0.995)]
    assert [t is not None for t in told] == [False, False, True, False]
    assert "outweighs" not in str(told[2])  # a lone method is meant to lead


def test_one_of_two_methods_that_outweighs_the_other_is_told_of() -> None:
    loud = ShareWatch({"fitnet": 0.1, "fitnet#2": 0.9})
    shares = {"fitnet": 0.005, "fitnet#2/a": 0.995}
    with pytest.warns(UserWarning, match=r'`weight` \(now 0.9\) of `\[\[method\]\] name = "fitnet"` \(number 2\)'):
        told = [loud.look(shares) for _ in range(4)]
    assert "Lower" in str(told[2])
    assert "outweighs" in str(told[2])


def test_a_resumed_watch_goes_on_counting_and_does_not_repeat_itself() -> None:
    log = [{"shares": shares} for shares in lines(0.001, 0.001)]
    with pytest.warns(UserWarning, match="out of balance"):
        assert ShareWatch({}, log).look(lines(0.001)[0])
    log.append({"shares": lines(0.001)[0]})
    assert ShareWatch({}, log).look(lines(0.001)[0]) is None
