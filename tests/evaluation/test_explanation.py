"""What was handed over, held against numpy, scipy and autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from stillhouse.evaluation import explanation
from stillhouse.tasks.classification import explanation as classes_explained
from tests.evaluation.kernels import kernel_cka


def answers(seed: int, rows: int = 60, classes: int = 4) -> np.ndarray:
    logits = torch.tensor(np.random.default_rng(seed).normal(size=(rows, classes)))
    found: np.ndarray = log_softmax(logits, 1).numpy()
    return found


def test_a_class_map_is_the_mean_of_the_rows_of_each_class_and_its_rows_add_up_to_one() -> None:
    log_probs, targets = answers(0), np.arange(60) % 3  # the fourth class has no rows
    found = classes_explained.class_map(log_probs, targets)
    np.testing.assert_allclose(found[:3], [np.exp(log_probs)[targets == c].mean(0) for c in range(3)])
    np.testing.assert_allclose(found[:3].sum(1), 1.0)
    assert np.isnan(found[3]).all()


def test_maps_are_compared_by_spearmans_correlation_beside_the_diagonal() -> None:
    targets = np.arange(60) % 4
    teacher, student = answers(1), answers(2)
    found = classes_explained.class_similarity(
        {"teacher": {"-": teacher}, "distilled": {"0": student}}, targets, "abcd", "distilled"
    )
    maps = [np.array([np.exp(x)[targets == c].mean(0) for c in range(4)]) for x in (teacher, student)]
    beside = ~np.eye(4, dtype=bool)
    assert found["correlation"]["distilled"] == pytest.approx(spearmanr(maps[0][beside], maps[1][beside]).statistic)
    assert found["off_diagonal"]["teacher"] == pytest.approx(1 - np.diag(maps[0]).mean())
    assert found["ceiling"] is None
    worst = max((maps[0][t, o], t, o) for t in range(4) for o in range(4) if t != o)
    assert (found["pairs"][0]["true"], found["pairs"][0]["other"]) == ("abcd"[worst[1]], "abcd"[worst[2]])
    assert found["pairs"][0]["mass"]["teacher"] == pytest.approx(worst[0])


def test_a_student_that_says_what_the_teacher_says_has_the_teachers_map() -> None:
    teacher, targets = answers(3), np.arange(60) % 4
    nets = {"teacher": {"-": teacher}, "distilled": {"0": teacher, "1": teacher}}
    found = classes_explained.class_similarity(nets, targets, "abcd", "distilled")
    assert found["correlation"]["distilled"] == pytest.approx(1.0)
    assert found["ceiling"] == pytest.approx(1.0)


def test_two_classes_have_no_map_to_correlate_and_many_classes_no_map_to_show() -> None:
    two = classes_explained.class_similarity(
        {"teacher": {"-": answers(4, classes=2)}, "distilled": {"0": answers(5, classes=2)}},
        np.arange(60) % 2,
        "ab",
        "distilled",
    )
    assert two["correlation"]["distilled"] is None
    names = [str(c) for c in range(31)]
    nets = {"teacher": {"-": answers(6, 62, 31)}}
    many = classes_explained.class_similarity(nets, np.arange(62) % 31, names, "distilled")
    assert many["maps"] is None
    assert len(many["pairs"]) == classes_explained.PAIRS


@pytest.mark.parametrize(("p", "q"), [(3, 7), (50, 8), (8, 50), (40, 60)])
def test_linear_cka_is_the_papers_on_few_and_on_many_columns(p: int, q: int) -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(30, 3))
    a, b = (shared @ rng.normal(size=(3, d)) + 0.3 * rng.normal(size=(30, d)) for d in (p, q))
    assert explanation.linear_cka(a, b) == pytest.approx(kernel_cka(a, b))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_linear_cka_does_not_see_rotation_scale_or_shift(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(40, 5))
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    assert explanation.linear_cka(a, scale * a @ rotation + 3.0) == pytest.approx(1.0)
    assert 0.0 <= explanation.linear_cka(a, rng.normal(size=(40, 3))) <= 1.0


def test_the_embedding_is_what_the_last_linear_layer_sees_and_a_net_without_one_has_none() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    inputs = torch.randn(2100, 6)
    found = explanation.embedding(net, inputs)
    assert found is not None
    np.testing.assert_allclose(found, net[:2](inputs).detach().numpy(), rtol=1e-6)
    assert explanation.embedding(nn.ReLU(), inputs) is None


def test_influence_is_the_product_of_the_last_layers_gradients_that_autograd_gives() -> None:
    torch.manual_seed(0)
    head, hidden, held = nn.Linear(5, 3).double(), torch.randn(9, 5).double(), torch.randn(11, 5).double()
    teacher = log_softmax(torch.randn(9, 3).double(), 1)
    targets = torch.randint(3, (11,))
    q, held_q = (log_softmax(head(x), 1).detach().numpy() for x in (hidden, held))
    found = classes_explained.teaching_influence(
        q, teacher.numpy(), hidden.numpy(), held_q, held.numpy(), targets.numpy()
    )
    weights = list(head.parameters())
    outside = torch.autograd.grad(cross_entropy(head(held), targets), weights)
    for row in range(9):
        loss = kl_div(log_softmax(head(hidden[row]), 0), teacher[row], log_target=True, reduction="sum")
        inside = torch.autograd.grad(loss, weights)
        expected = sum((a * b).sum() for a, b in zip(inside, outside, strict=True))
        assert found[row] == pytest.approx(float(expected))


def test_one_step_on_the_row_that_teaches_most_lowers_the_loss_most() -> None:
    torch.manual_seed(1)
    hidden, held = torch.randn(30, 4).double(), torch.randn(200, 4).double()
    truth = nn.Linear(4, 3).double()
    teacher, targets = log_softmax(3 * truth(hidden), 1).detach(), truth(held).argmax(1)
    head = nn.Linear(4, 3).double()
    q, held_q = (log_softmax(head(x), 1).detach().numpy() for x in (hidden, held))
    found = classes_explained.teaching_influence(
        q, teacher.numpy(), hidden.numpy(), held_q, held.numpy(), targets.numpy()
    )
    before = cross_entropy(head(held), targets).item()
    gains = []
    for row in range(30):
        moved = nn.Linear(4, 3).double()
        moved.load_state_dict(head.state_dict())
        loss = kl_div(log_softmax(moved(hidden[row]), 0), teacher[row], log_target=True, reduction="sum")
        step = torch.autograd.grad(loss, list(moved.parameters()))
        with torch.no_grad():
            for weight, slope in zip(moved.parameters(), step, strict=True):
                weight.sub_(1e-4 * slope)
        gains.append((before - cross_entropy(moved(held), targets).item()) / 1e-4)
    np.testing.assert_allclose(found, gains, rtol=1e-2, atol=1e-4)
