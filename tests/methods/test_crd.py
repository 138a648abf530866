"""CRD: negatives are other rows, the memory follows the nets, and a resumed run sees the same draws."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.methods.crd import CRD, crd
from stillhouse.types import Batch, Outputs, Spec

ROWS = 12


def built(rows: int = ROWS, **settings: float) -> CRD:
    torch.manual_seed(0)
    method = CRD(**{"dim": 8, "negatives": 5, **settings})  # type: ignore[arg-type]
    method.build(Spec(2, {"embedding": (3,)}, rows), Spec(2, {"embedding": (4,)}, rows))
    return method


def step(method: CRD, rows: list[int], seed: int = 0, mask: Tensor | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    index = torch.tensor(rows)
    logits = torch.zeros(len(rows), 2)
    student = Outputs(logits, {"embedding": torch.randn(len(rows), 3, generator=generator)})
    teacher = Outputs(logits, {"embedding": torch.randn(len(rows), 4, generator=generator)})
    batch = Batch(logits, torch.zeros_like(index), index, torch.zeros_like(index), mask)
    found: Tensor = method(student, teacher, batch)["contrast"]
    return found


def test_negatives_are_the_other_rows_with_equal_chance() -> None:
    method = built(negatives=4000, rows=4001)
    drawn = method._draw(torch.tensor([0, 7, 4000]))
    assert drawn.shape == (3, 4000)
    for own, others in zip((0, 7, 4000), drawn, strict=True):
        assert own not in others
        counts = np.bincount(others.numpy() * 10 // 4001, minlength=10)
        assert stats.chisquare(counts).pvalue > 1e-4


def test_more_negatives_than_other_rows_are_cut() -> None:
    assert built(negatives=100)._draw(torch.tensor([3])).shape == (1, ROWS - 1)


def test_a_resumed_run_draws_and_sees_what_the_undisturbed_one_does() -> None:
    method = built()
    step(method, [0, 1, 2, 3])
    restored = built()
    restored.load_state_dict(copy.deepcopy(method.state_dict()))
    torch.manual_seed(99)  # the global generator plays no part
    for rows in ([4, 5, 6, 7], [0, 1, 2, 3]):
        assert step(restored, rows).item() == step(method, rows).item()


def test_the_memory_moves_half_way_to_the_new_embedding_and_stays_on_the_sphere() -> None:
    method = built()
    before = method.memory_student.clone()
    features = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    step(method, [5, 9])
    for row, feature in zip((5, 9), features, strict=True):
        linear = method.embed_student.linear(feature)  # type: ignore[operator]
        mixed = before[row] / 2 + linear / linear.norm() / 2
        torch.testing.assert_close(method.memory_student[row], mixed / mixed.norm())
    untouched = [row for row in range(ROWS) if row not in (5, 9)]
    assert torch.equal(method.memory_student[untouched], before[untouched])


def test_the_normaliser_is_set_by_the_first_batch_and_then_fixed() -> None:
    method = built()
    step(method, [0, 1])
    first = method.normalizers.clone()
    assert (first > 0).all()
    step(method, [2, 3], seed=5)
    assert torch.equal(method.normalizers, first)


def test_evaluation_leaves_memory_generator_and_normaliser_alone() -> None:
    method = built().eval()
    before = copy.deepcopy(method.state_dict())
    step(method, [0, 1])
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


def test_a_large_memory_is_gathered_and_a_small_one_multiplied_with_the_same_result() -> None:
    method = built(rows=100)  # 4 * 5 negatives < 100 rows: gathered
    rows, negatives = torch.tensor([1, 2]), method._draw(torch.tensor([1, 2]))
    side = torch.nn.functional.normalize(torch.randn(2, 8))
    method.normalizers.fill_(50.0)
    gathered = method._direction(0, side, method.memory_teacher, rows, negatives)
    repeated = negatives.repeat(1, 6)  # 4 * 30 >= 100: multiplied at once
    own, other = (side * method.memory_teacher[rows]).sum(1), side @ method.memory_teacher.T
    by_hand = [crd(own, other.gather(1, drawn), 100, 50.0) for drawn in (negatives, repeated)]
    torch.testing.assert_close(gathered, by_hand[0])
    torch.testing.assert_close(method._direction(0, side, method.memory_teacher, rows, repeated), by_hand[1])


def test_a_student_like_its_teacher_has_less_loss_than_one_unlike_it() -> None:
    memory = torch.nn.functional.normalize(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)))
    cosines = memory @ memory.T
    others = torch.stack([cosines[i][torch.arange(50) != i] for i in range(50)])
    alike = crd(cosines.diagonal(), others, 50, 50.0)
    unlike = crd(cosines.diagonal().roll(1) - 1, others, 50, 50.0)
    assert alike < unlike


def test_samples_that_do_not_count_are_neither_compared_nor_remembered() -> None:
    method, alone = built(), built()
    mask = torch.tensor([True, True, False])
    generator = torch.Generator().manual_seed(0)
    both = [torch.randn(3, width, generator=generator) for width in (3, 4)]
    index = torch.tensor([0, 1, 2])

    def loss(of: CRD, size: int, mask: Tensor | None) -> Tensor:
        logits = torch.zeros(size, 2)
        batch = Batch(logits, index[:size], index[:size], index[:size], mask)
        student, teacher = ({"embedding": side[:size]} for side in both)
        found: Tensor = of(Outputs(logits, student), Outputs(logits, teacher), batch)["contrast"]
        return found

    torch.testing.assert_close(loss(method, 3, mask), loss(alone, 2, None))
    torch.testing.assert_close(method.memory_teacher, alone.memory_teacher)


def test_a_row_outside_the_memory_and_a_memory_without_rows_are_errors() -> None:
    with pytest.raises(UsageError, match=r"12 rows and was given row 12"):
        step(built(), [3, 12])
    with pytest.raises(UsageError, match="rows"):
        built(rows=1)
